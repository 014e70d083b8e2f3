//! Counters that rrr-persist keeps over all finished tasksets: they only grow, so that a collector
//! can compute rates.
//!
//! They are incremented in the step that marks a record as durable, which happens once per taskset.
//! The values come from the database, so that neither a taskset's size nor its outputs cost Redis
//! anything.

use crate::archive::db::value::Value;
use crate::archive::db::{Database, number, text};
use crate::protocol::key::{self, TasksetKey};
use crate::protocol::time;
use crate::store;
use crate::store::{Store, read};
use serde::Serialize;
use std::collections::BTreeMap;

/// Upper bounds of the histogram buckets for trials, in milliseconds.
pub(crate) const TRIAL_MS: &[u64] = &[
    100, 300, 1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000,
];
/// Upper bounds of the histogram buckets for tasksets and their waiting times.
pub(crate) const TASKSET_MS: &[u64] = &[
    1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000,
];

const TASKSET_TOOK: &str = "taskset_ms";
const TASKSET_WAITED: &str = "taskset_wait_ms";
const TRIAL_TOOK: &str = "trial_ms";

/// Numbers by the names of the fields that hold them.
pub(crate) type Counts = BTreeMap<String, u64>;

/// The parsed counters.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Totals {
    /// By final status.
    pub tasksets: Counts,
    /// By final status; `unfinished` when their taskset ended first.
    pub tasks: Counts,
    pub flaky_tasks: u64,
    /// By status.
    pub trials: Counts,
    /// From submission to the end.
    pub taskset_ms: Histogram,
    /// From submission until the first worker took the taskset.
    pub taskset_wait_ms: Histogram,
    pub trial_ms: Histogram,
}

/// The number of durations up to each bound.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Histogram {
    /// A bound in milliseconds, and the number of durations not longer than it.
    pub le: Vec<(u64, u64)>,
    pub count: u64,
    pub sum: u64,
}

fn add(counts: &mut Counts, field: String, number: u64) {
    *counts.entry(field).or_default() += number;
}

fn add_duration(counts: &mut Counts, kind: &str, bounds: &[u64], ms: u64) {
    let class = bounds.iter().find(|bound| ms <= **bound);
    let class = class.map_or("more".to_owned(), u64::to_string);
    add(counts, format!("{kind}:{class}"), 1);
    add(counts, format!("{kind}:sum"), ms);
}

/// The counts that a persisted taskset adds.
pub(crate) fn of(db: &mut Database, taskset: &TasksetKey) -> anyhow::Result<Counts> {
    let mut counts = Counts::new();
    let sql =
        "SELECT id, status, flaky_count, created_at, finished_at FROM tasksets WHERE key = $1";
    let Some(row) = db.rows(sql, &[taskset.as_str().into()])?.pop() else {
        return Ok(counts);
    };
    let (id, at) = (row[0].clone(), |value: &Value| time::parse(&text(value)?));
    let status = |value: &Value| text(value).unwrap_or_else(|| "unfinished".to_owned());
    let whole = |value: &Value| number(value).max(0) as u64;
    add(&mut counts, format!("tasksets:{}", status(&row[1])), 1);
    add(&mut counts, "flaky_tasks".into(), whole(&row[2]));
    let (created, finished) = (at(&row[3]), at(&row[4]));
    if let (Some(from), Some(to)) = (created, finished) {
        let ms = (to - from).num_milliseconds().max(0) as u64;
        add_duration(&mut counts, TASKSET_TOOK, TASKSET_MS, ms);
    }
    let sql = "SELECT started_at FROM worker_logs WHERE taskset_id = $1";
    let stays = db.rows(sql, std::slice::from_ref(&id))?;
    if let (Some(from), Some(to)) = (created, stays.iter().filter_map(|row| at(&row[0])).min()) {
        let ms = (to - from).num_milliseconds().max(0) as u64;
        add_duration(&mut counts, TASKSET_WAITED, TASKSET_MS, ms);
    }
    let sql = "SELECT status, count(*) FROM tasks WHERE taskset_id = $1 GROUP BY status";
    let tasks = db.rows(sql, std::slice::from_ref(&id))?;
    for row in &tasks {
        let field = format!("tasks:{}", status(&row[0]));
        add(&mut counts, field, whole(&row[1]));
    }
    if tasks.is_empty() {
        return Ok(counts);
    }
    let sql = "SELECT status, duration_ms FROM trials WHERE taskset_id = $1";
    db.query(sql, std::slice::from_ref(&id), |row| {
        add(&mut counts, format!("trials:{}", status(&row[0])), 1);
        if row[1] != Value::Null {
            add_duration(&mut counts, TRIAL_TOOK, TRIAL_MS, whole(&row[1]));
        }
        Ok(())
    })?;
    Ok(counts)
}

/// Reads the counters; a value that is not a number is ignored.
pub(crate) fn load(store: &mut Store) -> anyhow::Result<Totals> {
    let counts = read::numbers(store, &key::totals());
    let counts = store::unless_refused(key::totals(), counts)?.unwrap_or_default();
    Ok(Totals::read(&counts.into_iter().collect()))
}

impl Totals {
    fn read(counts: &Counts) -> Self {
        let by = |kind: &str| {
            let own = counts.iter().filter_map(|(field, number)| {
                let status = field.strip_prefix(kind)?.strip_prefix(':')?;
                Some((status.to_owned(), *number))
            });
            own.collect()
        };
        Self {
            tasksets: by("tasksets"),
            tasks: by("tasks"),
            flaky_tasks: counts.get("flaky_tasks").copied().unwrap_or(0),
            trials: by("trials"),
            taskset_ms: Histogram::read(&by(TASKSET_TOOK), TASKSET_MS),
            taskset_wait_ms: Histogram::read(&by(TASKSET_WAITED), TASKSET_MS),
            trial_ms: Histogram::read(&by(TRIAL_TOOK), TRIAL_MS),
        }
    }
}

impl Histogram {
    fn read(counts: &Counts, bounds: &[u64]) -> Self {
        let of = |class: &str| counts.get(class).copied().unwrap_or(0);
        let mut below = 0;
        let le = bounds.iter().map(|bound| {
            below += of(&bound.to_string());
            (*bound, below)
        });
        let le: Vec<(u64, u64)> = le.collect();
        Self {
            le,
            count: below + of("more"),
            sum: of("sum"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histogram_counts_each_duration_in_every_bound_it_fits() {
        let mut counts = Counts::new();
        for ms in [0, 100, 101, 999_999, 1_000_001] {
            add_duration(&mut counts, TRIAL_TOOK, TRIAL_MS, ms);
        }
        let histogram = Totals::read(&counts).trial_ms;
        let below: Vec<u64> = histogram.le.iter().map(|(_, below)| *below).collect();
        assert_eq!(below, [2, 3, 3, 3, 3, 3, 3, 3, 4]);
        assert_eq!((histogram.count, histogram.sum), (5, 2_000_201));
    }

    #[test]
    fn each_kind_reads_only_its_own_counts() {
        let counts = Counts::from([("tasks:passed".into(), 3), ("tasksets:failed".into(), 1)]);
        let totals = Totals::read(&counts);
        assert_eq!(totals.tasks, Counts::from([("passed".into(), 3)]));
        assert_eq!(totals.tasksets, Counts::from([("failed".into(), 1)]));
        assert_eq!(totals.trial_ms.count, 0);
    }
}
