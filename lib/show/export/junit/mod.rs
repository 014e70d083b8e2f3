//! JUnit XML, in the dialect that CI servers read: one flat level of suites, one per spec file; one
//! case per example, or one for the file if no examples are known. A problem of the taskset itself
//! is a separate suite and case.
//!
//! Examples missing from the record are counted in the totals, and reported as a property and a
//! note.

mod names;
mod outcome;

use super::run::{Case, elapsed_ms, trouble};
use super::spool::Spool;
use super::xml::Xml;
use crate::archive::document::{Head, Rest};
use crate::protocol::example::Example;
use crate::protocol::time;
use chrono::SecondsFormat;
use names::Names;
use outcome::{Kind, OUTPUT, Outcome, example_outcome, file_outcome, first_line, output};
use std::io::Write;

/// Maximum bytes of all test output together: GitLab accepts files under 30 MB.
const ALL: usize = 16 << 20;

/// Writes the report.
pub(crate) fn write(head: &Head, rest: &mut Rest, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut totals = Totals::default();
    let mut failed = 0;
    let mut room = ALL;
    // The totals come first but are known last.
    let mut suites = Spool::default();
    rest.tasks(|task| {
        let case = Case::of(task);
        failed += u64::from(case.is_failed());
        let (own, xml) = suite(&case, &mut room)?;
        totals.add(&own);
        suites.write_all(&xml)?;
        Ok(suites.write_all(b"\n")?)
    })?;
    if let Some(trouble) = trouble(&head.taskset, failed) {
        let own = Totals {
            tests: 1,
            errors: 1,
            ..Totals::default()
        };
        totals.add(&own);
        let key = head.key.as_str();
        let mut xml = Xml::new(Vec::new());
        own.open(&mut xml, "testsuite", key, &[])?;
        let attributes = [
            ("name", Some("the taskset itself")),
            ("classname", Some(key)),
        ];
        xml.open("testcase", &attributes)?;
        let first = first_line(&trouble.message);
        let attributes = [("message", Some(&*first)), ("type", Some(&trouble.word))];
        xml.element("error", &attributes, Some(&trouble.message))?;
        xml.close("testcase")?;
        xml.close("testsuite")?;
        suites.write_all(&xml.into_inner())?;
        suites.write_all(b"\n")?;
    }
    let at = head.taskset.created_at.as_deref().and_then(rfc3339);
    let took = elapsed_ms(&head.taskset).map(seconds);
    let mut start = Xml::new(Vec::new());
    let more = [("timestamp", at.as_deref()), ("time", took.as_deref())];
    totals.open(&mut start, "testsuites", "rrr", &more)?;
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    out.write_all(&start.into_inner())?;
    out.write_all(b"\n")?;
    suites.copy_to(out)?;
    Ok(writeln!(out, "</testsuites>")?)
}

fn rfc3339(at: &str) -> Option<String> {
    Some(time::parse(at)?.to_rfc3339_opts(SecondsFormat::Millis, false))
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// The counts of one suite, or of all.
#[derive(Clone, Copy, Default)]
struct Totals {
    tests: u64,
    skipped: u64,
    failures: u64,
    errors: u64,
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.tests += other.tests;
        self.skipped += other.skipped;
        self.failures += other.failures;
        self.errors += other.errors;
    }

    fn count(&mut self, outcome: &Outcome) {
        self.tests += 1;
        match outcome.kind {
            Kind::Success => {}
            Kind::Skipped => self.skipped += 1,
            Kind::Failure => self.failures += 1,
            Kind::Error => self.errors += 1,
        }
    }

    fn open(
        &self,
        xml: &mut Xml<Vec<u8>>,
        element: &str,
        name: &str,
        more: &[(&str, Option<&str>)],
    ) -> std::io::Result<()> {
        let numbers = [self.tests, self.skipped, self.failures, self.errors].map(|n| n.to_string());
        let [tests, skipped, failures, errors] = &numbers;
        let mut attributes = vec![
            ("name", Some(name)),
            ("tests", Some(tests)),
            ("skipped", Some(skipped)),
            ("failures", Some(failures)),
            ("errors", Some(errors)),
        ];
        attributes.extend(more);
        xml.open(element, &attributes)
    }
}

