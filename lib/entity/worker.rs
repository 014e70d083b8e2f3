//! Workers: a machine that runs slaves, one taskset at a time.
//!
//! Written by rrr-worker; `worker_queue` by rrr-dispatch, which also evicts the dead.

use crate::entity::heartbeat::{self, Heartbeat};
use crate::protocol::key::{self, TasksetKey, WorkerKey};
use crate::protocol::time;
use crate::store::Store;
use crate::store::error::Refused;
use crate::store::read::{self, Text, rows_each};
use crate::store::script::{Answer, Script};
use crate::{lua, store};

/// What a worker tells about itself.
#[derive(Clone, Debug)]
pub struct Card {
    pub key: WorkerKey,
    pub worker_type: String,
    pub slaves: usize,
    pub heartbeat: Heartbeat,
    /// Names this very process: see [`instance`].
    pub instance: String,
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A name for this very process that no other has: boot, pid namespace, pid and start time.
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

/// When the process `pid` started, in clock ticks since boot.
fn started(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = &stat[stat.rfind(')')? + 1..];
    after_name.split_whitespace().nth(19).map(str::to_owned)
}

/// Whether `instance` is a process of this machine that no longer runs.
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

static REGISTER: Script = lua!("worker_register");

/// Takes the worker's id. Returns the instance that holds it, when another does and lives.
pub fn register(store: &mut Store, card: &Card) -> anyhow::Result<Option<String>> {
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

static BEAT: Script = lua!("worker_beat");

/// Says that the worker lives; false when its id belongs to another now.
pub(crate) fn beat(store: &mut Store, card: &Card) -> anyhow::Result<bool> {
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

/// Gives the id back.
pub(crate) fn exit(store: &mut Store, card: &Card) -> anyhow::Result<()> {
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

/// What comes of an attempt to accept a taskset.
pub enum Accepted {
    /// It is ours; this is the key of the worker log.
    Yes(String),
    /// It is over, with this status.
    Over(String),
    /// It is not (or no longer) ours to take, or its submitter has not finished writing it.
    NotNow,
    /// It is in the worker's queue, but was never handed over.
    Inactive,
}

static ACCEPT: Script = lua!("worker_accept", "event", "close");

/// Takes `taskset`, which `message` at the head of the worker's queue names ('' when the worker's
/// owner did).
pub fn accept(
    store: &mut Store,
    card: &Card,
    taskset: &TasksetKey,
    message: &[u8],
) -> anyhow::Result<Accepted> {
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
    answer.report_events(2);
    Ok(match answer.text(0).as_str() {
        "accepted" => Accepted::Yes(answer.text(1)),
        "over" => Accepted::Over(answer.text(1)),
        "inactive" => Accepted::Inactive,
        _ => Accepted::NotNow,
    })
}

static LEAVE: Script = lua!("worker_leave");

/// Closes the worker log, and is idle again.
pub(crate) fn leave(
    store: &mut Store,
    card: &Card,
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

/// Asks the dispatcher to give this worker nothing, and tells people why; with no reason, to give
/// it work again.
pub(crate) fn bench(store: &mut Store, card: &Card, why: Option<&str>) -> anyhow::Result<()> {
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

/// Takes a worker without a heartbeat off the books.
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

/// Keeps the hashes of those of these living workers that are of another implementation, which does not
/// renew them: one that was evicted has come back.
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

/// The workers on the books, each with whether it has a heartbeat.
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

/// A living worker as the dispatcher sees it.
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

/// Looks at what `workers` have to do: one round trip for each 1000. One whose keys are of the wrong type
/// can be given nothing, and is left out (L8).
pub(crate) fn posts(store: &mut Store, workers: &[WorkerKey]) -> anyhow::Result<Vec<Post>> {
    type Facts = (Vec<Text>, [Option<Text>; 3]);
    let mut posts = Vec::with_capacity(workers.len());
    for chunk in workers.chunks(1000) {
        let facts: Vec<Result<Facts, Refused>> = store.call(|c, _| {
            let mut pipe = redis::pipe();
            for worker in chunk {
                // The queue first: a worker takes from it into its hash in one step.
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

/// A worker as it looks from outside.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub key: WorkerKey,
    pub alive: bool,
    /// Milliseconds since its last heartbeat, if it has one.
    pub beat_ms: Option<u64>,
    pub worker_type: Option<String>,
    pub slaves: Option<u64>,
    pub version: Option<String>,
    /// The key of the taskset it works for.
    pub taskset: Option<String>,
    /// Why it takes no work for a while, if so.
    pub benched: Option<String>,
    /// Tasksets given to it that it has not taken yet.
    pub queued: u64,
}

/// Looks at all workers on the books, by name: one round trip for each 500.
pub(crate) fn survey(store: &mut Store) -> anyhow::Result<Vec<Seen>> {
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
            seen.push(Seen {
                key: key.clone(),
                // -1 is a heartbeat that never ends, -2 none at all.
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
            "nothing is known of another machine"
        );
        assert!(!is_gone("unknown"));
    }
}
