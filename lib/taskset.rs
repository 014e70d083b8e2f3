//! Tasksets: one run of a suite.
//!
//! Written by rrr-submit until it is active; from then on its status is changed by the scripts
//! `assign` (rrr-dispatch), `judge`, `recover` and `close` (rrr-arbiter) alone.

use crate::key::{self, SlaveKey, TaskKey, TasksetKey, TrialKey, WorkerKey};
use crate::store::{KEY_TTL, Store, script::Answer, script::Script};
use crate::{lua, time};
use std::collections::HashMap;

/// Where a taskset stands; no status at all means that it waits for a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Running,
    Succeeded,
    Cancelled,
    Failed,
}

impl Status {
    /// Reads the field; absent, empty and unknown are `None`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "running" => Some(Self::Running),
            "succeeded" => Some(Self::Succeeded),
            "cancelled" => Some(Self::Cancelled),
            "failed" => Some(Self::Failed),
            _ => None,
        }
    }

    /// As the protocol writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// Whether it never changes any more.
    pub fn is_final(self) -> bool {
        self != Self::Running
    }

    /// The exit code of whoever waited for it.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Succeeded => crate::exit::OK,
            Self::Cancelled => crate::exit::CANCELLED,
            Self::Running | Self::Failed => crate::exit::FAILED,
        }
    }
}

/// What a submitter asks for.
#[derive(Clone, Debug)]
pub struct Request {
    pub rsync_name: String,
    pub setup_command: String,
    pub slave_command: String,
    pub worker_type: String,
    pub max_workers: u32,
    pub max_trials: u32,
    pub taskset_class: String,
    pub unknown_spec_timeout_sec: u64,
    pub least_timeout_sec: u64,
}

/// A taskset's hash as it stands in Redis.
#[derive(Clone, Debug, Default)]
pub struct Record(pub HashMap<String, String>);

impl Record {
    /// Loads the hash; `None` when it does not exist.
    pub fn load(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<Option<Self>> {
        let fields: HashMap<String, String> =
            store.call(|c, _| redis::cmd("HGETALL").arg(taskset).query(c))?;
        Ok((!fields.is_empty()).then_some(Self(fields)))
    }

    /// A field; '' and absent are the protocol's nil.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.0
            .get(field)
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    }

    /// A field that should be a number.
    pub fn number(&self, field: &str) -> Option<u64> {
        self.get(field)?.parse().ok()
    }

    /// Where it stands.
    pub fn status(&self) -> Option<Status> {
        self.get("status").and_then(Status::parse)
    }
}

/// The tasksets that are submitted and not finished, oldest first; what is no key is left out.
pub fn active(store: &mut Store) -> anyhow::Result<Vec<TasksetKey>> {
    let keys: Vec<Vec<u8>> = store.call(|c, _| {
        redis::cmd("LRANGE")
            .arg(key::active_taskset())
            .arg(0)
            .arg(-1)
            .query(c)
    })?;
    Ok(keys
        .iter()
        .filter_map(|bytes| std::str::from_utf8(bytes).ok()?.parse().ok())
        .collect())
}

