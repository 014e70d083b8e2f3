//! Markdown, for a pull request or the summary page of a CI job.

use super::run::{Case, Tally, status, tail};
use super::spool::Spool;
use crate::archive::document::{Head, Rest};
use crate::process::text::{duration, harmless, one_line};
use crate::show::view::rerun::{Target, rerun};
use crate::show::view::summary::{Summary, only_failure};
use std::fmt::Write as _;
use std::io::{Read, Write};

/// Maximum bytes of each output of a failure.
const OUTPUT: usize = 2 << 10;
/// Bytes reserved for the line that counts omitted failures.
const NOTE: usize = 100;

/// Writes the whole page.
pub(crate) fn write(head: &Head, rest: &mut Rest, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut page = MarkdownPage::new(usize::MAX);
    rest.tasks(|task| page.add(head, &Case::of(task)))?;
    page.finish(head, out).map(drop)
}

/// A page in progress: its first part is known last.
pub(crate) struct MarkdownPage {
    tally: Tally,
    failures: Spool,
    /// The size of each in bytes.
    lengths: Vec<usize>,
    spooled: usize,
    most: usize,
}

impl MarkdownPage {
    /// An empty page; failures that would make it longer than `most` bytes are omitted and counted.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            tally: Tally::default(),
            failures: Spool::default(),
            lengths: Vec::new(),
            spooled: 0,
            most,
        }
    }

    /// Adds a task.
    pub(crate) fn add(&mut self, head: &Head, case: &Case) -> anyhow::Result<()> {
        self.tally.add(case);
        if case.is_failed() && self.spooled < self.most {
            let slave_command = head.taskset.slave_command.as_deref().unwrap_or_default();
            let part = failure(case, slave_command);
            self.failures.write_all(part.as_bytes())?;
            self.lengths.push(part.len());
            self.spooled += part.len();
        }
        Ok(())
    }

    /// Writes the page, and returns its summary.
    pub(crate) fn finish(self, head: &Head, out: &mut dyn Write) -> anyhow::Result<Summary> {
        let summary = self.tally.summary(head);
        let (start, end) = (start(head, &summary), end(&summary));
        let mut room = self.most.saturating_sub(start.len() + end.len() + NOTE);
        out.write_all(start.as_bytes())?;
        let fits = |length: &&usize| {
            let fits = **length <= room;
            room = room.saturating_sub(**length);
            fits
        };
        let shown: Vec<usize> = self.lengths.iter().take_while(fits).copied().collect();
        let bytes = shown.iter().sum::<usize>() as u64;
        std::io::copy(&mut self.failures.into_reader()?.take(bytes), out)?;
        let more = summary.failures.len() - shown.len();
        if more > 0 {
            writeln!(out, "\n… and {more} more failures.")?;
        }
        out.write_all(end.as_bytes())?;
        Ok(summary)
    }
}

fn start(head: &Head, summary: &Summary) -> String {
    let receipt = summary.receipt();
    let mut text = format!(
        "## {}\n\n{}\n\n{}\n",
        title(&head.taskset),
        code(head.key.as_str()),
        escape(&console::strip_ansi_codes(&receipt), PLAIN)
    );
    if let Some(reason) = summary.reason() {
        let _ = writeln!(text, "\nReason: {}", code(reason));
    }
    if !summary.failures.is_empty() {
        text += "\n### Failed\n";
    }
    text
}

fn end(summary: &Summary) -> String {
    let mut end = String::new();
    if !summary.flaky.is_empty() {
        end += "\n### Flaky\n\n";
        for task in &summary.flaky {
            let reason = task.reason.as_deref().map(code);
            let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
            let _ = writeln!(
                end,
                "- {} in trial {}{reason}",
                code(&task.spec_file),
                task.trials
            );
        }
    }
    if !summary.left_out.is_empty() {
        end += "\n### Left out of the record\n\n";
        for (file, what) in &summary.left_out {
            let _ = writeln!(end, "- {}: {what}", code(file));
        }
    }
    if !summary.slowest.is_empty() {
        end += "\n### Slowest\n\n| took | file |\n| ---: | --- |\n";
        for (file, took) in &summary.slowest {
            let _ = writeln!(end, "| {} | {} |", duration(*took), cell(file));
        }
    }
    end
}

fn title(taskset: &crate::archive::document::Taskset) -> &'static str {
    match status(taskset) {
        "succeeded" => "✅ succeeded",
        "failed" => "❌ failed",
        "cancelled" => "⚪ cancelled",
        _ => "⏳ not finished",
    }
}

fn failure(case: &Case, slave_command: &str) -> String {
    let mut text = format!("\n#### {}\n\n{}\n", code(case.spec_file), case.story());
    for example in case.failed_examples() {
        let _ = writeln!(text, "\n**{}**", code(&example.name));
        if let Some(message) = &example.message {
            let _ = writeln!(text, "\n{}", block(&harmless(message)));
        }
    }
    if let Some(trial) = case
        .trial
        .filter(|_| case.failed_examples().next().is_none())
    {
        for output in [&trial.stdout, &trial.stderr] {
            if !output.0.is_empty() {
                let _ = writeln!(text, "\n{}", block(&tail(output, OUTPUT)));
            }
        }
    }
    let example = only_failure(case.examples());
    let target = Target {
        task: case.spec_file,
        example: example.as_deref(),
        folder: None,
    };
    let _ = writeln!(text, "\nAgain: {}", code(&rerun(slave_command, &target)));
    text
}

/// Punctuation of a receipt, which has no meaning within a line.
const PLAIN: &str = "+=;:.,-()/";

/// Text on one line with its punctuation, except `kept`, written as numeric character references,
/// which Markdown and HTML do not interpret.
fn escape(text: &str, kept: &str) -> String {
    let mut safe = String::new();
    for c in one_line(text).chars() {
        match c.is_ascii_punctuation() && !kept.contains(c) {
            true => {
                let _ = write!(safe, "&#{};", c as u32);
            }
            false => safe.push(c),
        }
    }
    safe
}

/// Code in a table cell, which a `|` would end, since GitHub splits cells first.
fn cell(text: &str) -> String {
    match text.contains('|') {
        true => format!("<code>{}</code>", escape(text, "")),
        false => code(text),
    }
}

/// A fence longer than any run of backticks in the text.
fn fence(text: &str, least: usize) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(least.max(longest + 1))
}

fn code(text: &str) -> String {
    let text = one_line(text);
    let fence = fence(&text, 1);
    let bare = text.starts_with('`') || text.ends_with('`') || text.is_empty();
    match bare {
        true => format!("{fence} {text} {fence}"),
        false => format!("{fence}{text}{fence}"),
    }
}

fn block(text: &str) -> String {
    let fence = fence(text, 3);
    format!("{fence}text\n{}\n{fence}", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_output_cannot_close_its_fence() {
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(block("a\n```\nb\n"), "````text\na\n```\nb\n````");
        assert_eq!(code(""), "`  `");
        assert_eq!(escape("<b> *a*", PLAIN), "&#60;b&#62; &#42;a&#42;");
        assert_eq!(cell("a\\|b"), "<code>a&#92;&#124;b</code>");
    }
}
