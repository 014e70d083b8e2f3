//! `--init`: writes a commented project file.

use crate::cli::project_file;
use crate::process::exit::{self, Failure, usage};
use crate::process::stderr::say;
use crate::role::submit::Suite;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Writes the project file of the suite in `folder`, as far as the suite is known; never replaces
/// one.
pub(super) fn write(folder: &Path, suite: &Suite) -> anyhow::Result<u8> {
    let path = folder.join(project_file::NAME);
    let problem = |error: std::io::Error| -> Failure {
        let shown = path.display();
        match error.kind() {
            ErrorKind::AlreadyExists => usage(format!("'{shown}' already exists"))
                .hint("--print-config shows its settings; remove it to start again"),
            _ => usage(format!("cannot write '{shown}': {error}")),
        }
    };
    let mut file = File::create_new(&path).map_err(problem)?;
    file.write_all(text(suite)?.as_bytes()).map_err(problem)?;
    say!("rrr-local: wrote '{}'", path.display());
    Ok(exit::OK)
}

/// The file: the settings of the suite, then others as comments.
fn text(suite: &Suite) -> anyhow::Result<String> {
    let mut text = "\
# Settings for rrr-local and rrr-submit in this folder. A name is that of a long flag; flags and
# variables (RRR_NAME) override it. rrr-local --print-config shows the effective values.
"
    .to_owned();
    let string = |value: &str| toml::Value::from(value).to_string();
    let words = |words: &[String]| toml::Value::from(words.to_vec()).to_string();
    let command = match (suite.from, &suite.slave) {
        (Some(source), _) => {
            text += "\n# The test tool that lists and runs the tests: rspec, pytest, cargo-test or nextest.\n";
            text += "# rrr-submit accepts it only with --from or RRR_FROM, as listing runs code of the tree.\n";
            text += &format!("from = {}\n", string(source.name()));
            "# Options of the test tool.\n"
        }
        (None, Some(slave)) => {
            text += &format!(
                "\n# The command that starts a slave.\nslave = {}\n",
                string(slave)
            );
            ""
        }
        (None, None) => "# The command for each file; {} is its name.\n",
    };
    if suite.slave.is_none() {
        let example: &[String] = match suite.from {
            Some(_) => &["--an-option".to_owned()],
            None => &["sh".to_owned(), "{}".to_owned()],
        };
        let (mark, value) = match suite.command.is_empty() {
            true => ("# ", words(example)),
            false => ("", words(&suite.command)),
        };
        text += &format!("\n{command}{mark}command = {value}\n");
    }
    text += "\
\n# A script that each worker runs before its first test.
# setup = \"bundle install\"

# Maximum trials per file: a file that passes in a later one is flaky, not failed.
# max-trials = 3

# Stop at this number of final failures, or at this percentage of all files.
# max-fail = 10

# Number of slaves on this machine; by default the number of processors.
# jobs = 4

# Minimum timeout per file, and the timeout of files that never ran, in seconds.
# least-timeout = 30
# unknown-spec-timeout = 60
";
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flags;
    use crate::role::{local, submit};
    use clap::Parser;

    fn of(args: &[&str]) -> String {
        let args = [&["rrr-local"], args].concat();
        text(&local::Options::parse_from(args).suite).unwrap()
    }

    fn checked(text: &str) -> usize {
        let known = [
            flags::command::<submit::Options>(),
            flags::command::<local::Options>(),
        ];
        let path = Path::new(project_file::NAME);
        project_file::read(text, path, &known[1], &known, None)
            .unwrap()
            .len()
    }

    #[test]
    fn the_written_file_is_a_valid_project_file() {
        for (args, settings) in [
            (&["--from", "pytest"][..], 1),
            (&["--from", "rspec", "--", "--tag", "~slow"], 2),
            (&["--slave", "rrr-slave --adapter pytest"], 1),
            (&["--", "sh", "{}"], 1),
            (&[], 0),
        ] {
            let text = of(args);
            assert_eq!(checked(&text), settings, "{text}");
            // The commented settings are valid too, apart from a second command.
            let lines = text.lines().map(|line| {
                let setting = line.strip_prefix("# ").filter(|it| it.contains(" = "));
                setting
                    .filter(|it| !it.starts_with("command"))
                    .unwrap_or(line)
            });
            let all = lines.collect::<Vec<_>>().join("\n");
            assert_eq!(checked(&all), settings + 6, "{all}");
        }
    }
}
