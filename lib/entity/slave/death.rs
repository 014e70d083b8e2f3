//! Declaring a slave dead, by its worker or by the arbiter.

use crate::entity::emitting::Emitting;
use crate::lua;
use crate::protocol::key::{self, SlaveKey, TasksetKey};
use crate::protocol::status::SlaveStatus;
use crate::protocol::time;
use crate::store::Store;
use crate::store::script::{Answer, Script};

static REAP: Script = lua!("slave_reap", "event", "batch", "ends", "reap");

/// Declares a slave dead and ends its trial with `error`. `certain`: its process is known to be
/// gone; otherwise a slave with a heartbeat is left alone.
pub fn reap(
    store: &mut Store,
    taskset: &TasksetKey,
    slave: &SlaveKey,
    why: &str,
    certain: bool,
) -> anyhow::Result<Emitting<bool>> {
    let how = SlaveStatus::FailureExit.as_str();
    let words = [why, if certain { "1" } else { "0" }, "*", how];
    end(store, taskset, slave, words)
}

/// Declares a slave dead on behalf of the worker that waited on its process. `begun`: the trial
/// that the slave began last, '' for none, if the worker knows; no other trial counts towards the
/// maximum.
pub fn bury(
    store: &mut Store,
    taskset: &TasksetKey,
    slave: &SlaveKey,
    why: &str,
    begun: Option<&str>,
) -> anyhow::Result<Emitting<bool>> {
    bury_as(store, taskset, slave, SlaveStatus::FailureExit, why, begun)
}

/// Declares a slave dead whose exit code means `how`, unless it has reported its own end. After a
/// hard timeout its trial ends with `timeout`.
pub fn bury_as(
    store: &mut Store,
    taskset: &TasksetKey,
    slave: &SlaveKey,
    how: SlaveStatus,
    why: &str,
    begun: Option<&str>,
) -> anyhow::Result<Emitting<bool>> {
    let words = [why, "1", begun.unwrap_or("*"), how.as_str()];
    end(store, taskset, slave, words)
}

/// `words`: the reason, followed by the further arguments of the script.
fn end(
    store: &mut Store,
    taskset: &TasksetKey,
    slave: &SlaveKey,
    words: [&str; 4],
) -> anyhow::Result<Emitting<bool>> {
    let answer: Answer = store.call(|c, _| {
        REAP.key(taskset)
            .key(slave)
            .key(key::arbiter_queue())
            .arg(time::now())
            .arg(&words)
            .invoke(c)
    })?;
    Ok(Emitting::new(answer.number(0) == 1, &answer, 1))
}