/// Writes a taskset that nobody acts on yet. It expires after an hour unless it is activated, and
/// all its other keys live [`KEY_TTL`] from now (K4).
pub fn stage(
    store: &mut Store,
    taskset: &TasksetKey,
    request: &Request,
    tasks: &[(String, Option<u64>)],
) -> anyhow::Result<()> {
    let lists = [taskset.tasks(), taskset.tasks_left(), taskset.task_queue()];
    store.call(|c, _| {
        let mut pipe = redis::pipe();
        for list in &lists {
            pipe.cmd("DEL").arg(list).ignore();
        }
        pipe.cmd("HSET").arg(taskset);
        for (field, value) in [
            ("rsync_name", request.rsync_name.as_str()),
            ("setup_command", &request.setup_command),
            ("slave_command", &request.slave_command),
            ("worker_type", &request.worker_type),
            ("taskset_class", &request.taskset_class),
            ("created_at", &time::now()),
        ] {
            pipe.arg(field).arg(value);
        }
        for (field, value) in [
            ("max_workers", u64::from(request.max_workers)),
            ("max_trials", u64::from(request.max_trials)),
            ("unknown_spec_timeout_sec", request.unknown_spec_timeout_sec),
            ("least_timeout_sec", request.least_timeout_sec),
            ("succeeded_count", 0),
            ("failed_count", 0),
        ] {
            pipe.arg(field).arg(value);
        }
        pipe.ignore();
        pipe.cmd("EXPIRE").arg(taskset).arg(3600).ignore();
        pipe.query::<()>(c)?;
        for chunk in tasks.chunks(1000) {
            let keys: Vec<TaskKey> = chunk.iter().map(|(file, _)| taskset.task(file)).collect();
            let mut pipe = redis::pipe();
            for list in &lists {
                pipe.cmd("RPUSH").arg(list).arg(&keys).ignore();
                pipe.cmd("EXPIRE").arg(list).arg(KEY_TTL).ignore();
            }
            for ((file, estimate), key) in chunk.iter().zip(&keys) {
                pipe.cmd("HSET")
                    .arg(key)
                    .arg("taskset")
                    .arg(taskset)
                    .arg("spec_file")
                    .arg(file);
                if let Some(estimate) = estimate {
                    pipe.arg("estimate_sec").arg(estimate);
                }
                pipe.ignore();
                pipe.cmd("EXPIRE").arg(key).arg(KEY_TTL).ignore();
            }
            pipe.query::<()>(c)?;
        }
        Ok(())
    })
}

static ACTIVATE: Script = lua!("activate", "event");

/// Hands a staged taskset of `tasks` tasks over; `locked` when its rsync lock must still be held.
pub fn activate(
    store: &mut Store,
    taskset: &TasksetKey,
    rsync_name: &str,
    tasks: usize,
    locked: bool,
) -> anyhow::Result<()> {
    let state: String = store.call(|c, _| {
        ACTIVATE
            .key(taskset)
            .key(key::active_taskset())
            .key(key::dispatcher_queue())
            .key(key::rsync_lock(rsync_name))
            .arg(tasks)
            .arg(u8::from(locked))
            .invoke(c)
    })?;
    match state.as_str() {
        "active" => Ok(()),
        "unlocked" => {
            anyhow::bail!("lost the lock of the rsync name '{rsync_name}' before submitting")
        }
        _ => anyhow::bail!("'{taskset}' was not complete in Redis when it was submitted"),
    }
}

static RSYNC_LOCK: Script = lua!("rsync_lock");

/// Takes or renews the right to sync into `rsync_name`'s folder for 30 seconds. Returns the
/// taskset in the way, if any.
pub fn lock_rsync_name(
    store: &mut Store,
    taskset: &TasksetKey,
    rsync_name: &str,
) -> anyhow::Result<Option<String>> {
    let holder: String = store.call(|c, _| {
        RSYNC_LOCK
            .key(key::rsync_lock(rsync_name))
            .arg(taskset)
            .arg(rsync_name)
            .arg(30_000)
            .arg(key::active_taskset())
            .invoke(c)
    })?;
    Ok((!holder.is_empty()).then_some(holder))
}

static ASSIGN: Script = lua!("assign", "event", "close");

