//! The command that runs one failed task again, on this machine: it works when pasted into a shell.

use crate::process::text::shell_word;

/// A command that runs only `task` again: the command of the tests, if it can be derived from the
/// command that starts a slave, otherwise rrr-local. `folder`: the folder of the suite, if it is not
/// the current one.
pub(crate) fn rerun(slave_command: &str, task: &str, folder: Option<&str>) -> String {
    let words = shlex::split(slave_command).unwrap_or_default();
    match of_tests(&words) {
        Some(command) => {
            let command = direct(command, task);
            folder.map_or(command.clone(), |folder| {
                format!("(cd {} && {command})", shell_word(folder))
            })
        }
        None => local(slave_command, task, folder),
    }
}

/// The command of the tests in that of a slave. An adapter reads the words after `--` as options of
/// its tool, and a `{report}` is a file that only a slave creates.
fn of_tests(words: &[String]) -> Option<&[String]> {
    let (program, rest) = words.split_first()?;
    let is_ours = program == "rrr-slave" || program.ends_with("/rrr-slave");
    let at = rest.iter().position(|word| word == "--")?;
    let (options, command) = (&rest[..at], &rest[at + 1..]);
    let has_adapter = options
        .iter()
        .any(|word| word == "--adapter" || word.starts_with("--adapter="));
    let has_report = command.iter().any(|word| word.contains("{report}"));
    (is_ours && !has_adapter && !has_report && !command.is_empty()).then_some(command)
}

fn direct(command: &[String], task: &str) -> String {
    let mut words: Vec<String> = command
        .iter()
        .map(|word| word.replace("{}", task))
        .collect();
    if !command.iter().any(|word| word.contains("{}")) {
        words.push(task.to_owned());
    }
    let words: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
    words.join(" ")
}

fn local(slave_command: &str, task: &str, folder: Option<&str>) -> String {
    let folder = folder.map_or(String::new(), |folder| {
        format!(" --packaging-dir {}", shell_word(folder))
    });
    format!(
        "rrr-local{folder} --slave {} {}",
        shell_word(slave_command),
        shell_word(task),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(slave_command: &str, task: &str) -> String {
        rerun(slave_command, task, None)
    }

    #[test]
    fn a_plain_command_is_run_directly() {
        assert_eq!(here("rrr-slave -- sh {}", "it's.sh"), "sh \"it's.sh\"");
        assert_eq!(
            here("rrr-slave -- bundle exec rspec", "a b_spec.rb"),
            "bundle exec rspec 'a b_spec.rb'"
        );
        assert_eq!(
            rerun("rrr-slave -- sh {}", "a.sh", Some("my suite")),
            "(cd 'my suite' && sh a.sh)"
        );
    }

    #[test]
    fn a_slave_command_of_dashes_alone_is_quoted() {
        assert_eq!(here("--", "a"), "rrr-local --slave -- a");
        assert_eq!(here("", "a"), "rrr-local --slave '' a");
    }

    #[test]
    fn an_adapter_or_another_slave_is_run_by_rrr_local() {
        assert_eq!(
            here("rrr-slave --adapter pytest -- -m 'not slow'", "a.py"),
            "rrr-local --slave \"rrr-slave --adapter pytest -- -m 'not slow'\" a.py"
        );
        assert_eq!(
            rerun("bin/slave", "a.rb", Some("x")),
            "rrr-local --packaging-dir x --slave bin/slave a.rb"
        );
        assert_eq!(
            here("rrr-slave -- test {} --junit={report}", "a"),
            "rrr-local --slave 'rrr-slave -- test {} --junit={report}' a"
        );
    }
}
