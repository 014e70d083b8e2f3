//! Reads whole tasksets, many small ones at a time, so that ten thousand take few round trips.

use super::snapshot::{Around, BATCH, Task, Taskset, Trial, set};
use crate::entity::{taskset, worker};
use crate::protocol::event::Event;
use crate::protocol::key::{SlaveKey, TasksetKey, WorkerKey};
use crate::protocol::status::{TaskStatus, TrialStatus};
use crate::store;
use crate::store::Store;
use crate::store::error::Refused;
use crate::store::read::{Text, rows, rows_each};
use redis::Value;
use std::collections::{HashMap, HashSet};

/// Tasksets whose hashes are read in one round trip.
pub(crate) const MANY: usize = 200;
/// Events in one page.
const EVENTS: usize = 1000;

/// Reads `keys`, at most [`MANY`]; `None` for one that does not exist, or expires while it is read.
pub(crate) fn tasksets(
    store: &mut Store,
    keys: &[TasksetKey],
    around: &Around,
) -> anyhow::Result<Vec<Option<Taskset>>> {
    type Facts = (HashMap<Text, Text>, i64, usize);
    let facts: Vec<Result<Facts, Refused>> = store.call(|c, _| {
        let mut pipe = redis::pipe();
        for key in keys {
            pipe.cmd("HGETALL").arg(key);
            pipe.cmd("TTL").arg(key);
            pipe.cmd("LLEN").arg(key.tasks());
        }
        rows_each(pipe.ignore_errors().query(c)?, 3)
    })?;
    let mut found: Vec<Option<Taskset>> = Vec::with_capacity(keys.len());
    let mut sizes = Vec::with_capacity(keys.len());
    for (key, facts) in keys.iter().zip(facts) {
        let facts = store::unless_refused(key, facts)?;
        let (fields, expiry, tasks) = facts.unwrap_or_default();
        let plain = |(name, value): (Text, Text)| (name.into(), value.into());
        let record = taskset::Record(fields.into_iter().map(plain).collect());
        let there = !record.0.is_empty();
        found.push(there.then(|| Taskset::new(key.clone(), record, expiry)));
        sizes.push(tasks);
    }
    // A persisted taskset expires key by key, so missing keys are not findings.
    let mut open: Vec<(&mut Taskset, usize)> = found
        .iter_mut()
        .zip(sizes)
        .filter_map(|(seen, size)| Some((seen.as_mut()?, size)))
        .filter(|(seen, _)| !seen.is_persisted())
        .collect();
    while !open.is_empty() {
        let mut tasks = 0;
        let fits = |(_, size): &&(&mut Taskset, usize)| {
            tasks += size;
            tasks <= BATCH
        };
        let together = open.iter().take_while(fits).count().max(1);
        let mut group: Vec<&mut Taskset> = open.drain(..together).map(|(seen, _)| seen).collect();
        fill_each(store, &mut group, around)?;
    }
    Ok(found
        .into_iter()
        .map(|seen| seen.filter(|seen| seen.expiry != -2))
        .collect())
}

/// Reads all data of these tasksets; one with a key of the wrong type is skipped (L8).
fn fill_each(store: &mut Store, group: &mut [&mut Taskset], around: &Around) -> anyhow::Result<()> {
    match fill(store, group, around) {
        Err(error) if error.is::<Refused>() => {}
        filled => return filled,
    }
    for seen in group {
        let (key, record) = (seen.key.clone(), std::mem::take(&mut seen.record));
        **seen = Taskset::new(key.clone(), record, seen.expiry);
        let filled = fill(store, &mut [&mut **seen], around);
        if store::unless_refused(key, filled)?.is_none() {
            seen.expiry = -2;
        }
    }
    Ok(())
}

/// Reads all data of these tasksets.
fn fill(store: &mut Store, group: &mut [&mut Taskset], around: &Around) -> anyhow::Result<()> {
    type Lists = (Vec<Text>, Vec<Text>, Vec<Text>, Vec<Text>, Vec<Text>);
    let lists: Vec<Lists> = store.call(|c, _| {
        let mut pipe = redis::pipe();
        for seen in group.iter() {
            let key = &seen.key;
            for list in [
                key.tasks_left(),
                key.task_queue(),
                key.worker_logs(),
                key.slaves(),
                key.tasks(),
            ] {
                pipe.cmd("LRANGE").arg(list).arg(0).arg(-1);
            }
        }
        rows(pipe.query(c)?, 5)
    })?;
    let mut tasks: Vec<(usize, String)> = Vec::new();
    let mut worker_logs: Vec<(usize, String)> = Vec::new();
    for (place, (left, queue, logs, slaves, own)) in lists.into_iter().enumerate() {
        let seen = &mut group[place];
        seen.left = left.into_iter().map(String::from).collect();
        seen.queue = queue.into_iter().map(String::from).collect();
        seen.slaves = slaves.iter().filter_map(|key| key.parse().ok()).collect();
        worker_logs.extend(logs.into_iter().map(|log| (place, log.into())));
        tasks.extend(own.into_iter().map(|task| (place, task.into())));
    }
    events(store, group)?;
    logs(store, group, &worker_logs)?;
    ends(store, group)?;
    for chunk in tasks.chunks(BATCH) {
        tasks_of(store, group, chunk, around)?;
    }
    // They may have been persisted since.
    let expiries: Vec<i64> = store.call(|c, _| {
        let mut pipe = redis::pipe();
        for seen in group.iter() {
            pipe.cmd("TTL").arg(&seen.key);
        }
        pipe.query(c)
    })?;
    for (seen, expiry) in group.iter_mut().zip(expiries) {
        seen.expiry = expiry;
    }
    Ok(())
}

