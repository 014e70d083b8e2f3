//! What one look sees: a taskset whole, and what stands around it. [`super::load`] reads tasksets.

use crate::key::{self, SlaveKey, TaskKey, TasksetKey, WorkerKey};
use crate::store::{
    self, Refused, Store,
    read::{self, Text, rows_each},
};
use crate::{task, taskset, trial};
use std::collections::{HashMap, HashSet};

/// Tasks or trials read in one round trip.
pub(super) const BATCH: usize = 500;

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

pub(super) fn set(text: Option<Text>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(String::from)
}

impl Around {
    /// Reads it.
    pub fn load(store: &mut Store) -> anyhow::Result<Self> {
        let mut texts = |list: String| {
            let texts = read::texts(store, &list);
            anyhow::Ok(store::unless_refused(list, texts)?.unwrap_or_default())
        };
        let messages = texts(key::arbiter_queue())?;
        let mut around = Self {
            active: texts(key::active_taskset())?,
            to_persist: texts(key::persister_queue())?.into_iter().collect(),
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
        let workers = crate::worker::all(store)?.into_iter();
        let alive: Vec<WorkerKey> = workers
            .filter_map(|(key, alive)| alive.then_some(key))
            .collect();
        for chunk in alive.chunks(BATCH) {
            around.workers.extend(workers_of(store, chunk)?);
        }
        Ok(around)
    }
}

fn workers_of(store: &mut Store, keys: &[WorkerKey]) -> anyhow::Result<Vec<Worker>> {
    type Facts = ((Option<Text>, Option<Text>, Option<Text>), Option<Text>);
    let facts: Vec<Result<Facts, Refused>> = store.call(|c, _| {
        let mut pipe = redis::pipe();
        for worker in keys {
            pipe.cmd("HMGET")
                .arg(worker)
                .arg(&["worker_type", "taskset", "benched"]);
            pipe.cmd("LINDEX").arg(worker.queue()).arg(0);
        }
        rows_each(pipe.ignore_errors().query(c)?, 2)
    })?;
    let worker = |(key, ((worker_type, on_hand, benched), queued)): (&WorkerKey, Facts)| Worker {
        key: key.to_string(),
        worker_type: set(worker_type).unwrap_or_default(),
        taskset: set(on_hand).or_else(|| set(queued)),
        benched: set(benched).is_some(),
    };
    let mut workers = Vec::with_capacity(keys.len());
    for (key, facts) in keys.iter().zip(facts) {
        let facts = store::unless_refused(key, facts)?;
        workers.extend(facts.map(|facts| worker((key, facts))));
    }
    Ok(workers)
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
    /// Whether its record is durable, so that its keys may go.
    pub fn is_persisted(&self) -> bool {
        self.expiry >= 0
    }

    /// The spec file of a task of this taskset.
    pub fn spec_file(task: &Task) -> String {
        let key: Option<TaskKey> = task.key.parse().ok();
        key.map_or_else(|| task.key.clone(), |key| key.spec_file().to_owned())
    }
}
