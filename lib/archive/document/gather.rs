//! Reads a record from Redis, in batches of bounded size.

use super::fields::{Bytes, Hash};
use super::{Document, Slave, Task, Taskset, Trial, WorkerLog};
use crate::protocol::example::Example;
use crate::protocol::key::{SlaveKey, TaskKey, TasksetKey, TrialKey};
use crate::store::{Store, read};
use redis::{FromRedisValue, Pipeline};

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Task names read per round trip.
const NAMES: usize = 10_000;
/// Tasks examined per round trip.
const TASKS: usize = 500;
/// Bytes of output fetched per round trip, unless a single task has more.
const BYTES: u64 = 2 << 20;
/// The size of a trial without its output.
const TRIAL: u64 = 512;

/// A piece of a record. Pieces come in this order, the last three any number of times.
pub enum Part {
    Taskset(Box<Taskset>, Bytes),
    Tasks(Vec<Task>),
    Slave(Slave),
    WorkerLog(WorkerLog),
}

fn pipe<T: FromRedisValue>(
    store: &mut Store,
    fill: impl Fn(&mut Pipeline),
) -> anyhow::Result<Vec<T>> {
    let mut pipe = redis::pipe();
    fill(&mut pipe);
    if pipe.is_empty() {
        return Ok(Vec::new());
    }
    store.call(|c, _| pipe.query(c))
}

/// Reads a hash and a string.
fn with_log(store: &mut Store, hash: &str, log: &str) -> anyhow::Result<(Hash, Bytes)> {
    let (pairs, log): (Pairs, Option<Vec<u8>>) = store.call(|c, _| {
        redis::pipe()
            .cmd("HGETALL")
            .arg(hash)
            .cmd("GET")
            .arg(log)
            .query(c)
    })?;
    Ok((Hash::new(pairs), Bytes(log.unwrap_or_default())))
}

/// Passes the record to `visit` piece by piece; false when Redis has no such taskset. Only a few
/// megabytes are in memory at a time, unless a single task or log is larger.
pub fn parts(
    store: &mut Store,
    key: &TasksetKey,
    mut visit: impl FnMut(Part) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    let Some((taskset, log)) = head(store, key)? else {
        return Ok(false);
    };
    visit(Part::Taskset(Box::new(taskset), log))?;
    tasks(store, key, |tasks| visit(Part::Tasks(tasks)))?;
    slaves(store, key, |slave| visit(Part::Slave(slave)))?;
    logs(store, key, |log| visit(Part::WorkerLog(log)))?;
    Ok(true)
}

/// The hash of a taskset and its log, if Redis has it.
pub(crate) fn head(
    store: &mut Store,
    key: &TasksetKey,
) -> anyhow::Result<Option<(Taskset, Bytes)>> {
    let (hash, log) = with_log(store, key.as_str(), &key.log())?;
    Ok((!hash.0.is_empty()).then(|| (Taskset::read(hash), log)))
}

