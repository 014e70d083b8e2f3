//! The transitions of an active taskset: given to workers, its trials judged, ended.

use super::Status;
use crate::key::{self, TaskKey, TasksetKey, TrialKey, WorkerKey};
use crate::store::{Store, script::Answer, script::Script};
use crate::{lua, time};

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
