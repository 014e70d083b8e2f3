//! TAP 14: one line for each task.

use super::run::{Case, Run};
use crate::plain::one_line;
use crate::task;
use std::fmt::Write;

/// The whole document.
pub fn tap(run: &Run) -> String {
    let mut text = format!("TAP version 14\n1..{}\n", run.cases.len());
    for (number, case) in run.cases.iter().enumerate() {
        let (ok, directive) = match case.verdict {
            Some(task::Status::Passed) => ("ok", ""),
            Some(task::Status::Pending) => ("ok", " # SKIP pending"),
            _ => ("not ok", ""),
        };
        let name = escape(case.spec_file);
        let _ = writeln!(text, "{ok} {} - {name}{directive}", number + 1);
        if ok == "not ok" || case.is_flaky() {
            text.push_str(&diagnostics(case));
        }
    }
    if let Some(reason) = &run.document.taskset.fail_reason {
        let _ = writeln!(text, "Bail out! {}", one_line(reason));
    }
    text
}

/// `\` and `#` mean something in a description.
fn escape(text: &str) -> String {
    one_line(text).replace('\\', "\\\\").replace('#', "\\#")
}

/// A YAML block; strings are written as JSON, which YAML reads.
fn diagnostics(case: &Case) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
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