/// Gives the taskset to workers; returns to which.
pub fn assign(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<Vec<String>> {
    let answer: Answer = store.call(|c, _| ASSIGN.key(taskset).key(key::workers()).invoke(c))?;
    let given: Vec<String> = (0..answer.len())
        .map(|place| answer.text(place))
        .take_while(|worker| !worker.is_empty())
        .collect();
    answer.print_events(given.len() + 1);
    Ok(given)
}

static CLOSE: Script = lua!("close", "event", "close");

/// Gives an open taskset its final status, and pops `message`, which asked for it, if any.
pub fn close(
    store: &mut Store,
    taskset: &TasksetKey,
    message: &[u8],
    status: Status,
    reason: &str,
) -> anyhow::Result<()> {
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
    answer.print_events(1);
    Ok(())
}

static JUDGE: Script = lua!("judge", "event", "close", "judge");

/// A trial to be judged, with the message that announced it.
pub type Finished = (Vec<u8>, TrialKey, TaskKey, TasksetKey);

/// Judges the trials that stand at the head of the arbiter's queue; returns how many were taken.
pub fn judge(store: &mut Store, trials: &[Finished]) -> anyhow::Result<usize> {
    let answer: Answer = store.call(|c, _| {
        let mut call = JUDGE.key(key::arbiter_queue());
        call.key(key::active_taskset())
            .key(key::persister_queue())
            .key(key::dead(&key::arbiter_queue()))
            .arg(time::now());
        for (message, trial, task, taskset) in trials {
            call.arg(message.as_slice())
                .arg(taskset)
                .arg(task)
                .arg(trial);
        }
        call.invoke(c)
    })?;
    answer.print_events(1);
    Ok(answer.number(0) as usize)
}

static RECOVER: Script = lua!("recover", "event", "close", "reap", "judge");

/// Puts back those of `lost` that are; finalises the taskset when nothing is left.
pub fn recover(store: &mut Store, taskset: &TasksetKey, lost: &[TaskKey]) -> anyhow::Result<u64> {
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
    answer.print_events(1);
    Ok(answer.number(0) as u64)
}

static SPECULATE: Script = lua!("speculate", "event");

/// Queues a second copy of `tasks`.
pub fn speculate(store: &mut Store, taskset: &TasksetKey, tasks: &[TaskKey]) -> anyhow::Result<()> {
    let answer: Answer = store.call(|c, _| SPECULATE.key(taskset).arg(tasks).invoke(c))?;
    answer.print_events(1);
    Ok(())
}

static REQUEST_FAIL: Script = lua!("request_fail", "event", "close");

/// After how many distinct workers that cannot run it a taskset is failed (L9).
pub const FAIL_AFTER_WORKERS: u32 = 2;

/// A worker says that it cannot run the taskset, and why.
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
            .invoke::<String>(c)
    })?;
    Ok(())
}

/// Asks the arbiter to cancel one taskset, or every active one.
pub fn request_cancel(store: &mut Store, taskset: Option<&TasksetKey>) -> anyhow::Result<()> {
    let message = match taskset {
        Some(taskset) => format!("cancel\t{taskset}"),
        None => "cancel".to_owned(),
    };
    store.call(|c, _| {
        redis::cmd("RPUSH")
            .arg(key::arbiter_queue())
            .arg(&message)
            .query::<()>(c)
    })
}

/// The slaves that ever joined, in order; what is no key is left out.
pub fn slaves(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<Vec<SlaveKey>> {
    let keys: Vec<String> = store.call(|c, _| {
        redis::cmd("LRANGE")
            .arg(taskset.slaves())
            .arg(0)
            .arg(-1)
            .query(c)
    })?;
    Ok(keys.iter().filter_map(|text| text.parse().ok()).collect())
}

/// The estimates of a class, in whole seconds by spec file.
pub fn estimates(store: &mut Store, class: &str) -> anyhow::Result<HashMap<String, u64>> {
    let known: HashMap<String, String> =
        store.call(|c, _| redis::cmd("HGETALL").arg(key::estimate_sec(class)).query(c))?;
    Ok(known
        .into_iter()
        .filter_map(|(file, seconds)| Some((file, seconds.parse().ok()?)))
        .collect())
}

static RSYNC_UNLOCK: Script = lua!("rsync_unlock");

/// Gives the right to sync into `rsync_name`'s folder back, when a submission is given up.
pub fn unlock_rsync_name(
    store: &mut Store,
    taskset: &TasksetKey,
    rsync_name: &str,
) -> anyhow::Result<()> {
    store.call(|c, _| {
        RSYNC_UNLOCK
            .key(key::rsync_lock(rsync_name))
            .arg(taskset)
            .invoke::<i64>(c)
    })?;
    Ok(())
}
