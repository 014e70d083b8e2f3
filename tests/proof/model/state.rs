//! The state of the model: the keys of one taskset in Redis, and the memories of the processes.

use super::list::List;

/// Maximum number of tasks. A configuration may use fewer.
pub const TASKS: usize = 3;
/// Two slaves that run from the beginning, each on its own worker, and one that replaces dead ones.
pub const SLAVES: usize = 3;
/// Trials of the slaves that may be stopped from outside in addition to `max_trials`. Smaller than in
/// the product, so that the bound is reached.
pub const STOPPED_ALLOWANCE: u8 = 1;

/// The status of a trial or task; `Open` is the protocol's nil.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Status {
    #[default]
    Open,
    Passed,
    Failed,
    Error,
}

/// The status of the taskset.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Verdict {
    #[default]
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

/// The key of a trial: its task, its slave, and the number of the slave's call that reserved it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Key {
    pub task: u8,
    pub slave: u8,
    pub call: u8,
}

/// The hash of a trial.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Trial {
    pub slave: u8,
    pub call: u8,
    pub status: Status,
    /// Whether it has a started_at.
    pub begun: bool,
    pub stopped: bool,
    pub judged: bool,
    /// Whether it has a duration_ms.
    pub timed: bool,
}

/// The hash of a task, with its list of trials.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Task {
    pub status: Status,
    pub queued: bool,
    /// Whether the field `trials` is set: there was a second trial.
    pub many: bool,
    pub speculated: bool,
    pub trials: List<Trial, 5>,
}

/// The keys of a slave.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Slave {
    /// Whether it is in the taskset's list.
    pub listed: bool,
    pub beats: bool,
    /// Whether it has a status.
    pub ended: bool,
    pub trials: List<Key, 6>,
}

/// A message in the arbiter's queue.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Message {
    #[default]
    Junk,
    Trial(Key),
    Check,
    Cancel,
}

/// The keys of the taskset in Redis.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Redis {
    pub verdict: Verdict,
    pub succeeded: u8,
    pub failed: u8,
    pub flaky: u8,
    pub active: bool,
    /// How often the taskset was handed to the persister.
    pub handed_over: u8,
    pub receipts: u8,
    /// Whether the record is durable: the hash has an expiry.
    pub persisted: bool,
    /// tasks_left, a bit for each task.
    pub left: u8,
    pub queue: List<u8, 6>,
    pub tasks: [Task; TASKS],
    pub slaves: [Slave; SLAVES],
    pub inbox: List<Message, 8>,
    pub buried: u8,
}

/// A call of a slave, which may be lost, repeated or delayed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Call {
    Join,
    Reserve {
        call: u8,
    },
    /// The results of the batch, and the number of the next reservation.
    Finish {
        batch: List<Key, 2>,
        passed: [bool; 2],
        next: u8,
    },
    /// The running trial of a slow batch, and the rest, which has not begun.
    Release {
        running: Key,
        rest: List<Key, 2>,
    },
    Exit,
}

/// What a slave's process does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Phase {
    /// Not started.
    #[default]
    Off,
    Joining,
    Idle,
    Working,
    /// A slave that knows only PROTOCOL.txt: it has popped this task.
    Popped(u8),
    /// It has written the trial's status, and will notify the arbiter.
    Recorded(Key),
    /// Its process is gone, and its worker has not noticed yet. The trial that it began last.
    Killed(Option<Key>),
    Gone,
}

/// The memory of a slave's process, and its calls on the way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Process {
    pub phase: Phase,
    pub batch: List<Key, 2>,
    /// The trials of the batch that it has begun.
    pub begun: u8,
    /// A call whose reply was lost: it will be repeated.
    pub pending: Option<Call>,
    /// A copy of a call that is still on its way, and will arrive at any time.
    pub delayed: Option<Call>,
}

/// The faults that may still happen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Budget {
    pub kills: u8,
    pub false_deaths: u8,
    pub lost_replies: u8,
    pub delays: u8,
    pub cancels: u8,
    pub malformed: u8,
    pub duplicates: u8,
    pub lost_lists: u8,
    pub crashes: u8,
}

/// A rule about steps.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Rule {
    /// I7: a final status never changes.
    FinalStatusChanged,
    /// C5: the status of a trial never changes once it has one.
    TrialStatusChanged,
    /// A recorded pass was judged failed.
    PassJudgedFailed,
    /// C6: a slave that was never silent was declared dead.
    LivingSlaveReaped,
    /// I9: something was written after the record was durable.
    WrittenAfterPersisted,
}

/// A state of the model.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct State {
    pub tasks: u8,
    pub redis: Redis,
    pub processes: [Process; SLAVES],
    pub budget: Budget,
    /// Tasks that an arbiter has seen neither queued nor running, a bit for each. It acts on that at any
    /// later time.
    pub suspects: u8,
    /// A cancel request that was accepted and not handled yet.
    pub owed_cancel: bool,
    /// A copy of a task was queued by another program.
    pub foreign_copy: bool,
    /// tasks_left was lost.
    pub lost_list: bool,
    /// A slave whose heartbeat may have stopped though it lives.
    pub silent: u8,
    /// The first rule about a step, as opposed to a state, that was broken.
    pub broken: Option<Rule>,
    /// A list was full: the state is out of the model's bounds.
    pub overflow: bool,
}

impl Redis {
    /// The trial of a key.
    pub fn trial(&self, key: Key) -> Option<&Trial> {
        let trials = &self.tasks[key.task as usize].trials;
        trials
            .iter()
            .find(|trial| trial.slave == key.slave && trial.call == key.call)
    }

    pub fn trial_mut(&mut self, key: Key) -> Option<&mut Trial> {
        let trials = &mut self.tasks[key.task as usize].trials;
        trials
            .iter_mut()
            .find(|trial| trial.slave == key.slave && trial.call == key.call)
    }

    pub fn is_open(&self) -> bool {
        self.verdict == Verdict::Running
    }
}
