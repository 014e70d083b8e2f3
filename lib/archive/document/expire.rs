//! The end of a record in Redis: the record is marked as durable elsewhere, its keys expire, and
//! only then is the message that requested this removed from the queue.

use crate::archive::totals::Counts;
use crate::lua;
use crate::protocol::key::{self, SlaveKey, TasksetKey};
use crate::store::script::Script;
use crate::store::{Store, read};

/// Seconds between the record becoming durable and the other keys expiring, for the hash.
const MARKED: u64 = 86_400;
/// Seconds for which keys remain after everything is done.
const EXPIRY: u64 = 60;
/// Tasks per call of the script: a few milliseconds of Redis time.
const TASKS: usize = 200;

/// Whether the record is marked as durable.
pub(crate) fn is_marked(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<bool> {
    let ttl: i64 = store.call(|c, _| redis::cmd("TTL").arg(taskset).query(c))?;
    Ok(ttl >= 0)
}

static COUNT_ATTEMPT: Script = lua!("persist_count_attempt");

/// Counts a failed attempt at this record and returns the number of attempts so far.
pub(crate) fn count_attempt(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<u32> {
    store.call(|c, _| COUNT_ATTEMPT.key(taskset.persist_attempts()).invoke(c))
}

/// Forgets the failed attempts. The Redis user of the persister has no permission to delete keys,
/// so that it cannot delete data of others: the key expires at once.
pub(crate) fn forget_attempts(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<()> {
    let key = taskset.persist_attempts();
    store.call(|c, _| redis::cmd("EXPIRE").arg(&key).arg(0).query::<()>(c))
}

static MARK: Script = lua!("taskset_mark_persisted");

/// Marks the record as durable: from now on, nothing is added to the taskset. `adds` is added to
/// the totals in the same step.
pub(crate) fn mark(store: &mut Store, taskset: &TasksetKey, adds: &Counts) -> anyhow::Result<()> {
    store.call(|c, _| {
        let mut call = MARK.key(taskset);
        call.key(key::totals()).arg(MARKED);
        for (field, number) in adds {
            call.arg(field).arg(number);
        }
        call.invoke::<()>(c)
    })
}

static EXPIRE_TASKS: Script = lua!("taskset_expire_tasks");

/// Lets every key of a marked taskset expire, except its hash.
pub(crate) fn expire(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<()> {
    for chunk in read::entries(store, &taskset.tasks())?.chunks(TASKS) {
        store.call(|c, _| {
            let mut call = EXPIRE_TASKS.arg(EXPIRY);
            for task in chunk {
                call.key(task.as_slice());
            }
            call.invoke::<()>(c)
        })?;
    }
    let mut keys: Vec<Vec<u8>> = Vec::new();
    for slave in read::entries(store, &taskset.slaves())? {
        let parsed = std::str::from_utf8(&slave).ok().map(str::parse::<SlaveKey>);
        if let Some(Ok(slave)) = parsed {
            let own = [slave.log(), slave.trials(), slave.heartbeat()];
            keys.extend(own.map(String::into_bytes));
        }
        keys.push(slave);
    }
    for log in read::entries(store, &taskset.worker_logs())? {
        keys.push([log.as_slice(), b":log"].concat());
        keys.push(log);
    }
    // The lists last: a persister that is killed in between finds everything again.
    let lists = [
        taskset.log(),
        taskset.task_queue(),
        taskset.tasks_left(),
        taskset.events(),
        taskset.wake(),
        taskset.ends(),
        taskset.persist_attempts(),
        taskset.slaves(),
        taskset.worker_logs(),
        taskset.tasks(),
    ];
    keys.extend(lists.map(String::into_bytes));
    for chunk in keys.chunks(1000) {
        store.call(|c, _| {
            let mut pipe = redis::pipe();
            for key in chunk {
                pipe.cmd("EXPIRE").arg(key).arg(EXPIRY).ignore();
            }
            pipe.query::<()>(c)
        })?;
    }
    Ok(())
}

static PERSISTED: Script = lua!("taskset_persisted");

/// Lets the hash expire too, and pops `message`.
pub(crate) fn release(
    store: &mut Store,
    taskset: &TasksetKey,
    message: &[u8],
) -> anyhow::Result<()> {
    store.call(|c, _| {
        PERSISTED
            .key(taskset)
            .key(key::persister_queue())
            .arg(message)
            .arg(EXPIRY)
            .invoke::<i64>(c)
    })?;
    Ok(())
}
