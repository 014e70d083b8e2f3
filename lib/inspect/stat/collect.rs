//! Reads the current state of Redis. Each kind of data is read in pipelines of at most 500
//! commands, within the bounds below; tasks are not read.

use super::{Memory, Queue, Stat, Stranded, Tasks, Tasksets, Trials, Workers};
use crate::archive::totals;
use crate::entity::foreign::{self, Sample};
use crate::entity::slave::{self, SlaveState};
use crate::entity::{event_stream, trial, worker};
use crate::protocol::key::{self, SlaveKey, TasksetKey, WorkerKey};
use crate::protocol::message::Message;
use crate::protocol::status::TasksetStatus;
use crate::protocol::taskset_field as field;
use crate::protocol::time;
use crate::store;
use crate::store::Store;
use crate::store::error::Refused;
use crate::store::read::{Text, parsed, rows_each};
use std::collections::BTreeMap;

/// Maximum number of active tasksets read, oldest first.
const TASKSETS: usize = 1000;
/// Maximum number of slaves read per taskset: the last that joined.
const SLAVES: i64 = 1000;
/// Messages whose age is read: one that is retried is queued after younger ones.
const HEADS: usize = 100;
/// Tasksets per round trip.
const BATCH: usize = 100;

/// The state of one active taskset: waiting or running, and its progress.
struct Active {
    key: TasksetKey,
    worker_type: String,
    status: Option<TasksetStatus>,
    age_sec: Option<u64>,
    tasks: Tasks,
    slaves: Vec<SlaveKey>,
    /// Whether our dispatcher has given it to a worker.
    is_given: bool,
}

impl Stat {
    /// Takes a snapshot.
    pub(crate) fn load(store: &mut Store) -> anyhow::Result<Self> {
        let now = store.call(|c, _| event_stream::clock_ms(c))?;
        let (workers, silent_workers) = workers(store)?;
        let (active, unseen) = active(store, now)?;
        let queues = queues(store, now)?;
        let slaves: Vec<SlaveKey> = active.iter().flat_map(|one| one.slaves.clone()).collect();
        let (alive, running) = slaves_at_work(store, &slaves)?;
        let mut tasks = Tasks::default();
        for one in &active {
            tasks.succeeded += one.tasks.succeeded;
            tasks.failed += one.tasks.failed;
            tasks.left += one.tasks.left;
            tasks.queued += one.tasks.queued;
        }
        let roles = roles(store)?;
        let foreign_roles = foreign_roles(store, &active, &roles)?;
        Ok(Self {
            time: time::rfc3339(now),
            roles,
            foreign: !foreign_roles.is_empty(),
            foreign_roles,
            tasksets: tasksets(&active, unseen, queues["persister"].messages, &workers),
            queues,
            tasks,
            trials: Trials { running },
            workers,
            silent_workers,
            slaves: alive,
            memory: memory(store)?,
            totals: totals::load(store)?,
        })
    }
}

/// The missing roles that another implementation fills.
fn foreign_roles(
    store: &mut Store,
    active: &[Active],
    roles: &BTreeMap<&'static str, bool>,
) -> anyhow::Result<Vec<&'static str>> {
    let is_missing = |role: &str| roles.get(role) == Some(&false);
    if !is_missing("arbiter") && !is_missing("dispatch") {
        return Ok(Vec::new());
    }
    let sample = |one: &Active| Sample {
        taskset: one.key.clone(),
        judged: one.tasks.succeeded + one.tasks.failed,
        is_running: one.status == Some(TasksetStatus::Running),
        is_given: one.is_given,
    };
    let samples: Vec<Sample> = active.iter().map(sample).collect();
    let mut found = foreign::roles(store, &samples)?;
    found.retain(|role| is_missing(role));
    Ok(found)
}

/// Whole seconds from a time in the protocol's format until `now`; the clocks of machines differ.
fn age_sec(at: Option<&str>, now: i64) -> Option<u64> {
    let at = time::parse(at?)?.timestamp_millis();
    Some((now - at).max(0) as u64 / 1000)
}

