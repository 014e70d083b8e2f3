//! JUnit XML, in the dialect that CI servers read: one flat level of suites, one for each spec
//! file; a case for each example, or one for the file where no example is known.

use super::run::{Case, Run, tail};
use crate::example::{Example, Status};
use crate::record::Trial;
use crate::{task, time, trial};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};
use std::collections::HashMap;
use std::time::Duration;

/// Most bytes of each output of a trial, and of all together: GitLab takes files under 30 MB.
const OUTPUT: usize = 64 << 10;
const OUTPUTS: usize = 20 << 20;

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
    let mut room = OUTPUTS;
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
        suite.add_test_case(example_case(case, example, &mut names));
    }
    // A file that failed outside of its examples, or that told of none, is a case of its own.
    let told = case.failed_examples().next().is_some();
    if case.examples().is_empty() || (case.is_failed() && !told) {
        suite.add_test_case(file_case(case, took, &mut names));
    }
    let outputs = case.trial.filter(|_| case.is_failed());
    if let Some((stdout, stderr)) = outputs.map(|trial| (&trial.stdout, &trial.stderr)) {
        for (output, is_stdout) in [(stdout, true), (stderr, false)] {
            let text = tail(output, OUTPUT.min(*room));
            *room = room.saturating_sub(text.len());
            match is_stdout {
                _ if output.0.is_empty() => continue,
                true => suite.set_system_out(text),
                false => suite.set_system_err(text),
            };
        }
    }
    suite
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

fn example_case(case: &Case, example: &Example, names: &mut HashMap<String, u32>) -> TestCase {
    let message = example.message.as_deref().unwrap_or_default();
    let bad = |kind, word: &str| {
        let mut status = TestCaseStatus::non_success(kind);
        status.set_type(word);
        status.set_message(message.lines().next().unwrap_or(word));
        status.set_description(message);
        status
    };
    let mut status = match example.status {
        Status::Passed => TestCaseStatus::success(),
        Status::Pending => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(message.lines().next().unwrap_or("pending"));
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
