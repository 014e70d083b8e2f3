//! The death of a slave, as its worker or the arbiter declares it.

use crate::key::{self, SlaveKey, TasksetKey};
use crate::store::{Store, script::Answer, script::Script};
use crate::{lua, time};

static REAP: Script = lua!("reap", "event", "hand", "ends", "reap");

/// Declares a slave dead and ends its trial with `error`. `certain`: its process is known to be
/// gone; otherwise it is left alone while it has a heartbeat.
pub fn reap(
    store: &mut Store,
    taskset: &TasksetKey,
    slave: &SlaveKey,
    why: &str,
    certain: bool,
) -> anyhow::Result<bool> {
    end(store, taskset, slave, why, certain, None)
}

/// As [`reap`], by the worker that has waited on its process. `begun`: the trial that it had begun
/// last, '' for none, if the worker knows; another one is not counted as a try.
pub fn bury(
    store: &mut Store,
    taskset: &TasksetKey,
    slave: &SlaveKey,
    why: &str,
    begun: Option<&str>,
) -> anyhow::Result<bool> {
    end(store, taskset, slave, why, true, begun)
}

fn end(
    store: &mut Store,
    taskset: &TasksetKey,
    slave: &SlaveKey,
    why: &str,
    certain: bool,
    begun: Option<&str>,
) -> anyhow::Result<bool> {
    let answer: Answer = store.call(|c, _| {
        REAP.key(taskset)
            .key(slave)
            .key(key::arbiter_queue())
            .arg(time::now())
            .arg(why)
            .arg(u8::from(certain))
            .arg(begun.unwrap_or("*"))
            .invoke(c)
    })?;
    answer.print_events(1);
    Ok(answer.number(0) == 1)
}
