//! Workers: machines that run slaves, for one taskset at a time.
//!
//! Written by rrr-worker; `worker_queue` by rrr-dispatch, which also evicts dead workers.

use crate::entity::emitting::Emitting;
use crate::entity::heartbeat::{self, Heartbeat};
use crate::protocol::key::{self, TasksetKey, WorkerKey};
use crate::protocol::time;
use crate::store::Store;
use crate::store::error::Refused;
use crate::store::read::{self, Text, rows_each};
use crate::store::script::{Answer, Script};
use crate::{lua, store};

/// A worker's description of itself.
#[derive(Clone, Debug)]
pub struct Registration {
    pub key: WorkerKey,
    pub worker_type: String,
    pub slaves: usize,
    pub heartbeat: Heartbeat,
    /// The name of this process: see [`instance`].
    pub instance: String,
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A name for this process that no other process has: boot, pid namespace, pid and start time.
pub fn instance() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = std::fs::read_link("/proc/self/ns/pid")
        .map(|path| path.display().to_string())
        .unwrap_or_default();
    let pid = std::process::id();
    format!(
        "{} {space} {pid} {}",
        boot.trim(),
        started(pid).unwrap_or_default()
    )
}

/// The start time of the process `pid`, in clock ticks since boot.
fn started(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = &stat[stat.rfind(')')? + 1..];
    after_name.split_whitespace().nth(19).map(str::to_owned)
}

/// Whether `instance` is a process of this machine that no longer exists.
fn is_gone(instance: &str) -> bool {
    let mine = self::instance();
    let (theirs, mine): (Vec<_>, Vec<_>) =
        (instance.split(' ').collect(), mine.split(' ').collect());
    if theirs.len() != 4 || theirs[..2] != mine[..2] {
        return false;
    }
    theirs[2]
        .parse()
        .is_ok_and(|pid: u32| started(pid).as_deref() != Some(theirs[3]))
}

static REGISTER: Script = lua!("worker_register", "event");

/// Registers the worker's id. Returns the instance that holds it, if another live one does.
pub fn register(store: &mut Store, card: &Registration) -> anyhow::Result<Option<String>> {
    let mut gone = String::new();
    loop {
        let holder: String = store
            .call(|c, _| {
                REGISTER
                    .key(&card.key)
                    .key(card.key.heartbeat())
                    .key(key::workers())
                    .key(key::dispatcher_queue())
                    .arg(&card.instance)
                    .arg(&gone)
                    .arg(card.heartbeat.ttl_sec())
                    .arg(&card.worker_type)
                    .arg(card.slaves)
                    .arg(VERSION)
                    .arg(time::now())
                    .invoke::<Text>(c)
            })?
            .into();
        if holder.is_empty() {
            return Ok(None);
        }
        if holder == gone || !is_gone(&holder) {
            return Ok(Some(holder));
        }
        gone = holder;
    }
}

/// Those keys of a worker, and of all workers, that Redis refuses to read because their type is wrong.
pub(crate) fn of_wrong_type(store: &mut Store, card: &Registration) -> anyhow::Result<Vec<String>> {
    let (hash, set, queue) = (card.key.as_str(), key::workers(), key::dispatcher_queue());
    let reads: Vec<Result<(redis::Value,), Refused>> = store.call(|c, _| {
        let mut pipe = redis::pipe();
        pipe.cmd("HGET").arg(hash).arg("instance");
        pipe.cmd("SMEMBERS").arg(&set);
        pipe.cmd("LLEN").arg(&queue);
        rows_each(pipe.ignore_errors().query(c)?, 1)
    })?;
    let keys = [hash, &set, &queue].into_iter().zip(reads);
    let wrong = keys.filter_map(|(key, read)| read.is_err().then(|| key.to_owned()));
    Ok(wrong.collect())
}

static BEAT: Script = lua!("worker_beat");

/// Renews the worker's heartbeat; false if its id belongs to another instance now.
pub(crate) fn beat(store: &mut Store, card: &Registration) -> anyhow::Result<bool> {
    store.call(|c, _| {
        BEAT.key(&card.key)
            .key(card.key.heartbeat())
            .key(key::workers())
            .arg(&card.instance)
            .arg(card.heartbeat.ttl_sec())
            .arg(&card.worker_type)
            .arg(card.slaves)
            .arg(VERSION)
            .invoke(c)
    })
}

static EXIT: Script = lua!("worker_exit");

/// Releases the worker's id.
pub(crate) fn exit(store: &mut Store, card: &Registration) -> anyhow::Result<()> {
    store.call(|c, _| {
        EXIT.key(&card.key)
            .key(card.key.heartbeat())
            .key(key::workers())
            .key(card.key.queue())
            .key(key::dispatcher_queue())
            .arg(&card.instance)
            .invoke::<()>(c)
    })
}

/// The outcome of accepting a taskset.
pub enum Accepted {
    /// Accepted, with the key of the worker log.
    Yes(String),
    /// Finished, with this status.
    Over(String),
    /// No longer this worker's, or not yet completely submitted.
    NotNow,
    /// In the worker's queue, but never activated.
    Inactive,
}

