//! Tasksets: one run of a suite.
//!
//! Written by rrr-submit until it is active ([`stage`](mod@stage)). After that, only these scripts
//! change its status ([`transitions`]): `taskset_assign` (rrr-dispatch), `worker_accept`
//! (rrr-worker), `trial_judge`, `task_recover`, `taskset_fail_unrunnable` and `taskset_close`
//! (rrr-arbiter).

pub(crate) mod lookup;
mod skipped;
mod stage;
mod transitions;

pub use crate::entity::taskset::skipped::Skipped;
pub use crate::entity::taskset::transitions::{
    Assigned, FAIL_AFTER_WORKERS, Judged, Want, assign, close, fail_unrunnable, judge, recover,
    request_cancel, request_fail, speculate, wants,
};
pub use stage::{
    Submission, activate, lock_rsync_name, renew_rsync_lock, stage, taken, unlock_rsync_name,
};

use crate::protocol::key::{self, SlaveKey, TaskKey, TasksetKey};
use crate::protocol::status::TasksetStatus;
use crate::protocol::task::DEFAULT_LEAST_SEC;
use crate::protocol::taskset_field as field;
use crate::store::Store;
use crate::store::error::Refused;
use crate::store::read::{self, Text};
use std::collections::{HashMap, HashSet};

/// A taskset's hash as read from Redis.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record(pub HashMap<String, String>);

impl Record {
    /// Loads the hash; `None` when it does not exist.
    pub(crate) fn load(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<Option<Self>> {
        let fields = read::hash(store, taskset.as_str())?;
        Ok((!fields.is_empty()).then_some(Self(fields)))
    }

    /// A field; '' and absent are the protocol's nil.
    pub(crate) fn get(&self, field: &str) -> Option<&str> {
        self.0
            .get(field)
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    }

    /// A numeric field.
    pub(crate) fn number(&self, field: &str) -> Option<u64> {
        self.get(field)?.parse().ok()
    }

    /// The taskset's status.
    pub(crate) fn status(&self) -> Option<TasksetStatus> {
        self.get(field::STATUS).and_then(TasksetStatus::parse)
    }

    /// The type of workers that it runs on.
    pub(crate) fn worker_type(&self) -> &str {
        self.get(field::WORKER_TYPE).unwrap_or(field::DEFAULT)
    }

    /// The class of its estimates.
    pub(crate) fn class(&self) -> &str {
        self.get(field::TASKSET_CLASS).unwrap_or(field::DEFAULT)
    }

    /// The name of its tree.
    pub(crate) fn rsync_name(&self) -> &str {
        self.get(field::RSYNC_NAME).unwrap_or_default()
    }

    /// The reason for its failure, unless its tests failed.
    pub(crate) fn fail_reason(&self) -> Option<&str> {
        self.get(field::FAIL_REASON)
    }

    /// The numbers of succeeded and failed tasks.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let count = |name| self.number(name).unwrap_or(0);
        (count(field::SUCCEEDED_COUNT), count(field::FAILED_COUNT))
    }
}

/// The submitted, unfinished tasksets, oldest first; entries that are not keys are left out.
pub(crate) fn active(store: &mut Store) -> anyhow::Result<Vec<TasksetKey>> {
    read::list(store, &key::active_taskset())
}

/// The finished tasksets that are waiting to be persisted, oldest first.
pub(crate) fn unpersisted(store: &mut Store) -> anyhow::Result<Vec<TasksetKey>> {
    read::list(store, &key::persister_queue())
}

