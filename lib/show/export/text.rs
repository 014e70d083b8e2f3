//! Text for people: the failures with the end of their output, then the summary.

use super::run::{Case, Tally, status, tail};
use crate::archive::document::{Head, Rest};
use crate::process::text::{harmless, one_line};
use std::io::Write;

/// Maximum bytes of each output of a failure.
const OUTPUT: usize = 4 << 10;

/// Writes the whole text.
pub(crate) fn write(head: &Head, rest: &mut Rest, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "{} {}", head.key, one_line(status(&head.taskset)))?;
    let mut tally = Tally::default();
    rest.tasks(|task| {
        let case = Case::of(task);
        tally.add(&case);
        match case.is_failed() {
            true => failure(&case, out),
            false => Ok(()),
        }
    })?;
    for line in tally.summary(head).lines() {
        writeln!(out, "{}", console::strip_ansi_codes(&line))?;
    }
    Ok(())
}

fn failure(case: &Case, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "\n--- {}: {}", one_line(case.spec_file), case.story())?;
    for example in case.failed_examples() {
        writeln!(out, "{}", one_line(&example.name))?;
        let message = harmless(example.message.as_deref().unwrap_or_default());
        for line in message.lines() {
            writeln!(out, "    {line}")?;
        }
    }
    let Some(trial) = case.trial else {
        return Ok(());
    };
    for (name, output) in [("stdout", &trial.stdout), ("stderr", &trial.stderr)] {
        if !output.0.is_empty() {
            writeln!(out, "--- {name}\n{}", tail(output, OUTPUT).trim_end())?;
        }
    }
    Ok(())
}
