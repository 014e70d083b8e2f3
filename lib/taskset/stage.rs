//! Writing a taskset, and handing it over: what rrr-submit and rrr-local do.

use super::Request;
use crate::key::{self, TaskKey, TasksetKey};
use crate::store::{KEY_TTL, Store, script::Script};
use crate::{lua, time};

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
        // In one transaction, each: a submitter that dies between a key and its expiry leaks it (K4).
        let mut pipe = redis::pipe();
        pipe.atomic();
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
            pipe.atomic();
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
