//! Compatibility with other implementations, which know only the protocol: their workers list
//! slaves by the id of the process group, and their arbiter checks a taskset only when asked.

use crate::lua;
use crate::protocol::key::{self, SlaveKey, TasksetKey};
use crate::store::Store;
use crate::store::read::Text;
use crate::store::script::Script;

static SPAWN: Script = lua!("slave_spawn");

/// Lists a slave that has just been started, unless it has joined under a name that ends with
/// `nonce`. `before`: the name under which it was listed so far, to be removed.
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

/// Whether the slave has more than its name: a heartbeat or a trial.
pub(crate) fn has_signs(store: &mut Store, slave: &SlaveKey) -> anyhow::Result<bool> {
    let keys = [slave.heartbeat(), slave.trials()];
    let count: u64 = store.call(|c, _| redis::cmd("EXISTS").arg(&keys).query(c))?;
    Ok(count > 0)
}

/// Asks the arbiter to check whether the taskset is finished.
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
