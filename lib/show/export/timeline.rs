//! The timeline of a run, from its record.
//!
//! The record has times in whole seconds, and the durations of trials in milliseconds. A slave runs
//! one trial after the other, so trials that started in the same second are laid end to end: start
//! times are then exact to the second and durations to the millisecond, and trials of one slave do
//! not overlap.

use crate::archive::document::{Document, Trial, WorkerLog};
use crate::protocol::key::{SlaveKey, WorkerKey};
use crate::protocol::time;
use std::collections::BTreeMap;

/// Start and end, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: i64,
    pub end: i64,
}

/// A finished trial.
pub(crate) struct Bar<'a> {
    /// The index of its task in the record.
    pub task: usize,
    /// Its index among the task's trials.
    pub number: usize,
    pub trial: &'a Trial,
    pub span: Span,
}

/// The steps of a worker before its slaves started, and the duration of its stay.
pub(crate) struct Stay<'a> {
    pub log: &'a WorkerLog,
    pub whole: Span,
    pub rsync: Option<Span>,
    pub setup: Option<Span>,
}

/// The timeline of a run.
pub(crate) struct Timeline<'a> {
    pub whole: Span,
    /// Trials by slave, in chronological order.
    pub slaves: BTreeMap<&'a str, Vec<Bar<'a>>>,
    pub stays: Vec<Stay<'a>>,
}

fn at(text: &Option<String>) -> Option<i64> {
    Some(time::parse(text.as_deref()?)?.timestamp_millis())
}

impl Span {
    /// From the start of the first to the end of the last.
    pub(crate) fn around(spans: impl Iterator<Item = Span>) -> Option<Span> {
        spans.reduce(|a, b| Span {
            start: a.start.min(b.start),
            end: a.end.max(b.end),
        })
    }
}

impl<'a> Timeline<'a> {
    /// The timeline of a record, without anything unfinished.
    pub(crate) fn of(document: &'a Document) -> Self {
        let mut slaves: BTreeMap<&str, Vec<Bar>> = BTreeMap::new();
        for (task, one) in document.tasks.iter().enumerate() {
            for (number, trial) in one.trials.iter().enumerate() {
                if let (Some(span), Some(slave)) = (span(trial), &trial.slave) {
                    slaves.entry(slave).or_default().push(Bar {
                        task,
                        number,
                        trial,
                        span,
                    });
                }
            }
        }
        slaves.values_mut().for_each(|bars| lay(bars));
        let stays: Vec<Stay> = document.worker_logs.iter().filter_map(Stay::of).collect();
        let own = &document.taskset;
        let (created, finished) = (at(&own.created_at), at(&own.finished_at));
        let known = created.or(finished).map(|at| Span {
            start: at,
            end: finished.unwrap_or(at),
        });
        // Times are truncated to seconds: nothing may extend beyond the taskset's own end.
        let bars = slaves.values().flatten().map(|bar| bar.span);
        let all = bars.chain(stays.iter().map(|stay| stay.whole)).chain(known);
        Self {
            whole: Span::around(all).unwrap_or(Span { start: 0, end: 0 }),
            slaves,
            stays,
        }
    }
}

fn span(trial: &Trial) -> Option<Span> {
    trial.status.as_ref()?;
    let start = at(&trial.started_at)?;
    let end = match trial.duration_ms {
        Some(ms) => start + ms.max(0),
        None => at(&trial.finished_at)?.max(start),
    };
    Some(Span { start, end })
}

/// Lays the trials of one slave end to end.
fn lay(bars: &mut [Bar]) {
    // Within one second, a task's trials keep their order.
    bars.sort_by_key(|bar| (bar.span.start, at(&bar.trial.finished_at), bar.number));
    let mut free = i64::MIN;
    for bar in bars {
        let late = free.saturating_sub(bar.span.start).max(0);
        bar.span.start += late;
        bar.span.end += late;
        free = bar.span.end;
    }
}

impl<'a> Stay<'a> {
    fn of(log: &'a WorkerLog) -> Option<Self> {
        let start = at(&log.started_at)?;
        let rsync = at(&log.rsync_finished_at).map(|end| Span { start, end });
        let setup = at(&log.setup_finished_at).map(|end| Span {
            start: rsync.map_or(start, |rsync| rsync.end),
            end,
        });
        let last = [rsync, setup].into_iter().flatten().map(|span| span.end);
        let end = at(&log.finished_at).or(last.max()).unwrap_or(start);
        Some(Self {
            log,
            whole: Span { start, end },
            rsync,
            setup,
        })
    }

    /// The worker's id.
    pub(crate) fn worker(&self) -> &'a str {
        worker_id(self.log.worker.as_deref().unwrap_or(&self.log.key))
    }
}

/// The worker's id in the key of a worker or slave; the whole key if it is neither.
pub(crate) fn worker_id(key: &str) -> &str {
    let worker = match key.parse::<SlaveKey>() {
        Ok(slave) => slave.worker(),
        Err(_) => match key.parse::<WorkerKey>() {
            Ok(worker) => worker,
            Err(_) => return key,
        },
    };
    let length = worker.as_str().len();
    &key[length - worker.id().len()..length]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn trial(id: &str, second: u32, ms: i64) -> serde_json::Value {
        json!({
            "key": format!("rrrspec:taskset:t:task:f{id}:trial:{id}"),
            "slave": "rrrspec:worker:w:slave:1-a",
            "started_at": format!("2026-01-01 00:00:{second:02} +0000"),
            "finished_at": format!("2026-01-01 00:00:{second:02} +0000"),
            "status": "passed", "duration_ms": ms,
        })
    }

    fn document(trials: &[serde_json::Value]) -> Document {
        let task = |trial: &serde_json::Value| {
            let key = trial["key"].as_str().unwrap().split(":trial:").next();
            json!({"key": key, "trials": [trial]})
        };
        let tasks: Vec<_> = trials.iter().map(task).collect();
        serde_json::from_value(json!({
            "key": "rrrspec:taskset:t", "taskset": {"created_at": "2026-01-01 00:00:00 +0000"},
            "tasks": tasks, "slaves": [], "worker_logs": [],
        }))
        .unwrap()
    }

    #[test]
    fn trials_of_a_slave_do_not_overlap_and_keep_their_length() {
        let trials = [trial("c", 3, 100), trial("a", 1, 400), trial("b", 1, 400)];
        let document = document(&trials);
        let timeline = Timeline::of(&document);
        let bars = &timeline.slaves["rrrspec:worker:w:slave:1-a"];
        let from = timeline.whole.start;
        let seen: Vec<(i64, i64)> = bars
            .iter()
            .map(|bar| (bar.span.start - from, bar.span.end - from))
            .collect();
        assert_eq!(seen, [(1000, 1400), (1400, 1800), (3000, 3100)]);
        assert_eq!(timeline.whole.end - from, 3100);
    }

    #[test]
    fn a_worker_is_found_by_its_key_and_by_its_slaves() {
        assert_eq!(worker_id("rrrspec:worker:box"), "box");
        assert_eq!(worker_id("rrrspec:worker:box:slave:1-a"), "box");
        assert_eq!(worker_id("something else"), "something else");
    }
}
