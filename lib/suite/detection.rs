//! The choice of a test tool for a suite that names none.

use crate::process::exit::{Failure, usage};
use crate::process::stderr::say;
use crate::suite::args::Suite;
use crate::tool::Source;
use crate::tool::detect::{self, Detected};
use std::path::Path;

impl Suite {
    /// Chooses the tool that lists and runs the tests in `folder`, unless a flag or the project file
    /// has named one or a command. Prints the choice.
    ///
    /// Errors: several tools are possible.
    pub(crate) fn detect(&mut self, folder: &Path) -> Result<(), Failure> {
        // No program is called like an option.
        let is_command = (self.command.first()).is_some_and(|word| !word.starts_with('-'));
        let is_named = self.from.is_some() || self.slave.is_some() || is_command;
        if is_named || self.files_from.is_some() {
            return Ok(());
        }
        match &possible(folder, &self.files)[..] {
            [] => Ok(()),
            [only] => {
                say!(
                    "rrr-local: running {} (found {}); --from or '-- CMD' chooses otherwise",
                    only.source.name(),
                    only.evidence
                );
                self.from = Some(only.source);
                Ok(())
            }
            several => Err(ambiguous(several)),
        }
    }
}

/// The tools that the project in `folder` seems to use, if these files and folders are named.
fn possible(folder: &Path, files: &[String]) -> Vec<Detected> {
    let mut found = detect::sources(folder);
    if !files.is_empty() {
        found.retain(|it| it.source.has_files());
        let of = |name: &String| match folder.join(name).is_dir() {
            true => detect::sources_in(&folder.join(name)),
            false => detect::source_of(name).into_iter().collect(),
        };
        let named: Vec<Source> = files.iter().flat_map(of).collect();
        if !named.is_empty() {
            found.retain(|it| named.contains(&it.source));
        }
    }
    found
}

fn ambiguous(several: &[Detected]) -> Failure {
    let list = |form: &dyn Fn(&Detected) -> String, with: &str| {
        let words: Vec<String> = several.iter().map(form).collect();
        words.join(with)
    };
    let kinds = list(
        &|it| format!("{} ({})", it.source.name(), it.evidence),
        " and ",
    );
    let flags = list(&|it| format!("--from {}", it.source.name()), " or ");
    usage(format!("found several test suites: {kinds}")).hint(format!(
        "choose one with {flags}; from = \"NAME\" in .rrr.toml keeps the choice"
    ))
}
