//! A snapshot: whole tasksets, and the queues and workers around them. [`super::load`] reads
//! tasksets.

use crate::entity::taskset;
use crate::protocol::key::{self, SlaveKey, TaskKey, TasksetKey, WorkerKey};
use crate::protocol::status::{TaskStatus, TrialStatus};
use crate::store;
use crate::store::Store;
use crate::store::error::Refused;
use crate::store::read::{self, Text, rows_each};
use std::collections::{HashMap, HashSet};

/// Tasks or trials read in one round trip.
pub(super) const BATCH: usize = 500;

/// The state outside any one taskset: queues and workers.
#[derive(Debug, Default)]
pub(crate) struct Around {
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

/// A registered worker that has a heartbeat.
#[derive(Debug, Default)]
pub(crate) struct Worker {
    pub key: String,
    pub worker_type: String,
    /// The current taskset, or the one in its queue.
    pub taskset: Option<String>,
    pub benched: bool,
}

pub(super) fn set(text: Option<Text>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(String::from)
}

impl Around {
    /// Reads the queues and workers.
    pub(crate) fn load(store: &mut Store) -> anyhow::Result<Self> {
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
        let workers = crate::entity::worker::all(store)?.into_iter();
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

/// The fields of a trial that the rules need.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trial {
    pub key: String,
    pub status: Option<TrialStatus>,
    /// Whether the trial was stopped from outside, and does not count.
    pub stopped: bool,
    /// Whether the trial has no status and its slave is alive.
    pub live: bool,
    /// Bytes of its longest output stream.
    pub output: usize,
    /// A slave of another implementation ran it.
    pub foreign: bool,
}

/// A task with its trials.
#[derive(Clone, Debug, Default)]
pub(crate) struct Task {
    pub key: String,
    pub status: Option<TaskStatus>,
    pub trials: Vec<Trial>,
}

/// A taskset, whole.
#[derive(Debug)]
pub(crate) struct Taskset {
    pub key: TasksetKey,
    pub record: taskset::Record,
    /// Seconds until its hash expires; -1: never, so the taskset is not persisted.
    pub expiry: i64,
    pub tasks: Vec<Task>,
    pub left: Vec<String>,
    pub queue: HashSet<String>,
    /// Final statuses in its events: of the taskset, and of its spec files.
    pub endings: Vec<String>,
    pub task_endings: HashMap<String, Vec<String>>,
    pub events: usize,
    /// Slaves that have ever joined the taskset.
    pub slaves: Vec<SlaveKey>,
    /// Its logs, with their sizes in bytes.
    pub logs: Vec<(String, usize)>,
    /// Workers that have reported that they cannot run it.
    pub given_up: HashSet<String>,
    /// Whether it has a key for the ends of its suites, and whether one of them can still arrive.
    pub has_ends: bool,
    pub awaits_end: bool,
}

impl Taskset {
    /// Whether its record is durable, so that its keys may expire.
    pub(crate) fn is_persisted(&self) -> bool {
        self.expiry >= 0
    }

    /// The spec file of a task of this taskset.
    pub(crate) fn spec_file(task: &Task) -> String {
        let key: Option<TaskKey> = task.key.parse().ok();
        key.map_or_else(|| task.key.clone(), |key| key.spec_file().to_owned())
    }
}
