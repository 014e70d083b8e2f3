//! What one look sees: a taskset whole, and what stands around it.

use crate::key::{self, SlaveKey, TaskKey, TasksetKey};
use crate::store::{
    Store,
    read::{self, Text, rows},
};
use crate::{event, event::Event, task, taskset, trial};
use std::collections::{HashMap, HashSet};

/// Tasks or trials read in one round trip.
const BATCH: usize = 500;

/// What is not of one taskset: queues and workers.
#[derive(Debug, Default)]
pub struct Around {
    /// Entries of active_taskset, in order.
    pub active: Vec<String>,
    /// Entries of persister_queue.
    pub to_persist: HashSet<String>,
    /// The first message for the arbiter.
    pub arbiter_head: Option<String>,
    /// Trials that a message in the arbiter's queue announces.
    pub announced: HashSet<String>,
    /// Tasksets that a message in the arbiter's queue is about.
    pub spoken_of: HashSet<String>,
    pub workers: Vec<Worker>,
}

/// A worker on the books that has a heartbeat.
#[derive(Debug, Default)]
pub struct Worker {
    pub key: String,
    pub worker_type: String,
    /// The taskset on hand, or in its queue.
    pub taskset: Option<String>,
    pub benched: bool,
}

fn set(text: Option<Text>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(String::from)
}

impl Around {
    /// Reads it.
    pub fn load(store: &mut Store) -> anyhow::Result<Self> {
        let messages = read::texts(store, &key::arbiter_queue())?;
        let mut around = Self {
            active: read::texts(store, &key::active_taskset())?,
            to_persist: read::texts(store, &key::persister_queue())?
                .into_iter()
                .collect(),
            arbiter_head: messages.first().cloned(),
            ..Self::default()
        };
        for message in &messages {
            let about = message.split_once('\t').map_or("", |(_, key)| key);
            if message.starts_with("trial\t") {
                around.announced.insert(about.to_owned());
            } else if message == "cancel" {
                around.spoken_of.extend(around.active.iter().cloned());
            } else {
                around.spoken_of.insert(about.to_owned());
            }
        }
        for (worker, alive) in crate::worker::all(store)? {
            if !alive {
                continue;
            }
            type Facts = (Option<Text>, Option<Text>, Option<Text>);
            let ((worker_type, on_hand, benched), queued): (Facts, Option<Text>) =
                store.call(|c, _| {
                    redis::pipe()
                        .cmd("HMGET")
                        .arg(&worker)
                        .arg("worker_type")
                        .arg("taskset")
                        .arg("benched")
                        .cmd("LINDEX")
                        .arg(worker.queue())
                        .arg(0)
                        .query(c)
                })?;
            around.workers.push(Worker {
                key: worker.to_string(),
                worker_type: set(worker_type).unwrap_or_default(),
                taskset: set(on_hand).or_else(|| set(queued)),
                benched: set(benched).is_some(),
            });
        }
        Ok(around)
    }
}

/// A trial as far as the rules need it.
#[derive(Clone, Debug, Default)]
pub struct Trial {
    pub key: String,
    pub status: Option<trial::Status>,
    /// It was stopped from outside, and does not count as a try.
    pub stopped: bool,
    /// It has no status and its slave lives.
    pub live: bool,
    /// Bytes of its longer output.
    pub output: usize,
}

/// A task with its trials.
#[derive(Clone, Debug, Default)]
pub struct Task {
    pub key: String,
    pub status: Option<task::Status>,
    pub trials: Vec<Trial>,
}

/// A taskset, whole.
#[derive(Debug)]
pub struct Taskset {
    pub key: TasksetKey,
    pub record: taskset::Record,
    /// Seconds until its hash expires; -1: never, so it is not persisted.
    pub expiry: i64,
    pub tasks: Vec<Task>,
    pub left: Vec<String>,
    pub queue: HashSet<String>,
    /// Final statuses that its events tell: of itself, and of its spec files.
    pub endings: Vec<String>,
    pub task_endings: HashMap<String, Vec<String>>,
    pub events: usize,
    /// Slaves that ever joined it.
    pub slaves: Vec<SlaveKey>,
    /// Its logs, with their bytes.
    pub logs: Vec<(String, usize)>,
    /// Workers that said they cannot run it.
    pub given_up: HashSet<String>,
    /// Whether it has a key for the ends of its suites, and whether one of them can still come.
    pub has_ends: bool,
    pub awaits_end: bool,
}

impl Taskset {
    /// Reads it; `None` when it is not there, or goes while it is read.
    pub fn load(
        store: &mut Store,
        key: &TasksetKey,
        around: &Around,
    ) -> anyhow::Result<Option<Self>> {
        let Some(record) = taskset::Record::load(store, key)? else {
            return Ok(None);
        };
        let expiry = taskset::expiry(store, key)?;
        let mut seen = Self {
            key: key.clone(),
            record,
            expiry,
            tasks: Vec::new(),
            left: read::texts(store, &key.tasks_left())?,
            queue: read::texts(store, &key.task_queue())?.into_iter().collect(),
            endings: Vec::new(),
            task_endings: HashMap::new(),
            events: 0,
            slaves: Vec::new(),
            logs: Vec::new(),
            given_up: HashSet::new(),
            has_ends: false,
            awaits_end: false,
        };
        // A persisted taskset goes key by key: nothing of it can be held against anybody.
        if seen.is_persisted() {
            return Ok(Some(seen));
        }
        seen.read_events(store)?;
        seen.read_logs(store)?;
        seen.read_ends(store)?;
        let tasks = read::texts(store, &key.tasks())?;
        for chunk in tasks.chunks(BATCH) {
            seen.read_tasks(store, chunk, around)?;
        }
        // It may have been persisted meanwhile.
        seen.expiry = taskset::expiry(store, key)?;
        Ok((seen.expiry != -2).then_some(seen))
    }

