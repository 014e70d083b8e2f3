//! For a person: what failed with the end of its output, then the summary.

use super::run::{Run, tail};
use crate::plain::{harmless, one_line};
use std::fmt::Write;

/// Most bytes of each output of a failure.
const OUTPUT: usize = 4 << 10;

/// The whole text.
pub fn text(run: &Run) -> String {
    let mut text = format!("{} {}\n", run.document.key, run.status());
    for case in run.cases.iter().filter(|case| case.is_failed()) {
        let _ = writeln!(text, "\n--- {}: {}", one_line(case.spec_file), case.story());
        for example in case.failed_examples() {
            let _ = writeln!(text, "{}", one_line(&example.name));
            let message = harmless(example.message.as_deref().unwrap_or_default());
            message
                .lines()
                .for_each(|line| text.push_str(&format!("    {line}\n")));
        }
        let Some(trial) = case.trial else { continue };
        for (name, output) in [("stdout", &trial.stdout), ("stderr", &trial.stderr)] {
            if !output.0.is_empty() {
                let _ = writeln!(text, "--- {name}\n{}", tail(output, OUTPUT).trim_end());
            }
        }
    }
    for line in run.summary().lines() {
        text.push_str(&console::strip_ansi_codes(&line));
        text.push('\n');
    }
    text
}