/// All slaves that ever joined, in order; entries that are not keys are left out.
pub(crate) fn slaves(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<Vec<SlaveKey>> {
    read::list(store, &taskset.slaves())
}

/// All tasks, in the order of submission; entries that are not keys are left out.
pub(crate) fn tasks(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<Vec<TaskKey>> {
    read::list(store, &taskset.tasks())
}

/// The progress of a taskset, read without its tasks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLengths {
    /// Queued tasks.
    pub queued: usize,
    /// Tasks without a final status.
    pub left: usize,
}

impl QueueLengths {
    /// Loads both lengths: one round trip.
    pub(crate) fn load(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<Self> {
        let (queued, left) = store.call(|c, _| {
            redis::pipe()
                .cmd("LLEN")
                .arg(taskset.task_queue())
                .cmd("LLEN")
                .arg(taskset.tasks_left())
                .query(c)
        })?;
        Ok(Self { queued, left })
    }
}

/// The facts by which the arbiter decides whether a taskset needs attention.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Whether the taskset is open and has no worker yet.
    pub waits: bool,
    /// Whether the taskset's status is `running`.
    pub runs: bool,
    pub slaves: Vec<SlaveKey>,
    pub queued: usize,
    pub left: usize,
    pub tasks: usize,
    pub worker_logs: usize,
    pub least_timeout_sec: f64,
}

impl Facts {
    /// Whether the taskset is finished or missing, has no tasks, or has none left.
    pub(crate) fn may_be_over(&self) -> bool {
        self.tasks == 0 || !(self.waits || self.runs) || (self.runs && self.left == 0)
    }
}

/// The length of the arbiter's queue, and the facts of `tasksets`, in one round trip. A taskset
/// with a key of the wrong type gets its own error.
pub(crate) fn facts(
    store: &mut Store,
    tasksets: &[TasksetKey],
) -> anyhow::Result<(usize, Vec<Result<Facts, Refused>>)> {
    type Row = ([Option<Text>; 5], Vec<Vec<u8>>, usize, usize, usize, usize);
    let (unjudged, rows): (usize, Vec<Result<Row, Refused>>) = store.call(|c, _| {
        let mut pipe = redis::pipe();
        pipe.cmd("LLEN").arg(key::arbiter_queue());
        for taskset in tasksets {
            pipe.cmd("HMGET").arg(taskset).arg(&[
                field::STATUS,
                field::CREATED_AT,
                field::WORKER_TYPE,
                field::MAX_TRIALS,
                field::LEAST_TIMEOUT_SEC,
            ]);
            pipe.cmd("LRANGE").arg(taskset.slaves()).arg(0).arg(-1);
            for list in [
                taskset.task_queue(),
                taskset.tasks_left(),
                taskset.tasks(),
                taskset.worker_logs(),
            ] {
                pipe.cmd("LLEN").arg(list);
            }
        }
        let mut answers: Vec<redis::Value> = pipe.ignore_errors().query(c)?;
        let unjudged = redis::from_redis_value(answers.remove(0))?;
        Ok((unjudged, read::rows_each(answers, 6)?))
    })?;
    let fact = |row: Row| {
        let ([status, created, worker_type, max_trials, least], slaves, queued, left, tasks, logs) =
            row;
        let status = status.filter(|status| !status.is_empty());
        let exists = created.or(worker_type).or(max_trials).is_some();
        Facts {
            waits: exists && status.is_none(),
            runs: status.is_some_and(|status| &*status == "running"),
            slaves: read::parsed(&slaves),
            queued,
            left,
            tasks,
            worker_logs: logs,
            least_timeout_sec: least
                .and_then(|text| text.parse().ok())
                .unwrap_or(DEFAULT_LEAST_SEC as f64),
        }
    };
    let facts = rows.into_iter().map(|row| row.map(fact)).collect();
    Ok((unjudged, facts))
}

/// The active tasksets, and those of `asked` without a status, in one round trip.
pub(crate) fn active_and_waiting(
    store: &mut Store,
    asked: &[TasksetKey],
) -> anyhow::Result<(Vec<TasksetKey>, HashSet<TasksetKey>)> {
    type Answers = (Vec<Vec<u8>>, Vec<Result<(Option<Text>,), Refused>>);
    let (active, statuses): Answers = store.call(|c, _| {
        let mut pipe = redis::pipe();
        pipe.cmd("LRANGE").arg(key::active_taskset()).arg(0).arg(-1);
        for taskset in asked {
            pipe.cmd("HGET").arg(taskset).arg(field::STATUS);
        }
        let mut answers: Vec<redis::Value> = pipe.ignore_errors().query(c)?;
        let active = redis::from_redis_value(answers.remove(0).extract_error()?)?;
        Ok((active, read::rows_each(answers, 1)?))
    })?;
    let waits = |status: Result<(Option<Text>,), Refused>| {
        status.is_ok_and(|(status,)| status.is_none_or(|status| status.is_empty()))
    };
    let waiting = asked.iter().zip(statuses);
    let waiting = waiting.filter_map(|(taskset, status)| waits(status).then(|| taskset.clone()));
    Ok((read::parsed(&active), waiting.collect()))
}

/// The tasks without a final status of each of `tasksets`: one round trip, or none if there are no
/// tasksets.
pub(crate) fn tasks_left_each(
    store: &mut Store,
    tasksets: &[&TasksetKey],
) -> anyhow::Result<Vec<Result<Vec<TaskKey>, Refused>>> {
    if tasksets.is_empty() {
        return Ok(Vec::new());
    }
    let lists: Vec<Result<(Vec<Vec<u8>>,), Refused>> = store.call(|c, _| {
        let mut pipe = redis::pipe();
        for taskset in tasksets {
            pipe.cmd("LRANGE").arg(taskset.tasks_left()).arg(0).arg(-1);
        }
        read::rows_each(pipe.ignore_errors().query(c)?, 1)
    })?;
    let parse = |list: Result<(Vec<Vec<u8>>,), Refused>| list.map(|(list,)| read::parsed(&list));
    Ok(lists.into_iter().map(parse).collect())
}
