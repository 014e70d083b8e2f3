//! Worker logs: the steps and the output of a worker's stay with a taskset. Written only by
//! rrr-worker.

use crate::protocol::key::TasksetKey;
use crate::protocol::time;
use crate::store::Store;
use crate::store::read::{self, Text};
use crate::store::script::Script;
use crate::{lua, store};

/// Maximum bytes of a log in Redis (K6).
pub(crate) const LOG_LIMIT: usize = 4 << 20;

static TIME: Script = lua!("worker_log_time");

/// Records that the step `field` (`rsync_finished_at`, `setup_finished_at`) is done now.
pub(crate) fn note(store: &mut Store, log: &str, field: &str) -> anyhow::Result<()> {
    store.call(|c, _| TIME.key(log).arg(field).arg(time::now()).invoke::<i64>(c))?;
    Ok(())
}

static APPEND: Script = lua!("log_append");

/// Appends `text` to the log at `key` (a worker's or a slave's) while it has room.
pub fn append(
    store: &mut Store,
    taskset: &TasksetKey,
    key: &str,
    text: &[u8],
) -> anyhow::Result<()> {
    let added = try_to_append(store, taskset, key, text);
    store::unless_refused(key, added)?;
    Ok(())
}

fn try_to_append(
    store: &mut Store,
    taskset: &TasksetKey,
    key: &str,
    text: &[u8],
) -> anyhow::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let length: u64 = store.call(|c, _| redis::cmd("STRLEN").arg(key).query(c))?;
    store.call(|c, _| {
        APPEND
            .key(key)
            .key(taskset)
            .arg(text)
            .arg(LOG_LIMIT)
            .arg(length)
            .invoke::<i64>(c)
    })?;
    Ok(())
}

/// A worker that has joined a taskset and is still preparing for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Preparing {
    /// The key of the worker.
    pub worker: String,
    /// The current step: `rsync` or `setup`.
    pub step: &'static str,
}

/// The workers that are preparing for the taskset.
pub(crate) fn preparing(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<Vec<Preparing>> {
    const FIELDS: [&str; 4] = [
        "worker",
        "rsync_finished_at",
        "setup_finished_at",
        "finished_at",
    ];
    let mut preparing = Vec::new();
    for log in read::list::<String>(store, &taskset.worker_logs())? {
        let fields: [Option<Text>; 4] =
            store.call(|c, _| redis::cmd("HMGET").arg(&log).arg(&FIELDS).query(c))?;
        let [worker, rsync, setup, finished] =
            fields.map(|field| field.filter(|text| !text.is_empty()));
        if setup.is_none() && finished.is_none() {
            preparing.push(Preparing {
                worker: worker.map_or(log, String::from),
                step: if rsync.is_none() { "rsync" } else { "setup" },
            });
        }
    }
    Ok(preparing)
}
