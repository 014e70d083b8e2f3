//! OpenTelemetry: the spans of a run in OTLP JSON, one `TracesData` per line, as the file exporter
//! writes them and the collector reads them.
//!
//! Ids are digests of the keys, so a second export has the same spans. Attribute names follow the
//! semantic conventions for tests, CI/CD and processes; other names begin with `rrr.`.

use super::run::trouble;
use super::timeline::{Span, Stay, Timeline, worker_id};
use crate::archive::document::{Document, Task, Trial};
use crate::process::text::harmless_json;
use crate::protocol::status::{TaskStatus, TasksetStatus, TrialStatus};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Write;

/// Maximum spans per line.
const BATCH: usize = 500;
/// Values of OTLP enumerations.
const INTERNAL: u8 = 1;
const OK: u8 = 1;
const ERROR: u8 = 2;

/// Writes the lines: first the taskset and its tasks, then the workers.
pub(crate) fn write(document: &Document, out: &mut dyn Write) -> anyhow::Result<()> {
    let timeline = Timeline::of(document);
    let export = Export {
        document,
        timeline: &timeline,
    };
    let mut own = vec![export.root()];
    let mut of_worker: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let mut around: BTreeMap<usize, Span> = BTreeMap::new();
    for (slave, bars) in &timeline.slaves {
        let spans = of_worker.entry(worker_id(slave)).or_default();
        for bar in bars {
            let task = around.entry(bar.task).or_insert(bar.span);
            *task = Span::around([*task, bar.span].into_iter()).unwrap_or(*task);
            let task = &document.tasks[bar.task];
            spans.push(export.trial(task, bar.number, bar.trial, bar.span));
        }
    }
    for stay in &timeline.stays {
        let spans = of_worker.entry(stay.worker()).or_default();
        spans.extend(export.stay(stay));
    }
    let tasks = around.iter();
    own.extend(tasks.map(|(task, span)| export.task(&document.tasks[*task], *span)));
    lines(None, &own, out)?;
    for (worker, spans) in of_worker {
        lines(Some(worker), &spans, out)?;
    }
    Ok(())
}

fn lines(worker: Option<&str>, spans: &[Value], out: &mut dyn Write) -> std::io::Result<()> {
    let mut resource = Attributes::default();
    resource.text("service.name", "rrr");
    if let Some(worker) = worker {
        resource.text("service.instance.id", worker);
        resource.text("cicd.worker.id", worker);
    }
    for spans in spans.chunks(BATCH) {
        let line = json!({"resourceSpans": [{
            "resource": {"attributes": resource.0},
            "scopeSpans": [{
                "scope": {"name": "rrr", "version": env!("CARGO_PKG_VERSION")},
                "spans": spans,
            }],
        }]});
        writeln!(out, "{}", harmless_json(line.to_string()))?;
    }
    Ok(())
}

/// The first bytes of the digest of `key`, in hexadecimal.
fn id(kind: &str, key: &str, bytes: usize) -> String {
    let mut hash = Sha256::new();
    hash.update(kind);
    hash.update([0]);
    hash.update(key);
    let digest = hash.finalize();
    digest
        .iter()
        .take(bytes)
        .map(|b| format!("{b:02x}"))
        .collect()
}

fn span_id(key: &str) -> String {
    id("span", key, 8)
}

/// Attributes; those without a value are left out.
#[derive(Default)]
struct Attributes(Vec<Value>);

impl Attributes {
    fn text<'a>(&mut self, key: &str, value: impl Into<Option<&'a str>>) {
        if let Some(value) = value.into() {
            self.0
                .push(json!({"key": key, "value": {"stringValue": value}}));
        }
    }

    fn number(&mut self, key: &str, value: Option<i64>) {
        if let Some(value) = value {
            // OTLP JSON writes 64-bit integers as strings.
            let value = json!({"intValue": value.to_string()});
            self.0.push(json!({"key": key, "value": value}));
        }
    }
}

struct Export<'a> {
    document: &'a Document,
    timeline: &'a Timeline<'a>,
}

