//! JUnit XML, in the dialect that CI servers read: one flat level of suites, one for each spec
//! file; a case for each example, or one for the file where no example is known.

use super::run::{Case, Run, tail};
use crate::example::{Example, Status};
use crate::record::{Bytes, Trial};
use crate::{task, time, trial};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};
use std::collections::HashMap;
use std::time::Duration;

/// Most bytes of each output of a trial.
const OUTPUT: usize = 64 << 10;
/// Most bytes of what tests wrote, all together: GitLab takes files under 30 MB.
const ALL: usize = 16 << 20;

/// The report of a run.
pub fn report(run: &Run) -> Report {
    let mut report = Report::new("rrr");
    if let Some(at) = run
        .document
        .taskset
        .created_at
        .as_deref()
        .and_then(time::parse)
    {
        report.set_timestamp(at);
    }
    if let Some(elapsed) = run.elapsed_ms() {
        report.set_time(Duration::from_millis(elapsed));
    }
    let mut room = ALL;
    for case in &run.cases {
        report.add_test_suite(suite(case, &mut room));
    }
    report
}

fn suite(case: &Case, room: &mut usize) -> TestSuite {
    let mut suite = TestSuite::new(case.spec_file);
    let took = case.duration_ms().map(Duration::from_millis);
    if let Some(at) = case
        .trial
        .and_then(|trial| time::parse(trial.started_at.as_deref()?))
    {
        suite.set_timestamp(at);
    }
    if let Some(took) = took {
        suite.set_time(took);
    }
    let mut names = HashMap::new();
    for example in case.examples() {
        suite.add_test_case(example_case(case, example, &mut names, room));
    }
    // A file that failed outside of its examples, or that told of none, is a case of its own.
    let told = case.failed_examples().next().is_some();
    if case.examples().is_empty() || (case.is_failed() && !told) {
        suite.add_test_case(file_case(case, took, &mut names));
    }
    if let Some(trial) = case.trial.filter(|_| case.is_failed()) {
        if let Some(text) = output(&trial.stdout, room) {
            suite.set_system_out(text);
        }
        if let Some(text) = output(&trial.stderr, room) {
            suite.set_system_err(text);
        }
    }
    suite
}

/// The end of an output, if there is one and room for it.
fn output(bytes: &Bytes, room: &mut usize) -> Option<String> {
    let text = tail(bytes, OUTPUT);
    (!text.is_empty() && takes(&text, room)).then_some(text)
}

/// Takes the room that the text needs as XML, if there is so much.
fn takes(text: &str, room: &mut usize) -> bool {
    let escaped = text.bytes().filter(|byte| b"<>&'\"".contains(byte)).count();
    let needed = text.len() + 5 * escaped;
    let fits = needed <= *room;
    if fits {
        *room -= needed;
    }
    fits
}

/// GitLab keeps only the first of two cases with one name.
fn unique(name: &str, names: &mut HashMap<String, u32>) -> String {
    let seen = names.entry(name.to_owned()).or_insert(0);
    *seen += 1;
    match *seen {
        1 => name.to_owned(),
        number => format!("{name} ({number})"),
    }
}

fn new_case(
    case: &Case,
    name: &str,
    status: TestCaseStatus,
    file: &str,
    line: Option<u64>,
) -> TestCase {
    let mut test = TestCase::new(name, status);
    test.set_classname(case.spec_file);
    test.extra.insert("file".into(), file.into());
    if let Some(line) = line {
        test.extra.insert("line".into(), line.to_string().into());
    }
    test
}