    /// Whether its record is durable, so that its keys may go.
    pub fn is_persisted(&self) -> bool {
        self.expiry >= 0
    }

    fn read_events(&mut self, store: &mut Store) -> anyhow::Result<()> {
        let mut after = event::START.to_owned();
        loop {
            let entries = store.call(|c, _| event::read(c, &self.key, &mut after, 1))?;
            if entries.is_empty() {
                return Ok(());
            }
            for event in entries.into_iter().flat_map(|entry| entry.events) {
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
    }

    fn read_logs(&mut self, store: &mut Store) -> anyhow::Result<()> {
        let mut names = vec![self.key.log()];
        for log in read::texts(store, &self.key.worker_logs())? {
            let (worker, failure): (Option<Text>, Option<Text>) = store.call(|c, _| {
                redis::cmd("HMGET")
                    .arg(&log)
                    .arg("worker")
                    .arg("failure")
                    .query(c)
            })?;
            if let (Some(worker), Some(_)) = (set(worker), set(failure)) {
                self.given_up.insert(worker);
            }
            names.push(format!("{log}:log"));
        }
        self.slaves = taskset::slaves(store, &self.key)?;
        names.extend(self.slaves.iter().map(SlaveKey::log));
        for chunk in names.chunks(BATCH) {
            let lengths: Vec<usize> = store.call(|c, _| {
                let mut pipe = redis::pipe();
                for name in chunk {
                    pipe.cmd("STRLEN").arg(name);
                }
                pipe.query(c)
            })?;
            self.logs.extend(chunk.iter().cloned().zip(lengths));
        }
        Ok(())
    }

    fn read_ends(&mut self, store: &mut Store) -> anyhow::Result<()> {
        let ends = read::hash(store, &self.key.ends())?;
        self.has_ends = !ends.is_empty();
        let open = ends.iter().filter(|(_, state)| state.ends_with(" open"));
        let slaves: Vec<SlaveKey> = open.filter_map(|(slave, _)| slave.parse().ok()).collect();
        let seen = crate::slave::look(store, &slaves)?;
        self.awaits_end = seen
            .iter()
            .any(|seen| !matches!(seen, crate::slave::Seen::Ended));
        Ok(())
    }

    fn read_tasks(
        &mut self,
        store: &mut Store,
        keys: &[String],
        around: &Around,
    ) -> anyhow::Result<()> {
        let facts: Vec<(Option<Text>, Vec<Text>)> = store.call(|c, _| {
            let mut pipe = redis::pipe();
            for key in keys {
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
        let mut trials = HashMap::with_capacity(names.len());
        for chunk in names.chunks(BATCH) {
            trials.extend(read_trials(store, chunk, around)?);
        }
        for (key, (status, names)) in keys.iter().zip(facts) {
            let all = names.iter().filter_map(|name| trials.remove(&**name));
            self.tasks.push(Task {
                key: key.clone(),
                status: set(status).as_deref().and_then(task::Status::parse),
                trials: all.collect(),
            });
        }
        Ok(())
    }

    /// The spec file of a task of this taskset.
    pub fn spec_file(task: &Task) -> String {
        let key: Option<TaskKey> = task.key.parse().ok();
        key.map_or_else(|| task.key.clone(), |key| key.spec_file().to_owned())
    }
}

fn read_trials(
    store: &mut Store,
    names: &[&str],
    around: &Around,
) -> anyhow::Result<HashMap<String, Trial>> {
    type Facts = ((Option<Text>, Option<Text>, Option<Text>), usize, usize);
    let facts: Vec<Facts> = store.call(|c, _| {
        let mut pipe = redis::pipe();
        for name in names {
            pipe.cmd("HMGET")
                .arg(name)
                .arg("status")
                .arg("stopped")
                .arg("slave");
            pipe.cmd("HSTRLEN").arg(name).arg("stdout");
            pipe.cmd("HSTRLEN").arg(name).arg("stderr");
        }
        rows(pipe.query(c)?, 3)
    })?;
    let slave_of = |(_, _, slave): &(_, _, Option<Text>)| slave.as_ref()?.parse::<SlaveKey>().ok();
    let slaves: Vec<SlaveKey> = facts.iter().filter_map(|(f, ..)| slave_of(f)).collect();
    let seen = crate::slave::look(store, &slaves)?;
    let mut alive = HashSet::new();
    for (slave, seen) in slaves.into_iter().zip(seen) {
        if matches!(seen, crate::slave::Seen::Alive(_)) {
            alive.insert(slave);
        }
    }
    let mut trials = HashMap::with_capacity(names.len());
    for (name, (fields, stdout, stderr)) in names.iter().zip(facts) {
        let lives = slave_of(&fields).is_some_and(|slave| alive.contains(&slave));
        let status = set(fields.0).as_deref().and_then(trial::Status::parse);
        let trial = Trial {
            key: (*name).to_owned(),
            status,
            stopped: set(fields.1).is_some(),
            live: (status.is_none() && lives) || around.announced.contains(*name),
            output: stdout.max(stderr),
        };
        trials.insert((*name).to_owned(), trial);
    }
    Ok(trials)
}
