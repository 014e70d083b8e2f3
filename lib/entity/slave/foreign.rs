//! Other implementations, which know the protocol alone: their slaves are listed by the worker, by the id of
//! the process group, and their arbiter looks only when it is asked to.

use crate::lua;
use crate::protocol::key::{self, SlaveKey, TasksetKey};
use crate::store::Store;
use crate::store::read::Text;
use crate::store::script::Script;

static SPAWN: Script = lua!("slave_spawn");

/// Lists a slave that was started just now, unless it has joined by a name that ends with `nonce`.
/// `before`: another name by which it was listed, and is not to be any more.
pub(crate) fn list(
    store: &mut Store,
    taskset: &TasksetKey,
    slave: &SlaveKey,
    nonce: &str,
    before: Option<&SlaveKey>,
) -> anyhow::Result<()> {
    store.call(|c, _| {
        SPAWN
            .key(taskset)
            .key(slave)
            .arg(format!("-{nonce}"))
            .arg(before.map_or("", SlaveKey::as_str))
            .invoke::<()>(c)
    })
}

/// Whether there is anything of the slave but its name: a heartbeat, or a trial.
pub(crate) fn has_signs(store: &mut Store, slave: &SlaveKey) -> anyhow::Result<bool> {
    let keys = [slave.heartbeat(), slave.trials()];
    let count: u64 = store.call(|c, _| redis::cmd("EXISTS").arg(&keys).query(c))?;
    Ok(count > 0)
}

/// Asks the arbiter to look whether the taskset has come to its end.
pub(crate) fn ask_for_check(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<()> {
    let message = format!("check\t{taskset}");
    store.call(|c, _| {
        let last: Option<Text> = redis::cmd("LINDEX")
            .arg(key::arbiter_queue())
            .arg(-1)
            .query(c)?;
        if last.as_deref() == Some(&*message) {
            return Ok(());
        }
        redis::cmd("RPUSH")
            .arg(key::arbiter_queue())
            .arg(&message)
            .query::<()>(c)
    })
}
