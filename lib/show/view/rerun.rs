//! The command that runs one failed task again, on this machine: it works when pasted into a shell.

use crate::process::text::shell_word;
use crate::tool;

/// A failed task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub task: &'a str,
    /// The id of its only failed example, if it has just one.
    pub example: Option<&'a str>,
    /// The folder of the suite, if it is not the current one.
    pub folder: Option<&'a str>,
}

impl Target<'_> {
    /// The task for what has failed: the example, if RSpec or pytest can run it alone.
    fn narrowed(&self) -> &str {
        let is_part = |id: &&str| {
            let rest = id.strip_prefix(self.task);
            rest.is_some_and(|rest| rest.starts_with("::") || rest.starts_with('['))
        };
        self.example.filter(is_part).unwrap_or(self.task)
    }
}

/// A command that runs only what failed again: the command of the tests, if it can be derived from
/// the command that starts a slave, otherwise rrr-local.
pub(crate) fn rerun(slave_command: &str, target: &Target) -> String {
    let words = shlex::split(slave_command).unwrap_or_default();
    if let Some(command) = of_tests(&words) {
        let command = direct(command, target.task);
        return target.folder.map_or(command.clone(), |folder| {
            format!("(cd {} && {command})", shell_word(folder))
        });
    }
    let folder = target.folder.map_or(String::new(), |folder| {
        format!(" --packaging-dir {}", shell_word(folder))
    });
    match plain_adapter(&words) {
        Some((name, options)) => {
            let task = shell_word(target.narrowed());
            format!("rrr-local{folder} --from {name} {task}{options}")
        }
        None => format!(
            "rrr-local{folder} --slave {} {}",
            shell_word(slave_command),
            shell_word(target.task)
        ),
    }
}

/// The adapter for RSpec or pytest of a slave without other flags, and the options of its tool, with
/// `--` in front.
fn plain_adapter(words: &[String]) -> Option<(&str, String)> {
    let [program, flag, name, rest @ ..] = words else {
        return None;
    };
    let is_plain =
        program == "rrr-slave" && flag == "--adapter" && ["rspec", "pytest"].contains(&&**name);
    let is_end = rest.is_empty() || rest[0] == "--";
    let options: String = rest
        .iter()
        .map(|word| format!(" {}", shell_word(word)))
        .collect();
    (is_plain && is_end).then_some((name.as_str(), options))
}

/// The command of the tests in that of a slave. An adapter reads the words after `--` as options of
/// its tool, and a `{report}` is a file that only a slave creates.
fn of_tests(words: &[String]) -> Option<&[String]> {
    let (program, rest) = words.split_first()?;
    let is_ours = program == "rrr-slave" || program.ends_with("/rrr-slave");
    let at = rest.iter().position(|word| word == "--")?;
    let command = &rest[at + 1..];
    let has_adapter = tool::adapter(rest).is_some();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn here(slave_command: &str, task: &str) -> String {
        from(slave_command, task, None)
    }

    fn from(slave_command: &str, task: &str, folder: Option<&str>) -> String {
        let target = Target {
            task,
            example: None,
            folder,
        };
        rerun(slave_command, &target)
    }

    #[test]
    fn a_plain_command_is_run_directly() {
        assert_eq!(here("rrr-slave -- sh {}", "it's.sh"), "sh \"it's.sh\"");
        assert_eq!(
            here("rrr-slave -- bundle exec rspec", "a b_spec.rb"),
            "bundle exec rspec 'a b_spec.rb'"
        );
        assert_eq!(
            from("rrr-slave -- sh {}", "a.sh", Some("my suite")),
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
            "rrr-local --from pytest a.py -- -m 'not slow'"
        );
        assert_eq!(
            here("rrr-slave --adapter pytest --isolation none", "a.py"),
            "rrr-local --slave 'rrr-slave --adapter pytest --isolation none' a.py"
        );
        assert_eq!(
            from("bin/slave", "a.rb", Some("x")),
            "rrr-local --packaging-dir x --slave bin/slave a.rb"
        );
        assert_eq!(
            here("rrr-slave -- test {} --junit={report}", "a"),
            "rrr-local --slave 'rrr-slave -- test {} --junit={report}' a"
        );
    }

    #[test]
    fn the_only_failed_example_is_run_alone() {
        let of = |slave: &str, example: &str| {
            let target = Target {
                task: "a_spec.rb",
                example: Some(example),
                folder: None,
            };
            rerun(slave, &target)
        };
        let rspec = "rrr-slave --adapter rspec";
        assert_eq!(
            of(rspec, "a_spec.rb[1:2]"),
            "rrr-local --from rspec 'a_spec.rb[1:2]'"
        );
        assert_eq!(
            of(rspec, "b_spec.rb[1:2]"),
            "rrr-local --from rspec a_spec.rb"
        );
        assert_eq!(
            of("rrr-slave -- rspec", "a_spec.rb[1:2]"),
            "rspec a_spec.rb"
        );
    }
}