fn tasksets(
    active: &[Active],
    unseen: u64,
    ended: u64,
    workers: &BTreeMap<String, Workers>,
) -> Tasksets {
    let waits = |one: &&Active| one.status.is_none();
    let waiting = || active.iter().filter(waits);
    let running = || active.iter().filter(|one| !waits(one));
    let stranded = waiting().filter(|one| !workers.contains_key(&one.worker_type));
    Tasksets {
        waiting: waiting().count() as u64,
        running: running().count() as u64,
        ended,
        unseen,
        oldest_waiting_sec: waiting().filter_map(|one| one.age_sec).max(),
        oldest_running_sec: running().filter_map(|one| one.age_sec).max(),
        stranded: stranded.max_by_key(|one| one.age_sec).map(|one| Stranded {
            taskset: one.key.to_string(),
            worker_type: one.worker_type.clone(),
            waiting_sec: one.age_sec.unwrap_or(0),
        }),
    }
}

fn active(store: &mut Store, now: i64) -> anyhow::Result<(Vec<Active>, u64)> {
    type Facts = ([Option<Text>; 6], u64, u64, Vec<Vec<u8>>);
    type Answer = Result<Facts, Refused>;
    let (all, names): (u64, Vec<Vec<u8>>) = store.call(|c, _| {
        let list = key::active_taskset();
        redis::pipe()
            .cmd("LLEN")
            .arg(&list)
            .cmd("LRANGE")
            .arg(&list)
            .arg(0)
            .arg(TASKSETS - 1)
            .query(c)
    })?;
    let unseen = all.saturating_sub(names.len() as u64);
    let keys: Vec<TasksetKey> = parsed(&names);
    let mut active = Vec::with_capacity(keys.len());
    for chunk in keys.chunks(BATCH) {
        let facts: Vec<Answer> = store.call(|c, _| {
            let mut pipe = redis::pipe();
            for key in chunk {
                pipe.cmd("HMGET").arg(key).arg(&[
                    field::STATUS,
                    field::CREATED_AT,
                    field::WORKER_TYPE,
                    field::SUCCEEDED_COUNT,
                    field::FAILED_COUNT,
                    field::GIVEN,
                ]);
                pipe.cmd("LLEN").arg(key.tasks_left());
                pipe.cmd("LLEN").arg(key.task_queue());
                pipe.cmd("LRANGE").arg(key.slaves()).arg(-SLAVES).arg(-1);
            }
            rows_each(pipe.ignore_errors().query(c)?, 4)
        })?;
        for (key, facts) in chunk.iter().zip(facts) {
            let Some((fields, left, queued, slaves)) = store::unless_refused(key, facts)? else {
                continue;
            };
            let [status, created_at, worker_type, succeeded, failed, given] = fields;
            let count = |text: Option<Text>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
            active.push(Active {
                key: key.clone(),
                worker_type: worker_type.unwrap_or_default().into(),
                status: status.as_deref().and_then(TasksetStatus::parse),
                age_sec: age_sec(created_at.as_deref(), now),
                tasks: Tasks {
                    succeeded: count(succeeded),
                    failed: count(failed),
                    left,
                    queued,
                },
                slaves: parsed(&slaves),
                is_given: given.is_some(),
            });
        }
    }
    Ok((active, unseen))
}

/// The number of live slaves among these, and of the trials that they are running.
fn slaves_at_work(store: &mut Store, slaves: &[SlaveKey]) -> anyhow::Result<(u64, u64)> {
    let mut seen = Vec::with_capacity(slaves.len());
    for (slave, facts) in slaves.iter().zip(slave::look_each(store, slaves)?) {
        seen.extend(store::unless_refused(slave, facts)?);
    }
    let alive = seen
        .iter()
        .filter(|seen| matches!(seen, SlaveState::Alive(_)));
    let last = seen.iter().filter_map(|seen| match seen {
        SlaveState::Alive(trial) => trial.clone(),
        _ => None,
    });
    let last: Vec<_> = last.collect();
    let mut running = 0;
    for (trial, facts) in last.iter().zip(trial::unfinished_each(store, &last)?) {
        running += u64::from(store::unless_refused(trial, facts)?.flatten().is_some());
    }
    Ok((alive.count() as u64, running))
}

/// The live workers by type, and the number of registered workers without a heartbeat.
fn workers(store: &mut Store) -> anyhow::Result<(BTreeMap<String, Workers>, u64)> {
    let mut types: BTreeMap<String, Workers> = BTreeMap::new();
    let mut silent = 0;
    for seen in worker::survey(store)? {
        if !seen.alive {
            silent += 1;
            continue;
        }
        let own = types
            .entry(seen.worker_type.unwrap_or_default())
            .or_default();
        own.slaves += seen.slaves.unwrap_or(0);
        match (seen.benched, seen.taskset) {
            (Some(_), _) => own.benched += 1,
            (None, Some(_)) => own.busy += 1,
            (None, None) => own.idle += 1,
        }
    }
    Ok((types, silent))
}

