//! Staging a taskset and handing it over, for rrr-submit and rrr-local.

use crate::lua;
use crate::process::exit;
use crate::protocol::key::{self, TasksetKey};
use crate::protocol::taskset_field as field;
use crate::protocol::time;
use crate::store::Store;
use crate::store::read::Text;
use crate::store::script::Script;
use std::collections::HashMap;

static STAGE: Script = lua!("taskset_stage");
static STAGE_TASKS: Script = lua!("taskset_stage_tasks");

/// One submission of a taskset. Several may use the same key at once, so the key alone does not
/// distinguish this submission's call, repeated because its reply was lost, from another
/// submission's.
#[derive(Clone, Debug)]
pub struct Submission {
    pub taskset: TasksetKey,
    nonce: String,
}

impl Submission {
    /// A new submission.
    pub fn of(taskset: TasksetKey) -> Self {
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        Self { taskset, nonce }
    }

    /// The owner's name in a lock.
    fn holder(&self) -> String {
        format!("{} {}", self.taskset, self.nonce)
    }
}

/// The error for a key that is in use.
pub fn taken(taskset: &TasksetKey) -> exit::Failure {
    exit::usage(format!("taskset '{taskset}' already exists"))
        .hint("omit --taskset to generate a key; rrr-list tasksets lists them")
}

/// Seconds that a submitter has to complete a staged taskset.
const STAGED: u64 = 3600;
/// Tasks written per step: keeps a script under 5 ms.
const CHUNK: usize = 500;

/// Stages a taskset with these fields. The hash expires after an hour unless the taskset is
/// activated; all its other keys live for 14 days from now (K4).
///
/// Errors: the key belongs to another submission; Redis has lost what was written.
pub fn stage(
    store: &mut Store,
    submission: &Submission,
    fields: &HashMap<String, String>,
    tasks: &[(String, Option<u64>)],
) -> anyhow::Result<()> {
    let mut fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    let created_at = time::now();
    fields.extend([
        (field::CREATED_AT, created_at.as_str()),
        (field::SUCCEEDED_COUNT, "0"),
        (field::FAILED_COUNT, "0"),
    ]);
    let taskset = &submission.taskset;
    let lists = [taskset.tasks(), taskset.tasks_left(), taskset.task_queue()];
    let ours: bool = store.call(|c, _| {
        let mut call = STAGE.key(taskset);
        for list in &lists {
            call.key(list);
        }
        call.arg(STAGED).arg(&submission.nonce).arg(&fields[..]);
        call.invoke(c)
    })?;
    if !ours {
        return Err(taken(taskset).into());
    }
    let mut written = 0;
    for chunk in tasks.chunks(CHUNK) {
        let stand: i64 = store.call(|c, _| {
            let mut call = STAGE_TASKS.key(taskset);
            for list in &lists {
                call.key(list);
            }
            call.arg(&submission.nonce).arg(written);
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
            anyhow::bail!("taskset '{taskset}' was lost from Redis while it was being written");
        }
    }
    Ok(())
}

static ACTIVATE: Script = lua!("taskset_activate", "event");

/// Activates a staged taskset of `tasks` tasks; `locked` if its rsync lock must still be held.
pub fn activate(
    store: &mut Store,
    submission: &Submission,
    rsync_name: &str,
    tasks: usize,
    locked: bool,
) -> anyhow::Result<()> {
    let taskset = &submission.taskset;
    let holder = if locked {
        submission.holder()
    } else {
        String::new()
    };
    let state: Text = store.call(|c, _| {
        ACTIVATE
            .key(taskset)
            .key(key::active_taskset())
            .key(key::dispatcher_queue())
            .key(key::rsync_lock(rsync_name))
            .arg(tasks)
            .arg(&submission.nonce)
            .arg(&holder)
            .invoke(c)
    })?;
    match &*state {
        "active" => Ok(()),
        "taken" => Err(taken(taskset).into()),
        "unlocked" => {
            let lost = format!("lost the lock on the rsync name '{rsync_name}' before submitting");
            Err(exit::usage(lost).hint(AGAIN).into())
        }
        _ => anyhow::bail!("taskset '{taskset}' was incomplete in Redis when it was submitted"),
    }
}

static RSYNC_LOCK: Script = lua!("rsync_lock");

/// The hint when another submission may have written to the folder.
const AGAIN: &str = "nothing was submitted: submit again, or pass another --rsync-name";

/// Locks `rsync_name`'s folder for 30 seconds. Returns the taskset that uses the folder, if any.
pub fn lock_rsync_name(
    store: &mut Store,
    submission: &Submission,
    rsync_name: &str,
) -> anyhow::Result<Option<String>> {
    in_the_way(store, submission, rsync_name, false)
}

/// Extends the lock to 30 seconds from now.
///
/// Errors: the lock was lost, so another submission may be writing to the folder or reading it.
pub fn renew_rsync_lock(
    store: &mut Store,
    submission: &Submission,
    rsync_name: &str,
) -> anyhow::Result<()> {
    let why = match in_the_way(store, submission, rsync_name, true)?.as_deref() {
        None => return Ok(()),
        Some("-") => "it has expired".to_owned(),
        Some(taskset) => format!("it is in use by '{taskset}'"),
    };
    let lost = format!("lost the lock on the rsync name '{rsync_name}' while rsync ran: {why}");
    Err(exit::usage(lost).hint(AGAIN).into())
}

fn in_the_way(
    store: &mut Store,
    submission: &Submission,
    rsync_name: &str,
    renewed: bool,
) -> anyhow::Result<Option<String>> {
    let holder: Text = store.call(|c, _| {
        RSYNC_LOCK
            .key(key::rsync_lock(rsync_name))
            .arg(submission.holder())
            .arg(rsync_name)
            .arg(30_000)
            .arg(key::active_taskset())
            .arg(u8::from(renewed))
            .invoke(c)
    })?;
    let taskset = holder.split(' ').next().unwrap_or_default();
    Ok((!taskset.is_empty()).then(|| taskset.to_owned()))
}

static RSYNC_UNLOCK: Script = lua!("rsync_unlock");

/// Releases the lock on `rsync_name`'s folder when a submission is abandoned.
pub fn unlock_rsync_name(
    store: &mut Store,
    submission: &Submission,
    rsync_name: &str,
) -> anyhow::Result<()> {
    store.call(|c, _| {
        RSYNC_UNLOCK
            .key(key::rsync_lock(rsync_name))
            .arg(submission.holder())
            .invoke::<i64>(c)
    })?;
    Ok(())
}