/// Reads the events of these tasksets, a page of each at a time.
fn events(store: &mut Store, group: &mut [&mut Taskset]) -> anyhow::Result<()> {
    type Page = Vec<(String, Vec<Vec<u8>>)>;
    let mut after: Vec<(usize, String)> = (0..group.len()).map(|n| (n, "-".to_owned())).collect();
    while !after.is_empty() {
        let pages: Vec<Value> = store.call(|c, _| {
            let mut pipe = redis::pipe();
            for (place, from) in &after {
                let key = group[*place].key.events();
                pipe.cmd("XRANGE").arg(key).arg(from).arg("+");
                pipe.arg("COUNT").arg(EVENTS);
            }
            pipe.query(c)
        })?;
        let mut more = Vec::new();
        for ((place, _), page) in after.into_iter().zip(pages) {
            let page: Page = redis::from_redis_value(page)?;
            if let Some((last, _)) = page.last().filter(|_| page.len() == EVENTS) {
                more.push((place, format!("({last}")));
            }
            let fields = page.iter().flat_map(|(_, fields)| fields.chunks(2));
            for text in fields.filter_map(|pair| pair.get(1)) {
                if let Ok(event) = serde_json::from_str(&String::from_utf8_lossy(text)) {
                    group[place].add(event);
                }
            }
        }
        after = more;
    }
    Ok(())
}

impl Taskset {
    fn new(key: TasksetKey, record: taskset::Record, expiry: i64) -> Self {
        Self {
            key,
            record,
            expiry,
            tasks: Vec::new(),
            left: Vec::new(),
            queue: HashSet::new(),
            endings: Vec::new(),
            task_endings: HashMap::new(),
            events: 0,
            slaves: Vec::new(),
            logs: Vec::new(),
            given_up: HashSet::new(),
            has_ends: false,
            awaits_end: false,
        }
    }

    fn add(&mut self, event: Event) {
        self.events += 1;
        match event {
            Event::TasksetFinished { status, .. } => self.endings.push(status),
            Event::TaskFinished {
                spec_file, status, ..
            } => self.task_endings.entry(spec_file).or_default().push(status),
            _ => {}
        }
    }
}

/// Reads the lengths of all logs that we write, and the workers that cannot run the taskset.
fn logs(
    store: &mut Store,
    group: &mut [&mut Taskset],
    worker_logs: &[(usize, String)],
) -> anyhow::Result<()> {
    type Facts = (Option<Text>, Option<Text>);
    let mut foreign = HashSet::new();
    for chunk in worker_logs.chunks(BATCH) {
        let facts: Vec<Facts> = store.call(|c, _| {
            let mut pipe = redis::pipe();
            for (_, log) in chunk {
                pipe.cmd("HMGET").arg(log).arg(&["worker", "failure"]);
            }
            pipe.query(c)
        })?;
        let writers: Vec<WorkerKey> = (facts.iter())
            .filter_map(|(worker, _)| worker.as_ref()?.parse().ok())
            .collect();
        let others = worker::of_another_kind(store, &writers)?;
        for ((place, log), (worker, failure)) in chunk.iter().zip(facts) {
            let Some(worker) = set(worker) else { continue };
            if others.iter().any(|other| other.as_str() == worker) {
                foreign.insert(log.clone());
            }
            if set(failure).is_some() {
                group[*place].given_up.insert(worker);
            }
        }
    }
    let mut names: Vec<(usize, String)> = Vec::new();
    for (place, seen) in group.iter().enumerate() {
        names.push((place, seen.key.log()));
        let ours = seen.slaves.iter().filter(|slave| !slave.is_foreign());
        names.extend(ours.map(|slave| (place, slave.log())));
    }
    names.extend(
        (worker_logs.iter())
            .filter(|(_, log)| !foreign.contains(log))
            .map(|(place, log)| (*place, format!("{log}:log"))),
    );
    for chunk in names.chunks(BATCH) {
        let lengths: Vec<usize> = store.call(|c, _| {
            let mut pipe = redis::pipe();
            for (_, name) in chunk {
                pipe.cmd("STRLEN").arg(name);
            }
            pipe.query(c)
        })?;
        for ((place, name), length) in chunk.iter().zip(lengths) {
            group[*place].logs.push((name.clone(), length));
        }
    }
    Ok(())
}

