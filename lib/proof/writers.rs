//! The exports of a record with hostile texts: each format stays valid for its readers, and none acts
//! on a terminal.

use super::is_harmless;
use crate::archive::document::{Document, Source};
use crate::exec::report::{self, ReportFormat};
use crate::protocol::key::{TasksetKey, WorkerKey};
use crate::show::export::{self, Format};
use serde_json::{Value, json};

/// Reads a record as JSON, as the database and rrr-show have it, and exports it.
pub(super) fn records(bytes: &[u8]) {
    if let Ok(document) = serde_json::from_slice::<Document>(bytes) {
        check(&document, bytes);
    }
}

/// Exports a record whose texts are parts of the bytes.
pub(super) fn texts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split('\u{1}').map(str::to_owned).cycle();
    let mut part = || parts.next().unwrap_or_default();
    let taskset = TasksetKey::fresh();
    let key = taskset.task("a");
    let trial = |status: &str, slave: String, out: [String; 2], example: [String; 4]| {
        let [id, name, file, message] = example;
        let [stdout, stderr] = out;
        json!({
            "key": format!("{key}:trial:b"), "slave": slave, "status": status,
            "started_at": "2026-01-01 00:00:00 +0000", "finished_at": "2026-01-01 00:00:01 +0000",
            "passed": 1, "failed": 1, "duration_ms": 7, "stdout": stdout, "stderr": stderr,
            "examples": [{
                "id": id, "name": name, "file": file, "line": 3, "status": "failed", "message": message,
            }],
        })
    };
    let task = |status: &str, file: String, trials: Vec<Value>| json!({ "key": key, "spec_file": file, "status": status, "trials": trials });
    let mut one = |status: &str| {
        let slave = WorkerKey::new(&part()).map_or_else(|_| part(), |it| it.slave("1").to_string());
        trial(
            status,
            slave,
            [part(), part()],
            [part(), part(), part(), part()],
        )
    };
    let trials = [
        vec![one("failed")],
        vec![one("error"), one("passed")],
        vec![one("pending")],
    ];
    let [failed, flaky, pending] = trials;
    let record = json!({
        "key": taskset,
        "taskset": {
            "rsync_name": part(), "slave_command": part(), "worker_type": part(), "status": "failed",
            "created_at": "2026-01-01 00:00:00 +0000", "finished_at": "2026-01-01 00:01:00 +0000",
            "fail_reason": part(), "succeeded_count": 2, "failed_count": 1, "flaky_count": 1,
        },
        "log": part(),
        "tasks": [
            task("failed", part(), failed), task("passed", part(), flaky), task("pending", part(), pending),
        ],
        "slaves": [],
        "worker_logs": [],
    });
    if let Ok(document) = serde_json::from_value::<Document>(record) {
        check(&document, bytes);
    }
}

/// All formats.
const FORMATS: [Format; 9] = [
    Format::Text,
    Format::Markdown,
    Format::Github,
    Format::Json,
    Format::Trace,
    Format::Jsonl,
    Format::OtlpJson,
    Format::Junit,
    Format::Tap,
];

/// Writes the document in one of the formats, which the bytes choose.
fn check(document: &Document, bytes: &[u8]) {
    let sum = bytes
        .iter()
        .fold(0_usize, |sum, byte| sum.wrapping_add(usize::from(*byte)));
    let format = FORMATS[sum % FORMATS.len()];
    let mut source = Source::from(document.clone());
    let mut out = Vec::new();
    export::write(format, &mut source, &mut out).expect("a record in memory");
    let text = String::from_utf8(out).expect("UTF-8");
    let is_json = |text: &str| drop(serde_json::from_str::<Value>(text).expect("JSON"));
    match format {
        Format::Text | Format::Markdown => {}
        Format::Github => commands_are_ours(&text),
        Format::Json | Format::Trace => is_json(&text),
        Format::Jsonl | Format::OtlpJson => text.lines().for_each(is_json),
        Format::Junit => {
            is_well_formed(&text);
            return is_red(document, ReportFormat::Junit, &text);
        }
        Format::Tap => return is_red(document, ReportFormat::Tap, &text),
    }
    is_harmless(&text);
}

/// A record of a failed taskset is not green for the readers of the format.
fn is_red(document: &Document, format: ReportFormat, text: &str) {
    let report = report::parse(format, text.as_bytes());
    let is_red = document.taskset.status.as_deref() == Some("failed");
    let is_good = report.broken.is_none() && report.outside.is_empty() && report.bad() == 0;
    assert!(!(is_red && is_good), "{text}");
    if let Some(why) = report.broken {
        assert!(
            !why.contains("XML") && !why.contains("plan"),
            "{why}: {text}"
        );
    }
}

/// GitHub obeys lines that begin with `::`: only our own annotations may.
fn commands_are_ours(text: &str) {
    let ours = [
        "::error ",
        "::error::",
        "::warning ",
        "::warning::",
        "::notice ",
        "::notice::",
        "::group::",
        "::endgroup::",
    ];
    for line in text
        .lines()
        .filter(|line| line.trim_start().starts_with("::"))
    {
        assert!(ours.iter().any(|start| line.starts_with(start)), "{line}");
    }
}

/// The XML is well formed for a reader of its own.
fn is_well_formed(xml: &str) {
    let mut reader = quick_xml::Reader::from_str(xml);
    reader.config_mut().check_end_names = true;
    loop {
        match reader.read_event() {
            Ok(quick_xml::events::Event::Eof) => return,
            Ok(_) => {}
            Err(error) => panic!("{error}: {xml}"),
        }
    }
}