/// Passes the tasks of a taskset to `visit` with their trials, in groups of bounded size.
pub(crate) fn tasks(
    store: &mut Store,
    key: &TasksetKey,
    mut visit: impl FnMut(Vec<Task>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut from = 0;
    loop {
        let names = read::stretch(store, &key.tasks(), from, NAMES)?;
        for chunk in read::parsed::<TaskKey>(&names).chunks(TASKS) {
            for_tasks(store, chunk, &mut visit)?;
        }
        from += NAMES;
        if names.len() < NAMES {
            return Ok(());
        }
    }
}

/// Passes the slaves of a taskset to `visit`.
pub(crate) fn slaves(
    store: &mut Store,
    key: &TasksetKey,
    mut visit: impl FnMut(Slave) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for slave in read::list::<SlaveKey>(store, &key.slaves())? {
        let (hash, log) = with_log(store, slave.as_str(), &slave.log())?;
        visit(Slave::read(hash, slave, log))?;
    }
    Ok(())
}

/// Passes the logs of a taskset's workers to `visit`.
pub(crate) fn logs(
    store: &mut Store,
    key: &TasksetKey,
    mut visit: impl FnMut(WorkerLog) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for name in worker_logs(store, key)? {
        let (hash, log) = with_log(store, &name, &format!("{name}:log"))?;
        visit(WorkerLog::read(hash, name, log))?;
    }
    Ok(())
}

/// The keys of the worker logs. Readers accept any key in the list, as long as it is text.
fn worker_logs(store: &mut Store, key: &TasksetKey) -> anyhow::Result<Vec<String>> {
    let names: Vec<String> = read::list(store, &key.worker_logs())?;
    Ok(names
        .into_iter()
        .filter(|name| !name.contains(char::is_control))
        .collect())
}

/// The number of workers that have not finished their logs.
pub fn open_worker_logs(store: &mut Store, key: &TasksetKey) -> anyhow::Result<usize> {
    let names = worker_logs(store, key)?;
    let finished: Vec<Option<Vec<u8>>> = pipe(store, |pipe| {
        for name in &names {
            pipe.cmd("HGET").arg(name).arg("finished_at");
        }
    })?;
    let is_open = |at: &&Option<Vec<u8>>| at.as_ref().is_none_or(Vec::is_empty);
    Ok(finished.iter().filter(is_open).count())
}

/// Passes these tasks to `visit`, in groups whose output is bounded.
fn for_tasks(
    store: &mut Store,
    tasks: &[TaskKey],
    visit: &mut impl FnMut(Vec<Task>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (hashes, lists): (Vec<Pairs>, Vec<Vec<Vec<u8>>>) = {
        let hashes = pipe(store, |pipe| {
            for task in tasks {
                pipe.cmd("HGETALL").arg(task);
            }
        })?;
        let lists = pipe(store, |pipe| {
            for task in tasks {
                pipe.cmd("LRANGE").arg(task.trials()).arg(0).arg(-1);
            }
        })?;
        (hashes, lists)
    };
    let mut of_task: Vec<(TaskKey, Hash, Vec<TrialKey>)> = Vec::with_capacity(tasks.len());
    for ((task, pairs), trials) in tasks.iter().zip(hashes).zip(&lists) {
        of_task.push((task.clone(), Hash::new(pairs), read::parsed(trials)));
    }
    let lengths: Vec<u64> = pipe(store, |pipe| {
        for trial in of_task.iter().flat_map(|(_, _, trials)| trials) {
            for field in ["stdout", "stderr", "examples"] {
                pipe.cmd("HSTRLEN").arg(trial).arg(field);
            }
        }
    })?;
    let mut lengths = lengths.chunks(3);
    let mut group = Vec::new();
    let mut bytes = 0;
    for task in of_task {
        let more: u64 = lengths
            .by_ref()
            .take(task.2.len())
            .map(|trial| trial.iter().sum::<u64>() + TRIAL)
            .sum();
        if bytes + more > BYTES && !group.is_empty() {
            visit(fetch(store, std::mem::take(&mut group))?)?;
            bytes = 0;
        }
        bytes += more;
        group.push(task);
    }
    if !group.is_empty() {
        visit(fetch(store, group)?)?;
    }
    Ok(())
}

fn fetch(
    store: &mut Store,
    tasks: Vec<(TaskKey, Hash, Vec<TrialKey>)>,
) -> anyhow::Result<Vec<Task>> {
    let hashes: Vec<Pairs> = pipe(store, |pipe| {
        for trial in tasks.iter().flat_map(|(_, _, trials)| trials) {
            pipe.cmd("HGETALL").arg(trial);
        }
    })?;
    let mut hashes = hashes.into_iter();
    Ok(tasks
        .into_iter()
        .map(|(key, hash, trials)| {
            let trials = trials
                .into_iter()
                .zip(hashes.by_ref())
                .map(|(key, pairs)| trial(key, pairs))
                .collect();
            Task::read(hash, key, trials)
        })
        .collect())
}

fn trial(key: TrialKey, pairs: Pairs) -> Trial {
    let mut hash = Hash::new(pairs);
    let (stdout, stderr) = (hash.bytes("stdout"), hash.bytes("stderr"));
    let examples = hash.0.remove("examples").and_then(|json| {
        let read = serde_json::from_slice::<Vec<Example>>(&json.0).ok();
        if read.is_none() {
            hash.0.insert("examples_raw".into(), json);
        }
        read
    });
    Trial::read(hash, key, stdout, stderr, examples)
}

/// The whole record of `key`; `None` when Redis has no such taskset.
pub fn gather(store: &mut Store, key: &TasksetKey) -> anyhow::Result<Option<Document>> {
    let mut found = None;
    let (mut tasks, mut slaves, mut worker_logs) = (Vec::new(), Vec::new(), Vec::new());
    parts(store, key, |part| {
        match part {
            Part::Taskset(taskset, log) => found = Some((*taskset, log)),
            Part::Tasks(more) => tasks.extend(more),
            Part::Slave(slave) => slaves.push(slave),
            Part::WorkerLog(log) => worker_logs.push(log),
        }
        Ok(())
    })?;
    Ok(found.map(|(taskset, log)| Document {
        key: key.clone(),
        taskset,
        log,
        tasks,
        slaves,
        worker_logs,
    }))
}