fn example_case(
    case: &Case,
    example: &Example,
    names: &mut HashMap<String, u32>,
    room: &mut usize,
) -> TestCase {
    let message = example.message.as_deref().unwrap_or_default();
    let first: String = message
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(200)
        .collect();
    let mut bad = |kind, word: &str| {
        let mut status = TestCaseStatus::non_success(kind);
        status.set_type(word);
        status.set_message(if first.is_empty() { word } else { &first });
        if takes(message, room) {
            status.set_description(message);
        }
        status
    };
    let mut status = match example.status {
        Status::Passed => TestCaseStatus::success(),
        Status::Pending => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(if first.is_empty() { "pending" } else { &first });
            status
        }
        Status::Failed => bad(NonSuccessKind::Failure, "failed"),
        Status::Error => bad(NonSuccessKind::Error, "error"),
    };
    if example.status != Status::Pending {
        let same = |trial: &&&Trial| failed_in(trial, example);
        let before = case.wrong.iter().filter(same);
        status.add_reruns(before.map(|trial| rerun(trial)));
    }
    let file = example.file.as_deref().unwrap_or(case.spec_file);
    let mut test = new_case(
        case,
        &unique(&example.name, names),
        status,
        file,
        example.line,
    );
    if let Some(took) = example.duration_ms {
        test.set_time(Duration::from_millis(took));
    }
    test
}

/// Whether the example went wrong in that trial, too.
fn failed_in(trial: &Trial, example: &Example) -> bool {
    let bad = |one: &Example| matches!(one.status, Status::Failed | Status::Error);
    let all = trial.examples.iter().flatten();
    all.clone().any(|one| one.id == example.id && bad(one))
}

fn kind(trial: &Trial) -> NonSuccessKind {
    match trial.status() {
        Some(trial::Status::Failed) => NonSuccessKind::Failure,
        _ => NonSuccessKind::Error,
    }
}

fn file_case(case: &Case, took: Option<Duration>, names: &mut HashMap<String, u32>) -> TestCase {
    let mut status = match (case.verdict, case.trial) {
        (Some(task::Status::Passed), _) => TestCaseStatus::success(),
        (Some(task::Status::Pending), _) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message("pending");
            status
        }
        (Some(task::Status::Failed), trial) => {
            let kind = trial.map_or(NonSuccessKind::Error, kind);
            let mut status = TestCaseStatus::non_success(kind);
            status.set_type(case.word());
            status.set_message(case.story());
            status
        }
        (None, _) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message("the run ended before it");
            status
        }
    };
    if case
        .verdict
        .is_some_and(|verdict| verdict != task::Status::Pending)
    {
        status.add_reruns(case.wrong.iter().map(|trial| rerun(trial)));
    }
    let mut test = new_case(
        case,
        &unique(case.spec_file, names),
        status,
        case.spec_file,
        None,
    );
    if let Some(took) = took {
        test.set_time(took);
    }
    test
}

/// A trial that went wrong before the one that decided.
fn rerun(trial: &Trial) -> TestRerun {
    let word = trial.status().map_or("error", trial::Status::as_str);
    let mut rerun = TestRerun::new(kind(trial));
    rerun.set_type(word);
    rerun.set_message(match trial.exit_code {
        Some(code) => format!("{word}, exit {code}"),
        None => word.to_owned(),
    });
    rerun
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Document;
    use serde_json::json;

    #[test]
    fn a_report_stays_under_what_servers_take_whatever_tests_write() {
        let task = |n: usize| {
            let key = format!("rrrspec:taskset:t:task:{n}.rb");
            let example = |id: usize| json!({"id": id.to_string(), "name": "same", "status": "failed", "message": "<".repeat(4000)});
            let trial = json!({
                "key": format!("{key}:trial:1"),
                "status": "failed",
                "stdout": "&".repeat(200_000),
                "stderr": "",
                "examples": (0..50).map(example).collect::<Vec<_>>(),
            });
            json!({"key": key, "status": "failed", "trials": [trial]})
        };
        let document = json!({
            "key": "rrrspec:taskset:t",
            "taskset": {"status": "failed"},
            "log": "",
            "tasks": (0..50).map(task).collect::<Vec<_>>(),
            "slaves": [],
            "worker_logs": [],
        });
        let document: Document = serde_json::from_value(document).unwrap();
        let xml = report(&Run::of(&document)).to_string().unwrap();
        assert!(xml.len() < 30_000_000, "{}", xml.len());
        assert!(xml.len() > 10_000_000, "as much as goes in: {}", xml.len());
        assert!(xml.contains("name=\"same (50)\""), "names are unique");
        assert!(xml.contains("failures=\"2500\""), "every case is there");
    }
}
