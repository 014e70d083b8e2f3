//! What a monitor wants to know of a whole installation, read at a cost that does not grow with
//! the size of its tasksets.
//!
//! [`look`] reads what stands in Redis now, [`totals`] what rrr-persist has counted of all that
//! ended; [`prometheus`] writes both for a collector, and [`health`] says what should worry.

pub mod health;
mod look;
pub mod prometheus;
pub mod totals;

use serde::Serialize;
use std::collections::BTreeMap;
use totals::Totals;

/// One look at everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stat {
    /// When, by the clock of Redis (RFC 3339).
    pub time: String,
    /// By the queue's name: arbiter, dispatcher, persister, worker (all workers together).
    pub queues: BTreeMap<&'static str, Queue>,
    /// Whether a daemon of this role was at work within the last minute.
    pub roles: BTreeMap<&'static str, bool>,
    pub tasksets: Tasksets,
    pub tasks: Tasks,
    pub trials: Trials,
    /// By worker type.
    pub workers: BTreeMap<String, Workers>,
    /// Workers on the books without a heartbeat.
    pub silent_workers: u64,
    /// Slaves with a heartbeat that work for an active taskset.
    pub slaves: u64,
    pub memory: Memory,
    /// Of all tasksets that were persisted since this Redis began.
    pub totals: Totals,
}

/// A queue of messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Queue {
    pub messages: u64,
    /// Messages that were refused, and stand in the dead list.
    pub dead: u64,
    /// Seconds since the oldest message was sent, where that can be told.
    pub oldest_sec: Option<u64>,
}

/// The active tasksets.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tasksets {
    /// Without a worker so far.
    pub waiting: u64,
    pub running: u64,
    /// Ended, and not persisted yet.
    pub ended: u64,
    /// Active beyond the first thousand: not looked at.
    pub unseen: u64,
    /// Seconds since the oldest that waits was submitted.
    pub oldest_waiting_sec: Option<u64>,
    /// Seconds since the oldest that runs was submitted.
    pub oldest_running_sec: Option<u64>,
    /// The oldest that waits for a worker type of which no worker lives.
    pub stranded: Option<Stranded>,
}

/// A taskset that nobody can run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stranded {
    pub taskset: String,
    pub worker_type: String,
    pub waiting_sec: u64,
}

/// The tasks of the active tasksets.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tasks {
    pub succeeded: u64,
    pub failed: u64,
    /// Without a verdict.
    pub left: u64,
    /// Entries of the task queues: a task may stand there twice.
    pub queued: u64,
}

/// The trials of the active tasksets.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Trials {
    /// Made right now by a slave with a heartbeat.
    pub running: u64,
}

/// The living workers of one type.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Workers {
    pub idle: u64,
    pub busy: u64,
    /// They take no work for a while, because tasksets could not be prepared there.
    pub benched: u64,
    /// Slaves that they run at once when they are busy.
    pub slaves: u64,
}

impl Workers {
    /// All of them.
    pub fn alive(&self) -> u64 {
        self.idle + self.busy + self.benched
    }
}

/// The memory of Redis, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    pub used: u64,
    /// 0: as much as the machine has.
    pub max: u64,
}
