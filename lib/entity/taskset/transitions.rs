//! The transitions of an active taskset: assigned to workers, its trials judged, ended.

use crate::entity::emitting::Emitting;
use crate::lua;
use crate::protocol::key::{self, TaskKey, TasksetKey, WorkerKey};
use crate::protocol::status::TasksetStatus;
use crate::protocol::taskset_field as field;
use crate::protocol::time;
use crate::store::Store;
use crate::store::error::Refused;
use crate::store::read::{self, Text};
use crate::store::script::{Answer, Script};

/// The demand of an open taskset, for the dispatcher.
#[derive(Clone, Debug)]
pub struct Want {
    pub worker_type: Option<String>,
    pub max_workers: usize,
    /// The field `given` as it was read: the number of times the taskset was given to a worker.
    pub given: String,
}

impl Want {
    /// Counts workers that the taskset was given to since.
    pub(crate) fn count_given(&mut self, workers: usize) {
        let before: usize = self.given.parse().unwrap_or(0);
        if workers > 0 {
            self.given = (before + workers).to_string();
        }
    }
}

/// The demand of each of `tasksets`, `None` if it is not open, in one round trip. A taskset with a
/// key of the wrong type gets its own error.
pub fn wants(
    store: &mut Store,
    tasksets: &[TasksetKey],
) -> anyhow::Result<Vec<Result<Option<Want>, Refused>>> {
    if tasksets.is_empty() {
        return Ok(Vec::new());
    }
    type Row = ([Option<Text>; 6],);
    let rows: Vec<Result<Row, Refused>> = store.call(|c, _| {
        let mut pipe = redis::pipe();
        for taskset in tasksets {
            pipe.cmd("HMGET").arg(taskset).arg(&[
                field::STATUS,
                field::CREATED_AT,
                field::WORKER_TYPE,
                field::MAX_TRIALS,
                field::MAX_WORKERS,
                field::GIVEN,
            ]);
        }
        read::rows_each(pipe.ignore_errors().query(c)?, 1)
    })?;
    let want = |(fields,): Row| {
        let [status, created, worker_type, max_trials, max_workers, given] = fields;
        let exists = [&status, &created, &worker_type, &max_trials]
            .iter()
            .any(|field| field.is_some());
        let open = status.is_none_or(|status| status.is_empty() || &*status == "running");
        (exists && open).then(|| Want {
            worker_type: worker_type.map(String::from),
            max_workers: max_workers.and_then(|text| text.parse().ok()).unwrap_or(1),
            given: given.map(String::from).unwrap_or_default(),
        })
    };
    Ok(rows.into_iter().map(|row| row.map(want)).collect())
}

/// The outcome of offering a taskset to workers.
#[derive(Debug, Default)]
pub struct Assigned {
    pub given: Vec<WorkerKey>,
    /// Workers whose setup for the taskset failed before.
    pub failed: Vec<WorkerKey>,
    /// Whether another dispatcher was faster, so that nothing was given.
    pub is_stale: bool,
}

static ASSIGN: Script = lua!("taskset_assign", "event", "close");

/// Gives the taskset to at most `most` of the `offered` workers that are idle.
pub fn assign(
    store: &mut Store,
    taskset: &TasksetKey,
    want: &Want,
    most: usize,
    offered: &[WorkerKey],
) -> anyhow::Result<Emitting<Assigned>> {
    let answer: Answer = store.call(|c, _| {
        ASSIGN
            .key(taskset)
            .arg(&want.given)
            .arg(most)
            .arg(offered)
            .invoke(c)
    })?;
    let mut place = 1;
    let mut workers = || -> anyhow::Result<Vec<WorkerKey>> {
        let mut found = Vec::new();
        while place < answer.len() && !answer.text(place).is_empty() {
            found.push(answer.text(place).parse()?);
            place += 1;
        }
        place += 1;
        Ok(found)
    };
    let assigned = Assigned {
        given: workers()?,
        failed: workers()?,
        is_stale: answer.text(0) == "stale",
    };
    Ok(Emitting::new(assigned, &answer, place))
}

static CLOSE: Script = lua!("taskset_close", "event", "close");

/// Sets an open taskset's final status, and pops the `message` that requested it, if any.
pub fn close(
    store: &mut Store,
    taskset: &TasksetKey,
    message: &[u8],
    status: TasksetStatus,
    reason: &str,
) -> anyhow::Result<Emitting<()>> {
    let answer: Answer = store.call(|c, _| {
        CLOSE
            .key(taskset)
            .key(key::active_taskset())
            .key(key::persister_queue())
            .key(key::arbiter_queue())
            .arg(message)
            .arg(status.as_str())
            .arg(time::now())
            .arg(reason)
            .invoke(c)
    })?;
    Ok(Emitting::new((), &answer, 1))
}

