//! The spec files of an RSpec or pytest project, listed by the project's own tool: it alone knows its
//! configuration.

use crate::process::exit::{Failure, usage};
use crate::tool::{Source, pytest, rspec};
use std::path::Path;
use std::process::{Command, Stdio};

const RSPEC: &str = include_str!("../../scripts/runners/files_rspec.rb");
const PYTEST: &str = include_str!("../../scripts/runners/files_pytest.py");

/// Lists the spec files below the `roots` in `folder`, or below the tool's own ones if there are
/// none, as the tool would with these options.
///
/// Errors: the tool cannot be run, or fails.
pub(crate) fn list(
    source: Source,
    folder: &Path,
    options: &[String],
    roots: &[String],
) -> Result<Vec<String>, Failure> {
    let mut words = match source {
        Source::Rspec => [
            rspec::interpreter(folder),
            script("-e", RSPEC),
            vec!["--".into()],
        ]
        .concat(),
        Source::Pytest => [pytest::interpreter(folder), script("-c", PYTEST)].concat(),
        Source::CargoTest | Source::Nextest => unreachable!("its tasks are not files"),
    };
    words.extend_from_slice(options);
    words.extend_from_slice(roots);
    run(source, folder, &words)
}

fn script(flag: &str, text: &str) -> Vec<String> {
    vec![flag.to_owned(), text.to_owned()]
}

fn run(source: Source, folder: &Path, words: &[String]) -> Result<Vec<String>, Failure> {
    let name = source.name();
    let output = Command::new(&words[0])
        .args(&words[1..])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| {
            usage(format!(
                "cannot run '{}' to list the files of {name}: {error}",
                words[0]
            ))
            .hint("install it, or name the files")
        })?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        if text.contains("No module named 'pytest'")
            || text.contains("cannot load such file -- rspec")
        {
            return Err(usage(format!("{name} is not installed for '{}'", words[0]))
                .hint("install it, activate the project's environment, or name another Ruby or Python: --slave 'rrr-slave --adapter … --interpreter …'"));
        }
        let text = crate::process::text::harmless(text.trim_end());
        return Err(usage(format!(
            "{name} cannot list its files ({}):\n{text}",
            output.status
        ))
        .hint("fix the error, or name the files"));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| usage(format!("{name} did not print a list of files: {error}")))
}
