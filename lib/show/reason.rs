//! The reason why a trial did not pass, in a line.

use crate::process::signals;
use crate::process::text::{cut, one_line};
use crate::protocol::example::Example;

/// Maximum width of a reason.
const WIDTH: usize = 160;

/// The facts about a trial that did not pass.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts<'a> {
    pub status: &'a str,
    pub exit_code: Option<i64>,
    pub signal: Option<i64>,
    pub examples: &'a [Example],
    pub stdout: &'a str,
    pub stderr: &'a str,
}

impl Facts<'_> {
    /// How the trial ended: `exit 3`, `SIGSEGV`, `timeout`, `failed`.
    pub(crate) fn end(&self) -> String {
        match (self.status, self.signal, self.exit_code) {
            ("failed" | "error", Some(signal), _) => signals::name(signal as i32),
            ("failed", None, Some(code)) => format!("exit {code}"),
            (status, ..) => one_line(status),
        }
    }

    /// The first failed example with its place and the first line of its message, or else the end
    /// of the trial with the last line of its output.
    pub(crate) fn reason(&self) -> String {
        let mut bad = self
            .examples
            .iter()
            .filter(|example| example.status.is_bad());
        let text = match bad.next() {
            Some(example) => {
                let message = example.message.as_deref().unwrap_or_default();
                let first = message.lines().find(|line| !line.trim().is_empty());
                joined(&place(example), first)
            }
            None => joined(
                &self.end(),
                last_line(self.stderr).or(last_line(self.stdout)),
            ),
        };
        cut(&one_line(&text), WIDTH)
    }
}

/// `file:line name` of an example.
pub(crate) fn place(example: &Example) -> String {
    match (&example.file, example.line) {
        (Some(file), Some(line)) => format!("{file}:{line} {}", example.name),
        (Some(file), None) => format!("{file} {}", example.name),
        _ => example.name.clone(),
    }
}

fn joined(first: &str, rest: Option<&str>) -> String {
    match rest {
        Some(rest) => format!("{first}: {}", rest.trim()),
        None => first.to_owned(),
    }
}

fn last_line(text: &str) -> Option<&str> {
    text.lines().rev().find(|line| !line.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::example::Status;

    #[test]
    fn the_reason_is_the_failed_example_or_the_last_line_of_output() {
        let mut bad = Example::new("adds", Status::Failed);
        bad.file = Some("a_spec.rb".into());
        bad.line = Some(7);
        bad.message = Some("\n  expected 4\n  got 5".into());
        let examples = [Example::new("fine", Status::Passed), bad];
        let facts = Facts {
            status: "failed",
            examples: &examples,
            stdout: "noise",
            ..Facts::default()
        };
        assert_eq!(facts.reason(), "a_spec.rb:7 adds: expected 4");
        let facts = Facts {
            status: "failed",
            exit_code: Some(3),
            stdout: "out\n",
            stderr: "one\nboom\x1b[0m\n\n",
            ..Facts::default()
        };
        assert_eq!(facts.reason(), "exit 3: boom␛[0m");
        let facts = Facts {
            status: "error",
            signal: Some(11),
            ..Facts::default()
        };
        assert_eq!(facts.reason(), "SIGSEGV");
        assert_eq!(
            Facts {
                status: "timeout",
                ..facts
            }
            .reason(),
            "timeout"
        );
    }
}
