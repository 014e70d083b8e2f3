//! Chrome trace events, for Perfetto (<https://ui.perfetto.dev>), chrome://tracing and speedscope:
//! one process per worker, with one row per slave and one for the preparation; arrows from each
//! trial to the next one of its task.

use super::run::trouble;
use super::timeline::{Bar, Span, Timeline, worker_id};
use crate::archive::document::{Document, Trial};
use crate::process::text::harmless_json;
use crate::protocol::status::TaskStatus;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;

/// The process of the taskset; workers follow it.
const TASKSET: usize = 1;
/// The row of a worker's preparation; slaves follow it.
const PREPARATION: usize = 0;

/// A position: process and row.
type Row = (usize, usize);

/// Writes one JSON object, with one event per line.
pub(crate) fn write(document: &Document, out: &mut dyn Write) -> anyhow::Result<()> {
    let timeline = Timeline::of(document);
    let about = json!({
        "taskset": document.key,
        "status": document.taskset.status,
        "created_at": document.taskset.created_at,
    });
    write!(
        out,
        "{{\"displayTimeUnit\":\"ms\",\"otherData\":{},\"traceEvents\":[",
        harmless_json(about.to_string())
    )?;
    for (place, event) in events(document, &timeline).iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        write!(out, "{comma}\n{}", harmless_json(event.to_string()))?;
    }
    Ok(writeln!(out, "\n]}}")?)
}

fn events(document: &Document, timeline: &Timeline) -> Vec<Value> {
    let zero = timeline.whole.start;
    let workers = workers(timeline);
    let mut events = vec![named("process_name", (TASKSET, 0), document.key.as_str())];
    events.push(slice(
        zero,
        (TASKSET, 0),
        "taskset",
        timeline.whole,
        json!({
            "status": document.taskset.status,
            "fail_reason": why(document),
            "tasks": document.tasks.len(),
        }),
    ));
    for (worker, process) in &workers {
        let name = format!("worker {worker}");
        events.push(named("process_name", (*process, 0), &name));
        events.push(named("thread_name", (*process, PREPARATION), "preparation"));
    }
    for stay in &timeline.stays {
        let row = (workers[stay.worker()], PREPARATION);
        for (step, span) in [("rsync", stay.rsync), ("setup", stay.setup)] {
            events.extend(span.map(|span| slice(zero, row, step, span, json!({}))));
        }
    }
    let placed = placed(timeline, &workers);
    for (row, slave, bars) in &placed {
        let name = slave.rsplit(':').next().unwrap_or(slave);
        events.push(named("thread_name", *row, &format!("slave {name}")));
        events.extend(bars.iter().map(|bar| {
            let name = document.tasks[bar.task].spec_file();
            slice(zero, *row, name, bar.span, arguments(bar.trial, bar.number))
        }));
    }
    events.extend(arrows(zero, &placed));
    events
}

/// The process of each worker.
fn workers<'a>(timeline: &'a Timeline) -> BTreeMap<&'a str, usize> {
    let slaves = timeline.slaves.keys().map(|slave| worker_id(slave));
    let mut workers = BTreeMap::new();
    for worker in slaves.chain(timeline.stays.iter().map(|stay| stay.worker())) {
        let next = TASKSET + 1 + workers.len();
        workers.entry(worker).or_insert(next);
    }
    workers
}

/// A slave's row, its key and its trials.
type Placed<'a> = (Row, &'a str, &'a [Bar<'a>]);

/// Each slave in a row of its worker's process.
fn placed<'a>(timeline: &'a Timeline, workers: &BTreeMap<&str, usize>) -> Vec<Placed<'a>> {
    let mut rows: BTreeMap<usize, usize> = BTreeMap::new();
    let slaves = timeline.slaves.iter();
    slaves
        .map(|(slave, bars)| {
            let process = workers[worker_id(slave)];
            let last = rows.entry(process).or_insert(PREPARATION);
            *last += 1;
            ((process, *last), *slave, bars.as_slice())
        })
        .collect()
}

/// Arrows from each trial to the next one of its task.
fn arrows(zero: i64, placed: &[Placed]) -> Vec<Value> {
    // The position of each trial, by task, then by number.
    let mut trials: BTreeMap<(usize, usize), (Row, &Bar)> = BTreeMap::new();
    for (row, _, bars) in placed {
        trials.extend(bars.iter().map(|bar| ((bar.task, bar.number), (*row, bar))));
    }
    let pairs = trials.iter().zip(trials.iter().skip(1));
    let again = pairs.filter(|((one, _), (next, _))| one.0 == next.0);
    let again = again.enumerate();
    again
        .flat_map(|(number, ((_, from), (_, to)))| arrow(zero, number, *from, *to))
        .collect()
}

/// The reason why the taskset is red, if its tasks do not show it.
fn why(document: &Document) -> Option<String> {
    let failed = document.tasks.iter();
    let failed = failed.filter(|task| task.status() == Some(TaskStatus::Failed));
    let why = trouble(&document.taskset, failed.count() as u64);
    let ended = document.taskset.status()?.is_final();
    Some(why.filter(|_| ended)?.message)
}

fn arguments(trial: &Trial, number: usize) -> Value {
    json!({
        "status": trial.status,
        "attempt": number + 1,
        "stopped": trial.stopped,
        "exit_code": trial.exit_code,
        "signal": trial.signal,
        "late_status": trial.late_status,
        "examples_left_out": trial.examples_cut(),
        "trial": trial.key,
    })
}

fn micros(zero: i64, at: i64) -> i64 {
    (at - zero) * 1000
}

fn named(what: &str, row: Row, name: &str) -> Value {
    json!({"ph": "M", "name": what, "pid": row.0, "tid": row.1, "args": {"name": name}})
}

fn slice(zero: i64, row: Row, name: &str, span: Span, args: Value) -> Value {
    let color = match args["status"].as_str() {
        Some("passed" | "succeeded") => "good",
        Some("pending") => "bad",
        Some(_) => "terrible",
        None => "generic_work",
    };
    json!({
        "ph": "X", "cat": "rrr", "name": name, "pid": row.0, "tid": row.1,
        "ts": micros(zero, span.start), "dur": (span.end - span.start) * 1000,
        "cname": color, "args": args,
    })
}

/// Arrows from each trial to the next of the same task, a retry or a speculative trial. Both ends
/// are at the start of a trial, where a slice always exists.
fn arrow(zero: i64, number: usize, from: (Row, &Bar), to: (Row, &Bar)) -> [Value; 2] {
    let ((source, one), (target, next)) = (from, to);
    let beside = next.span.start < one.span.end;
    let name = if beside { "copy" } else { "again" };
    let end = |phase: &str, row: Row, at: i64| {
        json!({
            "ph": phase, "cat": "rrr", "name": name, "id": number + 1, "bp": "e",
            "pid": row.0, "tid": row.1, "ts": micros(zero, at),
        })
    };
    [
        end("s", source, one.span.start.min(next.span.start)),
        end("f", target, next.span.start),
    ]
}