/// Reads the recorded ends of suites, and whether any can still arrive.
fn ends(store: &mut Store, group: &mut [&mut Taskset]) -> anyhow::Result<()> {
    let all: Vec<HashMap<Text, Text>> = store.call(|c, _| {
        let mut pipe = redis::pipe();
        for seen in group.iter() {
            pipe.cmd("HGETALL").arg(seen.key.ends());
        }
        pipe.query(c)
    })?;
    let mut open: Vec<(usize, SlaveKey)> = Vec::new();
    for (place, ends) in all.iter().enumerate() {
        group[place].has_ends = !ends.is_empty();
        let awaited = ends.iter().filter(|(_, state)| state.ends_with(" open"));
        open.extend(awaited.filter_map(|(slave, _)| Some((place, slave.parse().ok()?))));
    }
    let slaves: Vec<SlaveKey> = open.iter().map(|(_, slave)| slave.clone()).collect();
    let looks = crate::entity::slave::look(store, &slaves)?;
    for ((place, _), seen) in open.iter().zip(looks) {
        group[*place].awaits_end |= !matches!(seen, crate::entity::slave::SlaveState::Ended);
    }
    Ok(())
}

/// Reads tasks with their trials.
fn tasks_of(
    store: &mut Store,
    group: &mut [&mut Taskset],
    keys: &[(usize, String)],
    around: &Around,
) -> anyhow::Result<()> {
    let facts: Vec<(Option<Text>, Vec<Text>)> = store.call(|c, _| {
        let mut pipe = redis::pipe();
        for (_, key) in keys {
            pipe.cmd("HGET").arg(key).arg("status");
            pipe.cmd("LRANGE")
                .arg(format!("{key}:trial"))
                .arg(0)
                .arg(-1);
        }
        rows(pipe.query(c)?, 2)
    })?;
    let names: Vec<&str> = facts
        .iter()
        .flat_map(|(_, trials)| trials.iter().map(|name| &**name))
        .collect();
    let mut known = HashMap::with_capacity(names.len());
    for chunk in names.chunks(BATCH) {
        known.extend(trials(store, chunk, around)?);
    }
    for ((place, key), (status, names)) in keys.iter().zip(facts) {
        let all = names.iter().filter_map(|name| known.remove(&**name));
        group[*place].tasks.push(Task {
            key: key.clone(),
            status: set(status).as_deref().and_then(TaskStatus::parse),
            trials: all.collect(),
        });
    }
    Ok(())
}

fn trials(
    store: &mut Store,
    names: &[&str],
    around: &Around,
) -> anyhow::Result<HashMap<String, Trial>> {
    type Fields = (Option<Text>, Option<Text>, Option<Text>, Option<Text>);
    type Facts = (Fields, usize, usize);
    let facts: Vec<Facts> = store.call(|c, _| {
        let mut pipe = redis::pipe();
        for name in names {
            pipe.cmd("HMGET")
                .arg(name)
                .arg("status")
                .arg("stopped")
                .arg("slave")
                .arg("duration_ms");
            pipe.cmd("HSTRLEN").arg(name).arg("stdout");
            pipe.cmd("HSTRLEN").arg(name).arg("stderr");
        }
        rows(pipe.query(c)?, 3)
    })?;
    let slave_of = |(_, _, slave, _): &Fields| slave.as_ref()?.parse::<SlaveKey>().ok();
    let slaves: Vec<SlaveKey> = facts.iter().filter_map(|(f, ..)| slave_of(f)).collect();
    let seen = crate::entity::slave::look(store, &slaves)?;
    let mut alive = HashSet::new();
    for (slave, seen) in slaves.into_iter().zip(seen) {
        if matches!(seen, crate::entity::slave::SlaveState::Alive(_)) {
            alive.insert(slave);
        }
    }
    let mut trials = HashMap::with_capacity(names.len());
    for (name, (fields, stdout, stderr)) in names.iter().zip(facts) {
        let slave = slave_of(&fields);
        let lives = slave.as_ref().is_some_and(|slave| alive.contains(slave));
        let is_ours = slave.is_some_and(|slave| !slave.is_foreign());
        let foreign = !is_ours && fields.3.is_none();
        let status = set(fields.0).as_deref().and_then(TrialStatus::parse);
        let trial = Trial {
            key: (*name).to_owned(),
            status,
            stopped: set(fields.1).is_some(),
            live: (status.is_none() && lives) || around.announced.contains(*name),
            output: stdout.max(stderr),
            foreign,
        };
        trials.insert((*name).to_owned(), trial);
    }
    Ok(trials)
}
