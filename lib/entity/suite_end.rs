//! Ends of suites: a slave's runner can fail the taskset after its last spec file.
//!
//! Written by rrr-slave; rrr-arbiter waits for every open end before it finishes the taskset.

use crate::lua;
use crate::protocol::key::{self, SlaveKey, TasksetKey};
use crate::protocol::result::SuiteEnd;
use crate::store::Store;
use crate::store::script::Script;

static OPEN: Script = lua!("suite_open", "event", "ends");

/// Records that the slave has started its `number`th runner, whose end counts for the verdict.
pub fn open(
    store: &mut Store,
    taskset: &TasksetKey,
    slave: &SlaveKey,
    number: u32,
) -> anyhow::Result<()> {
    store.call(|c, _| OPEN.key(taskset).key(slave).arg(number).invoke::<()>(c))
}

static END: Script = lua!("suite_end", "event", "ends");

/// Records how the end of the slave's `number`th runner went.
pub fn tell(
    store: &mut Store,
    taskset: &TasksetKey,
    slave: &SlaveKey,
    number: u32,
    end: &SuiteEnd,
) -> anyhow::Result<()> {
    let (how, reason) = match end {
        SuiteEnd::Good => ("good", ""),
        SuiteEnd::Bad(reason) => ("bad", reason.as_str()),
        SuiteEnd::BrokenOff(reason) => ("broken", reason.as_str()),
    };
    store.call(|c, _| {
        END.key(taskset)
            .key(slave)
            .key(key::arbiter_queue())
            .arg(number)
            .arg(how)
            .arg(reason)
            .invoke::<()>(c)
    })
}