static ACCEPT: Script = lua!("worker_accept", "event", "close");

/// Accepts `taskset`, named by `message` at the head of the worker's queue ('' if the worker's
/// owner named it).
pub fn accept(
    store: &mut Store,
    card: &Registration,
    taskset: &TasksetKey,
    message: &[u8],
) -> anyhow::Result<Emitting<Accepted>> {
    let answer: Answer = store.call(|c, _| {
        ACCEPT
            .key(taskset)
            .key(&card.key)
            .key(card.key.queue())
            .key(taskset.worker_log(&card.key))
            .arg(message)
            .arg(time::now())
            .arg(key::active_taskset())
            .invoke(c)
    })?;
    let accepted = match answer.text(0).as_str() {
        "accepted" => Accepted::Yes(answer.text(1)),
        "over" => Accepted::Over(answer.text(1)),
        "inactive" => Accepted::Inactive,
        _ => Accepted::NotNow,
    };
    Ok(Emitting::new(accepted, &answer, 2))
}

static LEAVE: Script = lua!("worker_leave");

/// Closes the worker log and marks the worker idle.
pub(crate) fn leave(
    store: &mut Store,
    card: &Registration,
    taskset: &TasksetKey,
    log: &str,
) -> anyhow::Result<()> {
    store.call(|c, _| {
        LEAVE
            .key(taskset)
            .key(&card.key)
            .key(log)
            .key(key::dispatcher_queue())
            .arg(time::now())
            .arg(&card.instance)
            .invoke::<()>(c)
    })
}

static BENCH: Script = lua!("worker_bench");

/// Benches this worker and shows the reason to people; without a reason, makes it available again.
pub(crate) fn bench(
    store: &mut Store,
    card: &Registration,
    why: Option<&str>,
) -> anyhow::Result<()> {
    store.call(|c, _| {
        BENCH
            .key(&card.key)
            .key(key::dispatcher_queue())
            .arg(&card.instance)
            .arg(why.unwrap_or(""))
            .invoke::<i64>(c)
    })?;
    Ok(())
}

static EVICT: Script = lua!("worker_evict");

/// Unregisters a worker without a heartbeat.
pub(crate) fn evict(store: &mut Store, worker: &WorkerKey) -> anyhow::Result<bool> {
    store.call(|c, _| {
        EVICT
            .key(key::workers())
            .key(worker)
            .key(worker.queue())
            .key(worker.heartbeat())
            .invoke(c)
    })
}

/// Renews the expiry of the hash of each live worker of another implementation, which does not do
/// so: an evicted one has come back.
pub(crate) fn keep(store: &mut Store, workers: &[WorkerKey]) -> anyhow::Result<()> {
    for chunk in workers.chunks(1000) {
        let instances: Vec<Result<(Option<Text>,), Refused>> = store.call(|c, _| {
            let mut pipe = redis::pipe();
            for worker in chunk {
                pipe.cmd("HGET").arg(worker).arg("instance");
            }
            rows_each(pipe.ignore_errors().query(c)?, 1)
        })?;
        let mut pipe = redis::pipe();
        for (worker, instance) in chunk.iter().zip(instances) {
            if let Ok((None,)) = instance {
                pipe.cmd("PERSIST").arg(worker).ignore();
            }
        }
        if !pipe.is_empty() {
            store.call(|c, _| pipe.query::<()>(c))?;
        }
    }
    Ok(())
}

/// Those of these workers that are another implementation's: on record, without an instance.
pub(crate) fn of_another_kind(
    store: &mut Store,
    workers: &[WorkerKey],
) -> anyhow::Result<Vec<WorkerKey>> {
    if workers.is_empty() {
        return Ok(Vec::new());
    }
    let facts: Vec<Result<(bool, Option<Text>), Refused>> = store.call(|c, _| {
        let mut pipe = redis::pipe();
        for worker in workers {
            pipe.cmd("EXISTS").arg(worker);
            pipe.cmd("HGET").arg(worker).arg("instance");
        }
        rows_each(pipe.ignore_errors().query(c)?, 2)
    })?;
    let others = workers.iter().zip(facts);
    let others = others.filter(|(_, facts)| matches!(facts, Ok((true, None))));
    Ok(others.map(|(worker, _)| worker.clone()).collect())
}

/// The registered workers, each with whether it has a heartbeat.
pub(crate) fn all(store: &mut Store) -> anyhow::Result<Vec<(WorkerKey, bool)>> {
    let keys: Vec<WorkerKey> = read::set(store, &key::workers())?;
    if keys.is_empty() {
        // Redis refuses an empty pipeline.
        return Ok(Vec::new());
    }
    let alive: Vec<bool> = store.call(|c, _| {
        let mut pipe = redis::pipe();
        for key in &keys {
            pipe.cmd("EXISTS").arg(key.heartbeat());
        }
        pipe.query(c)
    })?;
    Ok(keys.into_iter().zip(alive).collect())
}