impl Export<'_> {
    fn span(&self, key: &str, parent: Option<&str>, name: &str, span: Span) -> Map<String, Value> {
        let nanos = |ms: i64| (i128::from(ms) * 1_000_000).to_string();
        let trace = id("trace", self.document.key.as_str(), 16);
        let mut fields = Map::new();
        fields.insert("traceId".into(), trace.into());
        fields.insert("spanId".into(), span_id(key).into());
        if let Some(parent) = parent {
            fields.insert("parentSpanId".into(), span_id(parent).into());
        }
        fields.insert("name".into(), name.into());
        fields.insert("kind".into(), INTERNAL.into());
        fields.insert("startTimeUnixNano".into(), nanos(span.start).into());
        fields.insert("endTimeUnixNano".into(), nanos(span.end).into());
        fields
    }

    fn root(&self) -> Value {
        let own = &self.document.taskset;
        let key = self.document.key.as_str();
        let name = format!("taskset {}", own.class());
        let mut span = self.span(key, None, &name, self.timeline.whole);
        let (result, run, code) = match own.status() {
            Some(TasksetStatus::Succeeded) => (Some("success"), "success", Some(OK)),
            Some(TasksetStatus::Failed) => (Some("failure"), "failure", Some(ERROR)),
            Some(TasksetStatus::Cancelled) => (Some("cancellation"), "aborted", Some(ERROR)),
            Some(TasksetStatus::Running) | None => (None, "in_progress", None),
        };
        let mut attributes = Attributes::default();
        attributes.text("cicd.pipeline.name", own.class());
        attributes.text("cicd.pipeline.run.id", key);
        attributes.text("cicd.pipeline.result", result);
        attributes.text("test.suite.name", own.class());
        attributes.text("test.suite.run.status", run);
        attributes.text("rrr.worker_type", own.worker_type.as_deref());
        attributes.text("rrr.rsync_name", own.rsync_name.as_deref());
        let tasks = i64::try_from(self.document.tasks.len()).ok();
        attributes.number("rrr.tasks", tasks);
        attributes.number("rrr.succeeded", own.succeeded_count);
        attributes.number("rrr.failed", own.failed_count);
        attributes.number("rrr.flaky", own.flaky_count);
        span.insert("attributes".into(), attributes.0.into());
        let failed = self.document.tasks.iter();
        let failed = failed.filter(|task| task.status() == Some(TaskStatus::Failed));
        let why = match code {
            Some(ERROR) => trouble(own, failed.count() as u64),
            _ => None,
        };
        let why = why.map_or(String::new(), |trouble| trouble.message);
        set_status(&mut span, code, &why);
        span.into()
    }

    fn task(&self, task: &Task, around: Span) -> Value {
        let parent = Some(self.document.key.as_str());
        let mut span = self.span(task.key.as_str(), parent, task.spec_file(), around);
        let (result, status, code) = match task.status() {
            Some(TaskStatus::Passed) => (Some("success"), Some("pass"), Some(OK)),
            Some(TaskStatus::Pending) => (Some("skip"), None, Some(OK)),
            Some(TaskStatus::Failed) => (Some("failure"), Some("fail"), Some(ERROR)),
            None => (None, None, None),
        };
        let mut attributes = Attributes::default();
        attributes.text("cicd.pipeline.task.name", task.spec_file());
        attributes.text("cicd.pipeline.task.run.id", task.key.as_str());
        attributes.text("cicd.pipeline.task.run.result", result);
        attributes.text("cicd.pipeline.task.type", "test");
        attributes.text("test.case.name", task.spec_file());
        attributes.text("test.case.result.status", status);
        attributes.text("code.file.path", task.spec_file());
        attributes.number("rrr.trials", i64::try_from(task.trials.len()).ok());
        attributes.number("rrr.estimate_sec", task.estimate_sec);
        span.insert("attributes".into(), attributes.0.into());
        set_status(&mut span, code, "");
        span.into()
    }

    fn trial(&self, task: &Task, number: usize, trial: &Trial, at: Span) -> Value {
        let parent = Some(task.key.as_str());
        let name = format!("trial {}", task.spec_file());
        let mut span = self.span(trial.key.as_str(), parent, &name, at);
        let bad = trial.status().filter(|_| !trial.is_good());
        let mut attributes = Attributes::default();
        attributes.text("test.case.name", task.spec_file());
        let status = match trial.status() {
            Some(TrialStatus::Pending) | None => None,
            Some(TrialStatus::Passed) => Some("pass"),
            Some(_) => Some("fail"),
        };
        attributes.text("test.case.result.status", status);
        attributes.text("code.file.path", task.spec_file());
        attributes.text("error.type", bad.map(TrialStatus::as_str));
        attributes.number("process.exit.code", trial.exit_code);
        attributes.text("rrr.trial", trial.key.as_str());
        attributes.number("rrr.attempt", i64::try_from(number + 1).ok());
        attributes.text("rrr.status", trial.status.as_deref());
        attributes.text("rrr.late_status", trial.late_status.as_deref());
        attributes.text("rrr.slave", trial.slave.as_deref());
        attributes.text("rrr.stopped", trial.stopped.as_deref());
        attributes.number("rrr.signal", trial.signal);
        attributes.number("rrr.examples.passed", trial.passed);
        attributes.number("rrr.examples.pending", trial.pending);
        attributes.number("rrr.examples.failed", trial.failed);
        let cut = i64::try_from(trial.examples_cut()).ok();
        attributes.number("rrr.examples.left_out", cut.filter(|cut| *cut > 0));
        span.insert("attributes".into(), attributes.0.into());
        // A link to the earlier trial, the cause of this one.
        if let Some(before) = number.checked_sub(1).map(|place| &task.trials[place]) {
            let link = json!({
                "traceId": span["traceId"],
                "spanId": span_id(before.key.as_str()),
                "attributes": [{"key": "rrr.link", "value": {"stringValue": "previous trial"}}],
            });
            span.insert("links".into(), json!([link]));
        }
        let code = if bad.is_some() { ERROR } else { OK };
        set_status(&mut span, Some(code), "");
        span.into()
    }

    /// The stay of a worker, and the steps before its slaves started.
    fn stay(&self, stay: &Stay) -> Vec<Value> {
        let key = &stay.log.key;
        let root = Some(self.document.key.as_str());
        let name = format!("worker {}", stay.worker());
        let mut spans = vec![self.span(key, root, &name, stay.whole)];
        for (step, span) in [("rsync", stay.rsync), ("setup", stay.setup)] {
            if let Some(span) = span {
                let own = format!("{key}#{step}");
                spans.push(self.span(&own, Some(key), step, span));
            }
        }
        spans.into_iter().map(Value::Object).collect()
    }
}

fn set_status(span: &mut Map<String, Value>, code: Option<u8>, message: &str) {
    if let Some(code) = code {
        let status = match message.is_empty() {
            true => json!({"code": code}),
            false => json!({"code": code, "message": message}),
        };
        span.insert("status".into(), status);
    }
}