fn queues(store: &mut Store, now: i64) -> anyhow::Result<BTreeMap<&'static str, Queue>> {
    let mut queues = BTreeMap::new();
    for (name, list) in [
        ("arbiter", key::arbiter_queue()),
        ("dispatcher", key::dispatcher_queue()),
        ("persister", key::persister_queue()),
    ] {
        type Facts = (u64, u64, Vec<Vec<u8>>);
        let facts: anyhow::Result<Facts> = store.call(|c, _| {
            redis::pipe()
                .cmd("LLEN")
                .arg(&list)
                .cmd("LLEN")
                .arg(key::dead(&list))
                .cmd("LRANGE")
                .arg(&list)
                .arg(0)
                .arg(HEADS - 1)
                .query(c)
        });
        let facts = store::unless_refused(&list, facts)?;
        let (messages, dead, heads) = facts.unwrap_or_default();
        let ended: Vec<String> = match name {
            // Only the subject of a trial's message has a time.
            "arbiter" => heads
                .iter()
                .filter_map(|bytes| about_trial(bytes))
                .collect(),
            "persister" => parsed::<TasksetKey>(&heads)
                .iter()
                .map(TasksetKey::to_string)
                .collect(),
            _ => Vec::new(),
        };
        let queue = Queue {
            messages,
            dead,
            oldest_sec: oldest(store, &ended, now)?,
        };
        queues.insert(name, queue);
    }
    queues.insert("worker", of_workers(store)?);
    Ok(queues)
}

fn about_trial(message: &[u8]) -> Option<String> {
    match Message::parse(message) {
        Ok(Message::Trial(trial, ..)) => Some(trial.to_string()),
        _ => None,
    }
}

/// Seconds since the first of these trials or tasksets finished.
fn oldest(store: &mut Store, hashes: &[String], now: i64) -> anyhow::Result<Option<u64>> {
    if hashes.is_empty() {
        // Redis refuses an empty pipeline.
        return Ok(None);
    }
    let ends: Vec<Result<(Option<Text>,), Refused>> = store.call(|c, _| {
        let mut pipe = redis::pipe();
        for hash in hashes {
            pipe.cmd("HGET").arg(hash).arg("finished_at");
        }
        rows_each(pipe.ignore_errors().query(c)?, 1)
    })?;
    let ends = ends.into_iter().flatten();
    Ok(ends.filter_map(|(at,)| age_sec(at.as_deref(), now)).max())
}

/// The queues of all workers combined.
fn of_workers(store: &mut Store) -> anyhow::Result<Queue> {
    let mut whole = Queue::default();
    let keys: Vec<WorkerKey> = worker::all(store)?
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    for chunk in keys.chunks(BATCH) {
        let lengths: Vec<Result<(u64, u64), Refused>> = store.call(|c, _| {
            let mut pipe = redis::pipe();
            for worker in chunk {
                pipe.cmd("LLEN").arg(worker.queue());
                pipe.cmd("LLEN").arg(key::dead(&worker.queue()));
            }
            rows_each(pipe.ignore_errors().query(c)?, 2)
        })?;
        for (messages, dead) in lengths.into_iter().flatten() {
            whole.messages += messages;
            whole.dead += dead;
        }
    }
    Ok(whole)
}

fn roles(store: &mut Store) -> anyhow::Result<BTreeMap<&'static str, bool>> {
    const ROLES: [&str; 3] = ["arbiter", "dispatch", "persist"];
    let alive: Vec<bool> = store.call(|c, _| {
        let mut pipe = redis::pipe();
        for role in ROLES {
            pipe.cmd("EXISTS").arg(key::role(role));
        }
        pipe.query(c)
    })?;
    Ok(ROLES.into_iter().zip(alive).collect())
}

fn memory(store: &mut Store) -> anyhow::Result<Memory> {
    let info: String = store.call(|c, _| redis::cmd("INFO").arg("memory").query(c))?;
    let field = |name: &str| {
        let value = info.lines().find_map(|line| line.strip_prefix(name));
        value.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    };
    Ok(Memory {
        used: field("used_memory:"),
        max: field("maxmemory:"),
    })
}
