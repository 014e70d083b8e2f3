//! Markdown, for a pull request or the summary page of a CI job.

use super::run::{Case, Run, tail};
use crate::plain::{duration, harmless, one_line};
use crate::view::summary::rerun;
use std::fmt::Write;

/// Most bytes of each output of a failure.
const OUTPUT: usize = 2 << 10;

/// The whole text; failures are left out, and counted, where it would be longer than `most` bytes.
pub fn markdown(run: &Run, most: usize) -> String {
    let summary = run.summary();
    let receipt = console::strip_ansi_codes(&summary.receipt()).into_owned();
    let mut text = format!(
        "## {}\n\n{}\n",
        title(run),
        code(&run.document.key.to_string())
    );
    let _ = writeln!(text, "\n{}", receipt);
    if let Some(reason) = &summary.fail_reason {
        let _ = writeln!(text, "\nReason: {}", code(reason));
    }
    let mut end = String::new();
    if !summary.flaky.is_empty() {
        end += "\n### Flaky\n\n";
        for (file, trials) in &summary.flaky {
            let _ = writeln!(end, "- {} in trial {trials}", code(file));
        }
    }
    if !summary.slowest.is_empty() {
        end += "\n### Slowest\n\n| took | file |\n| ---: | --- |\n";
        for (file, took) in &summary.slowest {
            let _ = writeln!(
                end,
                "| {} | {} |",
                duration(*took),
                code(file).replace('|', "\\|")
            );
        }
    }
    let failed: Vec<&Case> = run.cases.iter().filter(|case| case.is_failed()).collect();
    if !failed.is_empty() {
        text += "\n### Failed\n";
    }
    for (number, case) in failed.iter().enumerate() {
        let part = failure(case, &summary.slave_command);
        // Room for the note below, too.
        if text.len() + part.len() + end.len() + 100 > most {
            let _ = writeln!(text, "\n… and {} more failures.", failed.len() - number);
            break;
        }
        text += &part;
    }
    text + &end
}

fn title(run: &Run) -> &'static str {
    match run.status() {
        "succeeded" => "✅ succeeded",
        "failed" => "❌ failed",
        "cancelled" => "⚪ cancelled",
        _ => "⏳ not finished",
    }
}

fn failure(case: &Case, slave_command: &str) -> String {
    let mut text = format!("\n#### {}\n\n{}\n", code(case.spec_file), case.story());
    for example in case.failed_examples() {
        let _ = writeln!(text, "\n**{}**", escape(&example.name));
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
    let _ = writeln!(
        text,
        "\nAgain: {}",
        code(&rerun(slave_command, case.spec_file))
    );
    text
}

/// Text that Markdown and HTML leave alone.
fn escape(text: &str) -> String {
    let mut safe = String::new();
    for c in one_line(text).chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' => {
                safe.push('\\');
                safe.push(c);
            }
            _ => safe.push(c),
        }
    }
    safe
}

/// A fence longer than any row of backticks in the text.
fn fence(text: &str, least: usize) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(least.max(longest + 1))
}

fn code(text: &str) -> String {
    let text = one_line(text);
    let fence = fence(&text, 1);
    match text.starts_with('`') || text.ends_with('`') {
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
    fn no_text_of_a_test_leaves_its_fence() {
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(block("a\n```\nb\n"), "````text\na\n```\nb\n````");
        assert_eq!(escape("<img src=x> *a*"), "&lt;img src=x&gt; \\*a\\*");
    }
}