/// A live worker as the dispatcher sees it.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub key: WorkerKey,
    pub worker_type: Option<String>,
    /// The key of the taskset it works for.
    pub taskset: Option<String>,
    /// Tasksets given to it that it has not taken yet.
    pub queue: Vec<String>,
    pub benched: bool,
}

/// The current and queued tasksets of `workers`, in one round trip per 1000. A worker with keys of
/// the wrong type cannot be given work and is left out (L8).
pub(crate) fn posts(store: &mut Store, workers: &[WorkerKey]) -> anyhow::Result<Vec<Post>> {
    type Facts = (Vec<Text>, [Option<Text>; 3]);
    let mut posts = Vec::with_capacity(workers.len());
    for chunk in workers.chunks(1000) {
        let facts: Vec<Result<Facts, Refused>> = store.call(|c, _| {
            let mut pipe = redis::pipe();
            for worker in chunk {
                // The queue first: a worker moves a taskset from its queue to its hash in one step.
                pipe.cmd("LRANGE").arg(worker.queue()).arg(0).arg(-1);
                pipe.cmd("HMGET")
                    .arg(worker)
                    .arg(&["taskset", "worker_type", "benched"]);
            }
            rows_each(pipe.ignore_errors().query(c)?, 2)
        })?;
        for (worker, facts) in chunk.iter().zip(facts) {
            if let Ok((queue, [taskset, worker_type, benched])) = facts {
                let is_set = |text: &Text| !text.is_empty();
                posts.push(Post {
                    key: worker.clone(),
                    worker_type: worker_type.map(String::from),
                    taskset: taskset.filter(is_set).map(String::from),
                    queue: queue.into_iter().map(String::from).collect(),
                    benched: benched.is_some_and(|text| is_set(&text)),
                });
            }
        }
    }
    Ok(posts)
}

/// A worker's state, as seen from outside.
#[derive(Clone, Debug)]
pub(crate) struct WorkerState {
    pub key: WorkerKey,
    pub alive: bool,
    /// Milliseconds since the last heartbeat, if there is one.
    pub beat_ms: Option<u64>,
    pub worker_type: Option<String>,
    pub slaves: Option<u64>,
    pub version: Option<String>,
    /// The key of the taskset it works for.
    pub taskset: Option<String>,
    /// The reason why the worker is benched, if it is.
    pub benched: Option<String>,
    /// Tasksets given to it that it has not taken yet.
    pub queued: u64,
}

/// The state of all registered workers, by name, in one round trip per 500.
pub(crate) fn survey(store: &mut Store) -> anyhow::Result<Vec<WorkerState>> {
    type Facts = (i64, [Option<Text>; 6], u64);
    let mut keys: Vec<WorkerKey> = all(store)?.into_iter().map(|(key, _)| key).collect();
    keys.sort();
    let mut seen = Vec::new();
    for chunk in keys.chunks(500) {
        let facts: Vec<Result<Facts, Refused>> = store.call(|c, _| {
            let mut pipe = redis::pipe();
            for key in chunk {
                pipe.cmd("PTTL").arg(key.heartbeat());
                pipe.cmd("HMGET").arg(key).arg(&[
                    "worker_type",
                    "slaves",
                    "version",
                    "taskset",
                    "heartbeat_sec",
                    "benched",
                ]);
                pipe.cmd("LLEN").arg(key.queue());
            }
            rows_each(pipe.ignore_errors().query(c)?, 3)
        })?;
        for (key, facts) in chunk.iter().zip(facts) {
            let Some((left_ms, fields, queued)) = store::unless_refused(key, facts)? else {
                continue;
            };
            let [
                worker_type,
                slaves,
                version,
                taskset,
                heartbeat_sec,
                benched,
            ] = fields.map(|field| field.filter(|text| !text.is_empty()));
            let life_sec = heartbeat_sec.and_then(|text| text.parse().ok());
            let life = life_sec.unwrap_or(heartbeat::DEFAULT_SEC) * 1000;
            seen.push(WorkerState {
                key: key.clone(),
                // -1: a heartbeat without an expiry; -2: no heartbeat.
                alive: left_ms != -2,
                beat_ms: u64::try_from(left_ms)
                    .ok()
                    .map(|left| life.saturating_sub(left)),
                worker_type: worker_type.map(String::from),
                slaves: slaves.and_then(|text| text.parse().ok()),
                version: version.map(String::from),
                taskset: taskset.map(String::from),
                benched: benched.map(String::from),
                queued,
            });
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c9_only_a_dead_process_of_this_boot_is_gone() {
        assert!(!is_gone(&instance()));
        let mine = instance();
        let mut parts: Vec<_> = mine.split(' ').collect();
        parts[3] = "1";
        assert!(is_gone(&parts.join(" ")), "a reused pid is another process");
        parts[0] = "another-boot";
        assert!(
            !is_gone(&parts.join(" ")),
            "instances of other machines are never known to be gone"
        );
        assert!(!is_gone("unknown"));
    }
}
