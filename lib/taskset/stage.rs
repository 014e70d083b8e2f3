//! Writing a taskset, and handing it over: what rrr-submit and rrr-local do.

use crate::key::{self, TasksetKey};
use crate::store::{Store, read::Text, script::Script};
use crate::{lua, time};
use std::collections::HashMap;

static STAGE: Script = lua!("stage");
static STAGE_TASKS: Script = lua!("stage_tasks");

/// Seconds that a submitter has to hand over what it has begun to write.
const STAGED: u64 = 3600;
/// Tasks written in one step: keeps a script under 5 ms.
const CHUNK: usize = 500;

/// Writes a taskset of these fields that nobody acts on yet. It expires after an hour unless it is activated, and
/// all its other keys live 14 days from now (K4).
pub fn stage(
    store: &mut Store,
    taskset: &TasksetKey,
    fields: &HashMap<String, String>,
    tasks: &[(String, Option<u64>)],
) -> anyhow::Result<()> {
    let mut fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    let created_at = time::now();
    fields.extend([
        ("created_at", created_at.as_str()),
        ("succeeded_count", "0"),
        ("failed_count", "0"),
    ]);
    store.call(|c, _| {
        let mut call = STAGE.key(taskset);
        call.arg(STAGED).arg(&fields[..]);
        call.invoke::<u8>(c)
    })?;
    let mut written = 0;
    for chunk in tasks.chunks(CHUNK) {
        let stand: i64 = store.call(|c, _| {
            let mut call = STAGE_TASKS.key(taskset);
            call.key(taskset.tasks())
                .key(taskset.tasks_left())
                .key(taskset.task_queue())
                .arg(written);
            for (file, estimate) in chunk {
                let estimate = estimate.map(|seconds| seconds.to_string());
                call.arg(taskset.task(file))
                    .arg(file)
                    .arg(estimate.unwrap_or_default());
            }
            call.invoke(c)
        })?;
        written += chunk.len();
        if usize::try_from(stand) != Ok(written) {
            anyhow::bail!("'{taskset}' was lost from Redis while it was being written");
        }
    }
    Ok(())
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
    let state: Text = store.call(|c, _| {
        ACTIVATE
            .key(taskset)
            .key(key::active_taskset())
            .key(key::dispatcher_queue())
            .key(key::rsync_lock(rsync_name))
            .arg(tasks)
            .arg(u8::from(locked))
            .invoke(c)
    })?;
    match &*state {
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
    let holder: Text = store.call(|c, _| {
        RSYNC_LOCK
            .key(key::rsync_lock(rsync_name))
            .arg(taskset)
            .arg(rsync_name)
            .arg(30_000)
            .arg(key::active_taskset())
            .invoke(c)
    })?;
    Ok((!holder.is_empty()).then(|| holder.into()))
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
