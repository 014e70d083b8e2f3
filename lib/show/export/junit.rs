//! JUnit XML, in the dialect that CI servers read: one flat level of suites, one per spec file; one
//! case per example, or one for the file if no examples are known. A problem of the taskset itself
//! is a separate suite and case.
//!
//! Examples missing from the record are counted in the totals, and reported as a property and a
//! note.

use super::run::{Case, elapsed_ms, tail, trouble};
use super::spool::Spool;
use super::xml::{Xml, clean, size};
use crate::archive::document::{Bytes, Head, Rest, Trial};
use crate::protocol::example::{Example, Status};
use crate::protocol::status::{TaskStatus, TrialStatus};
use crate::protocol::time;
use chrono::SecondsFormat;
use std::collections::{HashMap, HashSet};
use std::io::Write;

/// Maximum bytes of each output of a trial.
const OUTPUT: usize = 64 << 10;
/// Maximum bytes of all test output together: GitLab accepts files under 30 MB.
const ALL: usize = 16 << 20;
/// Maximum characters of a message's first line.
const FIRST: usize = 200;
/// The replacement for text beyond the limit.
const NO_ROOM: &str = "(left out: the report would be too large; rrr-show prints it)";

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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Success,
    Skipped,
    Failure,
    Error,
}

impl Kind {
    /// The element for this result, and the one for the same result of an earlier trial.
    fn elements(self) -> (Option<&'static str>, &'static str) {
        match self {
            Self::Success => (None, "flaky"),
            Self::Skipped => (Some("skipped"), "flaky"),
            Self::Failure => (Some("failure"), "rerun"),
            Self::Error => (Some("error"), "rerun"),
        }
    }
}

/// The result of a case.
struct Outcome<'a> {
    kind: Kind,
    word: Option<&'a str>,
    message: Option<String>,
    text: Option<&'a str>,
    /// Earlier trials in which the case failed.
    before: Vec<&'a Trial>,
}

impl Outcome<'_> {
    fn of(kind: Kind) -> Self {
        Self {
            kind,
            word: None,
            message: None,
            text: None,
            before: Vec::new(),
        }
    }

    fn write(&self, xml: &mut Xml<Vec<u8>>) -> std::io::Result<()> {
        let (element, earlier) = self.kind.elements();
        if let Some(element) = element {
            let attributes = [("message", self.message.as_deref()), ("type", self.word)];
            xml.element(element, &attributes, self.text)?;
        }
        for trial in &self.before {
            let word = trial.status().map_or("error", TrialStatus::as_str);
            let message = match trial.exit_code {
                Some(code) => format!("{word}, exit {code}"),
                None => word.to_owned(),
            };
            let kind = match kind(trial) {
                Kind::Failure => "Failure",
                _ => "Error",
            };
            let attributes = [("message", Some(&*message)), ("type", Some(word))];
            xml.element(&format!("{earlier}{kind}"), &attributes, None)?;
        }
        Ok(())
    }
}

/// The first line of a message, with a mark if the line was cut.
fn first_line(message: &str) -> String {
    let message = clean(message);
    let line = message.lines().next().unwrap_or_default();
    match line.char_indices().nth(FIRST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
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
        let outcome = file_outcome(case);
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
    let stdout = trial.and_then(|trial| output(&trial.stdout, room));
    let stdout: Vec<String> = note.into_iter().chain(stdout).collect();
    if !stdout.is_empty() {
        xml.element("system-out", &[], Some(&stdout.join("\n")))?;
    }
    match trial.and_then(|trial| output(&trial.stderr, room)) {
        Some(text) => xml.element("system-err", &[], Some(&text)),
        None => Ok(()),
    }
}

/// The end of an output, if there is one.
fn output(bytes: &Bytes, room: &mut usize) -> Option<String> {
    let text = tail(bytes, OUTPUT);
    if text.is_empty() {
        return None;
    }
    Some(if takes(&text, room) {
        text
    } else {
        NO_ROOM.to_owned()
    })
}

/// Reserves the bytes that the text needs as XML, if enough are left.
fn takes(text: &str, room: &mut usize) -> bool {
    let needed = size(text);
    let fits = needed <= *room;
    if fits {
        *room -= needed;
    }
    fits
}

/// The names of a suite's cases, made unique: GitLab keeps only the first of two with the same
/// name.
#[derive(Default)]
struct Names {
    used: HashSet<String>,
    /// The last number appended to a name.
    last: HashMap<String, u32>,
}

impl Names {
    fn unique(&mut self, name: &str) -> String {
        let name = clean(name);
        let mut unique = name.clone();
        while !self.used.insert(unique.clone()) {
            let number = self.last.entry(name.clone()).or_insert(1);
            *number += 1;
            unique = format!("{name} ({number})");
        }
        unique
    }
}

fn example_outcome<'a>(case: &Case<'a>, example: &'a Example, room: &mut usize) -> Outcome<'a> {
    let message = example.message.as_deref().unwrap_or_default();
    let first = first_line(message);
    let or = |word: &str| {
        Some(if first.is_empty() {
            word.to_owned()
        } else {
            first.clone()
        })
    };
    let mut bad = |kind, word| {
        let text = if takes(message, room) {
            message
        } else {
            NO_ROOM
        };
        Outcome {
            word: Some(word),
            message: or(word),
            text: Some(text).filter(|text| !text.is_empty()),
            ..Outcome::of(kind)
        }
    };
    let mut outcome = match example.status {
        Status::Passed => Outcome::of(Kind::Success),
        Status::Pending => Outcome {
            message: or("pending"),
            ..Outcome::of(Kind::Skipped)
        },
        Status::Failed => bad(Kind::Failure, "failed"),
        Status::Error => bad(Kind::Error, "error"),
    };
    if example.status != Status::Pending {
        let before = case.wrong.iter().filter(|trial| failed_in(trial, example));
        outcome.before = before.copied().collect();
    }
    outcome
}

/// Whether the example also failed in that trial.
fn failed_in(trial: &Trial, example: &Example) -> bool {
    let bad = |one: &Example| matches!(one.status, Status::Failed | Status::Error);
    let all = trial.examples.iter().flatten();
    all.clone().any(|one| one.id == example.id && bad(one))
}

fn kind(trial: &Trial) -> Kind {
    match trial.status() {
        Some(TrialStatus::Failed) => Kind::Failure,
        _ => Kind::Error,
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

fn file_outcome<'a>(case: &Case<'a>) -> Outcome<'a> {
    let mut outcome = match (case.verdict, case.trial) {
        (Some(TaskStatus::Passed), _) => Outcome::of(Kind::Success),
        (Some(TaskStatus::Pending), _) => Outcome {
            message: Some("pending".to_owned()),
            ..Outcome::of(Kind::Skipped)
        },
        (Some(TaskStatus::Failed), trial) => Outcome {
            word: Some(case.word()),
            message: Some(case.story()),
            ..Outcome::of(trial.map_or(Kind::Error, kind))
        },
        (None, _) => Outcome {
            message: Some("the run ended before it".to_owned()),
            ..Outcome::of(Kind::Skipped)
        },
    };
    if case
        .verdict
        .is_some_and(|verdict| verdict != TaskStatus::Pending)
    {
        outcome.before = case.wrong.clone();
    }
    outcome
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
