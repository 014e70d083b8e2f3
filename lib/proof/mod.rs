//! Entry points for fuzzing: everything that parses or escapes untrusted bytes, as a function of
//! bytes that panics if a property does not hold. tests/proof runs them on mutated seeds in every
//! test run, tests/fuzz with libFuzzer.
//!
//! A new parser needs an entry in [`TARGETS`] and a seed in tests/fuzz/corpus.

mod writers;

use crate::cli::{flags, project_file};
use crate::exec::adapter::runner_protocol::{self, RunnerAnswer};
use crate::exec::report::{self, ReportFormat};
use crate::process::text;
use crate::protocol::event::{self, Event};
use crate::protocol::key::{SlaveKey, TaskKey, TasksetKey, TrialKey, WorkerKey};
use crate::protocol::message::Message;
use crate::protocol::name;
use crate::protocol::result::TrialResult;
use crate::protocol::status::TrialStatus;
use crate::protocol::time;
use crate::role::{local, submit};
use crate::store::address::{Address, Tls};
use crate::suite::tasks;
use crate::tool::{cargo, nextest, split};
use std::fmt::{Debug, Display};
use std::path::Path;
use std::str::FromStr;

/// A property of some bytes: panics if it does not hold.
pub type Target = fn(&[u8]);

/// All targets by name, the expensive ones last.
pub const TARGETS: &[(&str, Target)] = &[
    ("message", message),
    ("key", keys),
    ("value", values),
    ("json-task", json_tasks),
    ("project-file", project_files),
    ("report-junit", |bytes| reports(ReportFormat::Junit, bytes)),
    ("report-tap", |bytes| reports(ReportFormat::Tap, bytes)),
    ("report-rspec-json", |bytes| {
        reports(ReportFormat::RspecJson, bytes)
    }),
    ("report-libtest", |bytes| {
        reports(ReportFormat::Libtest, bytes)
    }),
    ("report-libtest-json", |bytes| {
        reports(ReportFormat::LibtestJson, bytes)
    }),
    ("report-go-json", |bytes| {
        reports(ReportFormat::GoJson, bytes)
    }),
    ("report-auto", |bytes| reports(ReportFormat::Auto, bytes)),
    ("runner-protocol", runner_lines),
    ("listing", listings),
    ("event", events),
    ("record", writers::records),
    ("writers", writers::texts),
    ("text", texts),
];

/// Parses a message of the arbiter's queue.
fn message(bytes: &[u8]) {
    if let Ok(Message::Trial(key)) = Message::parse(bytes) {
        round_trip::<TrialKey>(key.as_str());
        round_trip::<TaskKey>(key.task().as_str());
    }
}

/// Parses keys: a key that is accepted is printed as it was.
fn keys(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    round_trip::<TasksetKey>(text);
    round_trip::<TaskKey>(text);
    round_trip::<TrialKey>(text);
    round_trip::<WorkerKey>(text);
    round_trip::<SlaveKey>(text);
}

fn round_trip<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text);
    }
}

/// Parses a list of tasks; the errors are messages for people.
fn json_tasks(bytes: &[u8]) {
    for null in [false, true] {
        match tasks::parse_list(bytes, null, "list") {
            Ok(tasks) => tasks.iter().for_each(|(file, _)| {
                if name::spec_file_error(file).is_none() {
                    assert!(!file.is_empty() && !file.starts_with('/'));
                }
            }),
            Err(error) => is_harmless(&text::harmless(&error.to_string())),
        }
    }
}

/// Reads a project file.
fn project_files(bytes: &[u8]) {
    thread_local! {
        static KNOWN: Vec<clap::Command> = vec![
            flags::command::<submit::Options>(),
            flags::command::<local::Options>(),
        ];
    }
    let Ok(toml) = std::str::from_utf8(bytes) else {
        return;
    };
    KNOWN.with(|known| {
        let _ = project_file::read(toml, Path::new(".rrr.toml"), &known[0], known, Some("ci"));
    });
}

/// Reads a report: a failing example or a broken report never gives a pass, and every example is
/// either kept or counted.
fn reports(format: ReportFormat, bytes: &[u8]) {
    let report = report::parse(format, bytes);
    let verdict = report.verdict();
    if report.bad() > 0 || report.broken.is_some() || !report.outside.is_empty() {
        assert!(!matches!(
            verdict,
            Some(TrialStatus::Passed | TrialStatus::Pending)
        ));
    }
    assert!(report.examples.len() as u64 <= report.total());
}

/// Parses lines of a runner and fills in the result.
fn runner_lines(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(RunnerAnswer::Result(outcome)) = runner_protocol::parse(line) else {
            continue;
        };
        let mut result = TrialResult::error("");
        if outcome.fill(&mut result).is_ok() && result.status == TrialStatus::Passed {
            assert_eq!(result.failed, 0);
        }
    }
}

/// Parses the output of tools that list tests.
fn listings(bytes: &[u8]) {
    let _ = cargo::message::read(bytes);
    let _ = nextest::parse(bytes);
    let text = String::from_utf8_lossy(bytes);
    assert!(cargo::tests(&text).len() <= text.lines().count());
}

/// Parses an event of a stream and prints it as every tool does.
fn events(bytes: &[u8]) {
    if let Ok(event) = serde_json::from_slice::<Event>(bytes) {
        let line = event::line(0, TasksetKey::fresh().as_str(), &event);
        is_harmless(&line);
        serde_json::from_str::<serde_json::Value>(&line).expect("JSON");
    }
}

/// Makes text harmless for terminals, logs and shells.
fn texts(bytes: &[u8]) {
    let raw = String::from_utf8_lossy(bytes);
    is_harmless(&text::harmless(&raw).replace(['\n', '\t'], ""));
    is_harmless(&text::one_line(&raw));
    is_harmless(&text::last_words(bytes));
    is_harmless(&text::cut_front(&text::one_line(&raw), 20));
    is_harmless(&text::cut(&text::one_line(&raw), 20));
    let json = serde_json::Value::from(&*raw).to_string();
    let safe = text::harmless_json(json);
    is_harmless(&safe);
    let back: String = serde_json::from_str(&safe).expect("JSON");
    assert_eq!(back, raw);
    if !raw.contains('\0') {
        let word = text::shell_word(&raw);
        is_harmless(&word);
        if !word.starts_with("$'") {
            assert_eq!(shlex::split(&word), Some(vec![raw.into_owned()]));
        }
    }
}

/// Parses values of flags and of fields.
fn values(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let _ = time::span(text);
    if let Some(time) = time::parse(text) {
        let again = time::protocol(time.timestamp_millis());
        let again = time::parse(&again).expect("our own form");
        assert_eq!(again.timestamp(), time.timestamp());
    }
    let _ = text.parse::<split::Above>();
    let _ = text.parse::<report::ReportSource>();
    let _ = text.parse::<crate::protocol::policy::Limit>();
    let _ = crate::suite::rsync::check_options(text, "here");
    if name::rsync_name_error(text).is_none() {
        assert!(!text.is_empty() && !text.contains(['/', '\0']) && !text.starts_with(['.', '-']));
    }
    let tls = Tls::default();
    if let Err(error) = Address::parse(text, None, tls) {
        is_harmless(&text::harmless(&error.to_string()));
    }
}

/// Panics if the text could act on a terminal.
fn is_harmless(text: &str) {
    let harmful = text
        .chars()
        .find(|c| *c != '\n' && *c != '\t' && text::is_harmful(*c));
    assert_eq!(harmful, None, "{text:?}");
}
