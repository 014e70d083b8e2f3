//! Worker logs: what a worker did for a taskset, and when. Written by rrr-worker alone.

use crate::key::TasksetKey;
use crate::store::{Store, script::Script};
use crate::{lua, time};

/// Most bytes a log keeps in Redis (K6).
pub const LOG_LIMIT: usize = 4 << 20;

static TIME: Script = lua!("worker_log_time");

/// Notes that the step `field` (`rsync_finished_at`, `setup_finished_at`) is done now.
pub fn note(store: &mut Store, log: &str, field: &str) -> anyhow::Result<()> {
    store.call(|c, _| TIME.key(log).arg(field).arg(time::now()).invoke::<i64>(c))?;
    Ok(())
}

static APPEND: Script = lua!("append_log");

/// Adds `text` to the log at `key` (a worker's or a slave's) while it has room.
pub fn append(
    store: &mut Store,
    taskset: &TasksetKey,
    key: &str,
    text: &[u8],
) -> anyhow::Result<()> {
    store.call(|c, _| {
        APPEND
            .key(key)
            .key(taskset)
            .arg(text)
            .arg(LOG_LIMIT)
            .invoke::<i64>(c)
    })?;
    Ok(())
}
