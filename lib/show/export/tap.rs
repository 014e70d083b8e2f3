//! TAP 14: one line per task.

use super::run::{Case, trouble};
use super::spool::Spool;
use crate::archive::document::{Head, Rest};
use crate::process::text::{harmless_json, one_line};
use crate::protocol::status::TaskStatus;
use std::fmt::Write as _;
use std::io::Write;

/// Writes the whole document. A problem of the taskset itself is a separate test point, and ends
/// the document as a bail-out.
pub(crate) fn write(head: &Head, rest: &mut Rest, out: &mut dyn Write) -> anyhow::Result<()> {
    let (mut number, mut failed) = (0, 0);
    // The plan comes first but is known last.
    let mut points = Spool::default();
    rest.tasks(|task| {
        let case = Case::of(task);
        number += 1;
        failed += u64::from(case.is_failed());
        Ok(points.write_all(point(number, &case).as_bytes())?)
    })?;
    let trouble = trouble(&head.taskset, failed);
    let plan = number + u64::from(trouble.is_some());
    writeln!(out, "TAP version 14\n1..{plan}")?;
    points.copy_to(out)?;
    if let Some(trouble) = trouble {
        let message = one_line(&trouble.message);
        let name = escape(&format!("the taskset itself: {message}"));
        writeln!(out, "not ok {plan} - {name}\nBail out! {message}")?;
    }
    Ok(())
}

fn point(number: u64, case: &Case) -> String {
    let (ok, directive) = match case.verdict {
        Some(TaskStatus::Passed) => ("ok", ""),
        Some(TaskStatus::Pending) => ("ok", " # SKIP pending"),
        _ => ("not ok", ""),
    };
    let name = escape(case.spec_file);
    let mut text = format!("{ok} {number} - {name}{directive}\n");
    if ok == "not ok" || case.is_flaky() || case.left_out().is_some() {
        text.push_str(&diagnostics(case));
    }
    text
}

/// Escapes `\` and `#`, which are special in a description.
fn escape(text: &str) -> String {
    one_line(text).replace('\\', "\\\\").replace('#', "\\#")
}

/// A YAML block; strings are written as JSON, which YAML reads.
fn diagnostics(case: &Case) -> String {
    let quoted = |text: &str| harmless_json(serde_json::Value::from(text).to_string());
    let mut text = "  ---\n".to_owned();
    let status = if case.is_flaky() {
        "flaky"
    } else {
        case.word()
    };
    let _ = writeln!(
        text,
        "  status: {}\n  trials: {}",
        quoted(status),
        case.trials
    );
    if let Some(took) = case.duration_ms() {
        let _ = writeln!(text, "  duration_ms: {took}");
    }
    if let Some(code) = case.trial.and_then(|trial| trial.exit_code) {
        let _ = writeln!(text, "  exit_code: {code}");
    }
    if let Some(cut) = case.left_out() {
        let _ = writeln!(text, "  left_out: {}", quoted(&cut.to_string()));
    }
    let failed: Vec<_> = case.failed_examples().collect();
    if !failed.is_empty() {
        text.push_str("  failures:\n");
    }
    for example in failed {
        let _ = writeln!(text, "    - name: {}", quoted(&example.name));
        if let Some(message) = &example.message {
            let _ = writeln!(text, "      message: {}", quoted(message));
        }
        if let (Some(file), Some(line)) = (&example.file, example.line) {
            let _ = writeln!(text, "      at: {}", quoted(&format!("{file}:{line}")));
        }
    }
    text + "  ...\n"
}
