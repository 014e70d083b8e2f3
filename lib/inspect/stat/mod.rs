//! The state of a whole installation for monitoring, read at a cost that does not grow with the
//! size of its tasksets.
//!
//! [`collect`] reads the current state of Redis, [`totals`] the counters that rrr-persist keeps over
//! all finished tasksets; [`prometheus`] writes both for a collector, and [`health`] finds
//! problems.

mod collect;
pub(crate) mod health;
pub(crate) mod prometheus;

use crate::archive::totals::Totals;
use serde::Serialize;
use std::collections::BTreeMap;

/// A snapshot of everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Stat {
    /// The time of the snapshot, by the clock of Redis (RFC 3339).
    pub time: String,
    /// By the queue's name: arbiter, dispatcher, persister, worker (all workers together).
    pub queues: BTreeMap<&'static str, Queue>,
    /// Whether a daemon of this role has run within the last minute.
    pub roles: BTreeMap<&'static str, bool>,
    /// Whether a role that seems to be missing is filled by another implementation.
    pub foreign: bool,
    /// Which roles those are.
    #[serde(skip)]
    pub foreign_roles: Vec<&'static str>,
    pub tasksets: Tasksets,
    pub tasks: Tasks,
    pub trials: Trials,
    /// By worker type.
    pub workers: BTreeMap<String, Workers>,
    /// Registered workers without a heartbeat.
    pub silent_workers: u64,
    /// Slaves with a heartbeat that work for an active taskset.
    pub slaves: u64,
    pub memory: Memory,
    /// Counters over all tasksets persisted since this Redis was set up.
    pub totals: Totals,
}

/// A queue of messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Queue {
    pub messages: u64,
    /// Messages that were refused and moved to the dead list.
    pub dead: u64,
    /// Seconds since the oldest message was sent, where known.
    pub oldest_sec: Option<u64>,
}

/// The active tasksets.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Tasksets {
    /// Without a worker so far.
    pub waiting: u64,
    pub running: u64,
    /// Finished, but not persisted yet.
    pub ended: u64,
    /// Active beyond the first thousand: not examined.
    pub unseen: u64,
    /// Seconds since the oldest waiting taskset was submitted.
    pub oldest_waiting_sec: Option<u64>,
    /// Seconds since the oldest running taskset was submitted.
    pub oldest_running_sec: Option<u64>,
    /// The oldest taskset that waits for a worker type without live workers.
    pub stranded: Option<Stranded>,
}

/// A taskset that no worker can run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Stranded {
    pub taskset: String,
    pub worker_type: String,
    pub waiting_sec: u64,
}

/// The tasks of the active tasksets.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Tasks {
    pub succeeded: u64,
    pub failed: u64,
    /// Without a verdict.
    pub left: u64,
    /// Entries of the task queues: a task may be queued twice.
    pub queued: u64,
}

/// The trials of the active tasksets.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Trials {
    /// Running on a slave with a heartbeat.
    pub running: u64,
}

/// The live workers of one type.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Workers {
    pub idle: u64,
    pub busy: u64,
    /// Workers that take no work for a while, because tasksets could not be prepared there.
    pub benched: u64,
    /// Slaves that they run at once when busy.
    pub slaves: u64,
}

impl Workers {}

/// The memory of Redis, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Memory {
    pub used: u64,
    /// 0: as much as the machine has.
    pub max: u64,
}
