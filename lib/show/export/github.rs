//! GitHub Actions: annotations on stdout, and the full report in `$GITHUB_STEP_SUMMARY`.
//!
//! GitHub shows ten annotations of each kind per step, and a summary of at most 1 MiB.

use super::markdown::MarkdownPage;
use super::run::{Case, tail, trouble};
use crate::archive::document::{Head, Rest};
use crate::process::text::{harmless, one_line};
use anyhow::Context;
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Maximum annotations of a kind that GitHub shows.
const MOST: usize = 10;
/// Maximum bytes of a step's summary on GitHub.
const SUMMARY: usize = 1 << 20;
/// Maximum characters of an annotation's message and title.
const MESSAGE: usize = 1 << 10;
const TITLE: usize = 200;

/// Annotations of one kind, and the number of those left out.
#[derive(Default)]
struct Some10 {
    shown: Vec<String>,
    more: usize,
}

impl Some10 {
    fn add(&mut self, annotations: impl IntoIterator<Item = String>) {
        for annotation in annotations {
            match self.shown.len() < MOST {
                true => self.shown.push(annotation),
                false => self.more += 1,
            }
        }
    }

    fn print(mut self, out: &mut dyn Write, noun: &str) -> std::io::Result<()> {
        self.more += self.shown.len().saturating_sub(MOST);
        for annotation in self.shown.iter().take(MOST) {
            writeln!(out, "{annotation}")?;
        }
        match self.more {
            0 => Ok(()),
            more => writeln!(out, "... and {more} more {noun}, not shown by GitHub"),
        }
    }
}

/// Writes annotations to `out`, and the summary to the job's file.
pub(crate) fn write(head: &Head, rest: &mut Rest, out: &mut dyn Write) -> anyhow::Result<()> {
    let summary = step_summary()?;
    let room = summary.as_ref().map_or(0, |summary| summary.room);
    let mut page = MarkdownPage::new(room);
    let mut kinds: [Some10; 3] = Default::default();
    let mut failed = 0;
    rest.tasks(|task| {
        let case = Case::of(task);
        page.add(head, &case)?;
        let [bad, flaky, cut] = &mut kinds;
        if case.is_failed() {
            failed += 1;
            bad.add(errors(&case));
        }
        if case.is_flaky() {
            let before = case.first_reason();
            let before = before.map_or(String::new(), |reason| format!("; before: {reason}"));
            let message = format!("passed in trial {}{before}", case.trials);
            flaky.add([command("warning", case.spec_file, None, "flaky", &message)]);
        }
        if let Some(left_out) = case.left_out() {
            let message = format!("{left_out} left out of the record");
            cut.add([command(
                "notice",
                case.spec_file,
                None,
                "left out",
                &message,
            )]);
        }
        Ok(())
    })?;
    let [mut bad, flaky, cut] = kinds;
    if let Some(trouble) = trouble(&head.taskset, failed) {
        let title = property(&format!("taskset {}", trouble.word));
        let message = data(&trouble.message);
        bad.shown
            .insert(0, format!("::error title={title}::{message}"));
    }
    bad.print(out, "errors")?;
    flaky.print(out, "warnings")?;
    cut.print(out, "notices")?;
    let told = match summary {
        Some(mut summary) => {
            let problem = || summary.problem.clone();
            page.finish(head, &mut summary.file).with_context(problem)?
        }
        None => page.finish(head, &mut std::io::sink())?,
    };
    writeln!(out, "{}", console::strip_ansi_codes(&told.receipt()))?;
    Ok(())
}

/// The summary of the job's step.
struct StepSummary {
    file: File,
    /// Bytes left within GitHub's limit.
    room: usize,
    problem: String,
}

fn step_summary() -> anyhow::Result<Option<StepSummary>> {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let path = PathBuf::from(path);
    let problem = format!("cannot write the step's summary '{}'", path.display());
    // A test may have replaced the file with a pipe without a reader.
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open(&path);
    let file = file.with_context(|| problem.clone())?;
    let before = file.metadata().with_context(|| problem.clone())?.len() as usize;
    Ok(Some(StepSummary {
        file,
        room: SUMMARY.saturating_sub(before),
        problem,
    }))
}

/// The annotations of a failure: one per failed example, or one for the file.
fn errors(case: &Case) -> Vec<String> {
    let own = case.failed_examples().map(|example| {
        let file = example.file.as_deref().unwrap_or(case.spec_file);
        let message = example.message.as_deref().unwrap_or("failed");
        command("error", file, example.line, &example.name, message)
    });
    let own: Vec<String> = own.collect();
    if !own.is_empty() {
        return own;
    }
    let output = case.trial.map_or(String::new(), |trial| {
        let text = if trial.stderr.0.is_empty() {
            &trial.stdout
        } else {
            &trial.stderr
        };
        tail(text, MESSAGE)
    });
    let message = format!("{}\n{output}", case.story());
    vec![command(
        "error",
        case.spec_file,
        None,
        case.spec_file,
        message.trim_end(),
    )]
}

fn command(kind: &str, file: &str, line: Option<u64>, title: &str, message: &str) -> String {
    let line = line.map_or(String::new(), |line| format!(",line={line}"));
    format!(
        "::{kind} file={}{line},title={}::{}",
        property(file),
        property(&cut(&one_line(title), TITLE)),
        data(&cut(message, MESSAGE))
    )
}

/// The text cut to a maximum number of characters, with a mark if it was longer.
fn cut(text: &str, most: usize) -> String {
    let mut short: String = text.chars().take(most).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn data(text: &str) -> String {
    harmless(text)
        .replace('%', "%25")
        .replace('\t', " ")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_escape_their_own_terminators() {
        let line = command(
            "error",
            "a:b,c.rb",
            Some(3),
            "x\n::warning::y",
            "100%\r\nof, it: all",
        );
        assert_eq!(
            line,
            "::error file=a%3Ab%2Cc.rb,line=3,title=x %3A%3Awarning%3A%3Ay::100%25%0Aof, it: all"
        );
        let line = command("error", "\u{202e}a", None, "\u{9b}\x1b[1m", "\u{2028}\rx");
        assert!(!line.contains(crate::process::text::is_harmful), "{line:?}");
        let line = command("error", "a", None, &"n".repeat(5000), "m");
        assert!(line.contains("n…::m") && line.len() < 300, "{line}");
    }
}
