//! The transitions of an active taskset: given to workers, its trials judged, ended.

use super::Status;
use crate::key::{self, TaskKey, TasksetKey, WorkerKey};
use crate::store::{Store, script::Answer, script::Script};
use crate::{lua, time};

static ASSIGN: Script = lua!("assign", "event", "close", "worker");

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

static JUDGE: Script = lua!("judge", "event", "close", "ends", "judge");

/// What came of a look at the arbiter's queue.
pub struct Judged {
    /// How many trials were judged; their messages are gone from the queue.
    pub taken: usize,
    /// The message of another kind at the head of the queue now, if one was seen.
    pub other: Option<Vec<u8>>,
}

/// Judges the trials at the head of the arbiter's queue, at most `most`.
pub fn judge(store: &mut Store, most: usize) -> anyhow::Result<Judged> {
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
    answer.print_events(2);
    Ok(Judged {
        taken: answer.number(0) as usize,
        other: answer.bytes(1).map(<[u8]>::to_vec),
    })
}

static RECOVER: Script = lua!("recover", "event", "hand", "close", "ends", "reap", "judge");

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

static REQUEST_FAIL: Script = lua!("request_fail", "event", "close", "worker");

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
            .invoke::<redis::Value>(c)
    })?;
    Ok(())
}

static GIVE_UP: Script = lua!("give_up", "event", "close", "worker");

/// Whether every living worker of its type, one at least, has said that it cannot run the taskset, and
/// none is at it; `fail`: it ends so then, with what one of them said.
pub fn give_up(store: &mut Store, taskset: &TasksetKey, fail: bool) -> anyhow::Result<bool> {
    let answer: Answer = store.call(|c, _| {
        GIVE_UP
            .key(taskset)
            .key(key::active_taskset())
            .key(key::persister_queue())
            .arg(key::workers())
            .arg(time::now())
            .arg(u8::from(fail))
            .invoke(c)
    })?;
    answer.print_events(1);
    Ok(answer.number(0) == 1)
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