/// Writes the suite of a file, and returns its counts.
fn suite(case: &Case, room: &mut usize) -> anyhow::Result<(Totals, Vec<u8>)> {
    let mut totals = Totals::default();
    let mut cases = Xml::new(Vec::new());
    let mut names = Names::default();
    for example in case.examples() {
        let outcome = example_outcome(case, example, room);
        totals.count(&outcome);
        example_case(&mut cases, case, example, &outcome, &mut names)?;
    }
    // A file that failed outside its examples, or that reported none, is a separate case.
    let told = case.failed_examples().next().is_some();
    if case.examples().is_empty() || (case.is_failed() && !told) {
        let outcome = file_outcome(case, room);
        totals.count(&outcome);
        file_case(&mut cases, case, &outcome, &mut names)?;
    }
    let left_out = case.left_out();
    if let Some(left_out) = left_out {
        totals.tests += left_out.all;
        totals.skipped += left_out.pending;
        totals.failures += left_out.failed;
    }
    let note = left_out.map(|left_out| format!("rrr: {left_out} left out of the record"));
    let at = case
        .trial
        .and_then(|trial| rfc3339(trial.started_at.as_deref()?));
    let took = case.duration_ms().map(seconds);
    let mut xml = Xml::new(Vec::new());
    let more = [("timestamp", at.as_deref()), ("time", took.as_deref())];
    totals.open(&mut xml, "testsuite", case.spec_file, &more)?;
    if let Some(left_out) = left_out {
        xml.open("properties", &[])?;
        let value = left_out.to_string();
        let attributes = [
            ("name", Some("rrr.examples_left_out")),
            ("value", Some(&*value)),
        ];
        xml.element("property", &attributes, None)?;
        xml.close("properties")?;
    }
    xml.append(cases);
    outputs(&mut xml, case, note, room)?;
    xml.close("testsuite")?;
    Ok((totals, xml.into_inner()))
}

/// The output of the deciding trial of a failed file, and the note.
fn outputs(
    xml: &mut Xml<Vec<u8>>,
    case: &Case,
    note: Option<String>,
    room: &mut usize,
) -> std::io::Result<()> {
    let trial = case.trial.filter(|_| case.is_failed());
    let stdout = trial.and_then(|trial| output(&trial.stdout, OUTPUT, room));
    let stdout: Vec<String> = note.into_iter().chain(stdout).collect();
    if !stdout.is_empty() {
        xml.element("system-out", &[], Some(&stdout.join("\n")))?;
    }
    match trial.and_then(|trial| output(&trial.stderr, OUTPUT, room)) {
        Some(text) => xml.element("system-err", &[], Some(&text)),
        None => Ok(()),
    }
}

fn example_case(
    xml: &mut Xml<Vec<u8>>,
    case: &Case,
    example: &Example,
    outcome: &Outcome,
    names: &mut Names,
) -> std::io::Result<()> {
    let took = example.duration_ms.map(seconds);
    let line = example
        .line
        .filter(|line| *line > 0)
        .map(|line| line.to_string());
    let attributes = [
        ("name", Some(&*names.unique(&example.name))),
        ("classname", Some(case.spec_file)),
        ("time", took.as_deref()),
        (
            "file",
            Some(example.file.as_deref().unwrap_or(case.spec_file)),
        ),
        ("line", line.as_deref()),
    ];
    test_case(xml, &attributes, outcome)
}

fn file_case(
    xml: &mut Xml<Vec<u8>>,
    case: &Case,
    outcome: &Outcome,
    names: &mut Names,
) -> std::io::Result<()> {
    let took = case.duration_ms().map(seconds);
    let attributes = [
        ("name", Some(&*names.unique(case.spec_file))),
        ("classname", Some(case.spec_file)),
        ("time", took.as_deref()),
        ("file", Some(case.spec_file)),
    ];
    test_case(xml, &attributes, outcome)
}

fn test_case(
    xml: &mut Xml<Vec<u8>>,
    attributes: &[(&str, Option<&str>)],
    outcome: &Outcome,
) -> std::io::Result<()> {
    if outcome.kind == Kind::Success && outcome.before.is_empty() {
        return xml.element("testcase", attributes, None);
    }
    xml.open("testcase", attributes)?;
    outcome.write(xml)?;
    xml.close("testcase")
}
