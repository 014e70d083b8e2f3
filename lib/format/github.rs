//! GitHub Actions: annotations on stdout, and the whole story in `$GITHUB_STEP_SUMMARY`.
//!
//! GitHub shows ten annotations of a kind for each step, and a summary of at most 1 MiB.

use super::markdown;
use super::run::{Case, Run, tail};
use crate::plain::harmless;
use anyhow::Context;
use rustix::fs::OFlags;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

/// Annotations of a kind that GitHub shows.
const MOST: usize = 10;
/// Bytes of a step's summary that GitHub takes.
const SUMMARY: usize = 1 << 20;
/// Most bytes of the message of an annotation.
const MESSAGE: usize = 1 << 10;

/// Writes annotations to `out`, and the summary where the job wants it.
pub fn write(run: &Run, out: &mut dyn Write) -> anyhow::Result<()> {
    let failed = run.cases.iter().filter(|case| case.is_failed());
    let errors = failed.flat_map(errors);
    for annotation in errors.take(MOST) {
        writeln!(out, "{annotation}")?;
    }
    let flaky = run.cases.iter().filter(|case| case.is_flaky());
    for case in flaky.take(MOST) {
        let message = format!("passed in trial {}", case.trials);
        writeln!(
            out,
            "{}",
            command("warning", case.spec_file, None, "flaky", &message)
        )?;
    }
    let receipt = run.summary().receipt();
    writeln!(out, "{}", console::strip_ansi_codes(&receipt))?;
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let problem = || format!("cannot write the step's summary '{}'", path.display());
    // A test may have put a pipe there that nobody reads.
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open(&path)
        .with_context(problem)?;
    let before = file.metadata().with_context(problem)?.len() as usize;
    let text = markdown::markdown(run, SUMMARY.saturating_sub(before));
    file.write_all(text.as_bytes()).with_context(problem)
}

/// The annotations of a failure: one for each example that failed, or one for the file.
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
    let message: String = harmless(message).chars().take(MESSAGE).collect();
    format!(
        "::{kind} file={}{line},title={}::{}",
        property(file),
        property(title),
        data(&message)
    )
}

fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_an_annotation_ends_it() {
        let line = command(
            "error",
            "a:b,c.rb",
            Some(3),
            "x\n::warning::y",
            "100%\r\nof, it: all",
        );
        assert_eq!(
            line,
            "::error file=a%3Ab%2Cc.rb,line=3,title=x%0A%3A%3Awarning%3A%3Ay::100%25%0Aof, it: all"
        );
    }
}