static JUDGE: Script = lua!("trial_judge", "event", "close", "ends", "policy", "judge");

/// The outcome of judging the head of the arbiter's queue.
pub struct Judged {
    /// The number of judged trials, whose messages were popped.
    pub taken: usize,
    /// The message of another kind now at the head of the queue, if one was seen.
    pub other: Option<Vec<u8>>,
}

/// Judges the trials at the head of the arbiter's queue, at most `most`.
pub fn judge(store: &mut Store, most: usize) -> anyhow::Result<Emitting<Judged>> {
    let answer: Answer = store.call(|c, _| {
        JUDGE
            .key(key::arbiter_queue())
            .key(key::active_taskset())
            .key(key::persister_queue())
            .key(key::dead(&key::arbiter_queue()))
            .arg(time::now())
            .arg(most)
            .invoke(c)
    })?;
    let judged = Judged {
        taken: answer.number(0) as usize,
        other: answer.bytes(1).map(<[u8]>::to_vec),
    };
    Ok(Emitting::new(judged, &answer, 2))
}

static RECOVER: Script = lua!(
    "task_recover",
    "event",
    "batch",
    "close",
    "ends",
    "reap",
    "policy",
    "judge"
);

/// Requeues the tasks of `lost` that are lost indeed; finalises the taskset if nothing is left.
/// Returns whether anything changed.
pub fn recover(
    store: &mut Store,
    taskset: &TasksetKey,
    lost: &[TaskKey],
) -> anyhow::Result<Emitting<bool>> {
    let answer: Answer = store.call(|c, _| {
        RECOVER
            .key(taskset)
            .key(key::active_taskset())
            .key(key::persister_queue())
            .key(key::arbiter_queue())
            .arg(time::now())
            .arg(lost)
            .invoke(c)
    })?;
    let changed = answer.number(0) > 0 || answer.len() > 1;
    Ok(Emitting::new(changed, &answer, 1))
}

static SPECULATE: Script = lua!("task_speculate", "event");

/// Queues a second copy of each of `tasks`; returns whether any was queued.
pub fn speculate(
    store: &mut Store,
    taskset: &TasksetKey,
    tasks: &[TaskKey],
) -> anyhow::Result<Emitting<bool>> {
    let answer: Answer = store.call(|c, _| SPECULATE.key(taskset).arg(tasks).invoke(c))?;
    Ok(Emitting::new(answer.number(0) > 0, &answer, 1))
}

static REQUEST_FAIL: Script = lua!("taskset_request_fail", "event", "close", "worker");

/// The number of distinct workers unable to run a taskset after which it fails (L9).
pub const FAIL_AFTER_WORKERS: u32 = 2;

/// Records that a worker cannot run the taskset, and why.
pub fn request_fail(
    store: &mut Store,
    taskset: &TasksetKey,
    worker: &WorkerKey,
    log: &str,
    reason: &str,
) -> anyhow::Result<()> {
    store.call(|c, _| {
        REQUEST_FAIL
            .key(taskset)
            .key(log)
            .key(key::arbiter_queue())
            .key(key::dispatcher_queue())
            .key(key::workers())
            .arg(worker)
            .arg(reason)
            .arg(FAIL_AFTER_WORKERS)
            .invoke::<redis::Value>(c)
    })?;
    Ok(())
}

static FAIL_UNRUNNABLE: Script = lua!("taskset_fail_unrunnable", "event", "close", "worker");

/// Whether the taskset is unrunnable: it has at least one live worker of its type, each has
/// reported that it cannot run it, and none is running it. With `fail`, the taskset then fails with
/// one of the reasons.
pub fn fail_unrunnable(
    store: &mut Store,
    taskset: &TasksetKey,
    fail: bool,
) -> anyhow::Result<Emitting<bool>> {
    let answer: Answer = store.call(|c, _| {
        FAIL_UNRUNNABLE
            .key(taskset)
            .key(key::active_taskset())
            .key(key::persister_queue())
            .arg(key::workers())
            .arg(time::now())
            .arg(u8::from(fail))
            .invoke(c)
    })?;
    Ok(Emitting::new(answer.number(0) == 1, &answer, 1))
}

/// Asks the arbiter to cancel one taskset, or every active one.
pub fn request_cancel(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<()> {
    let message = format!("cancel\t{taskset}");
    store.call(|c, _| {
        redis::cmd("RPUSH")
            .arg(key::arbiter_queue())
            .arg(&message)
            .query::<()>(c)
    })
}
