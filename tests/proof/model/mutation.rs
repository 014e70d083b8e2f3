//! Faults seeded into the model: those of the original implementation. A model that finds none of
//! them proves nothing.

/// A fault of FAULTS: what the scripts guarantee against it is left out of the model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutation {
    /// F1: the end of the run is judged by tasks_left alone.
    LostListSucceeds,
    /// F2: a run without tasks has no failures, so it succeeds.
    NoTasksSucceed,
    /// L1: a slave may not retry a task that it has failed, even if no other slave is alive.
    RetryNeedsAnotherSlave,
    /// L2: a copy of a finished task is put back into the queue, and only a check ends the run.
    FinishedCopiesStay,
    /// Q1: a request is popped before it is carried out, and the arbiter dies between the two.
    PoppedBeforeEffect,
    /// Q2: a task is popped before its trial is created, and the slave dies between the two.
    PoppedBeforeTrial,
    /// Q3: a result is recorded, and the slave dies before it notifies the arbiter.
    RecordedWithoutMessage,
    /// C2: a verdict is counted, and the arbiter dies before the task has its status.
    CountedBeforeStatus,
    /// C3: two arbiters judge the same trial.
    VerdictUnguarded,
    /// C5: a late result overwrites the status that a dead slave's trial was given.
    LateResultOverwrites,
    /// C6: a slave joins without a heartbeat.
    JoinWithoutHeartbeat,
    /// C7: a failed trial requeues its task whenever it is announced.
    RequeuedAgain,
    /// C8: a task is speculated any number of times.
    SpeculatedAgain,
    /// C11: a check hands a finished taskset to the persister again.
    HandedOverAgain,
    /// K1: a message about a finished taskset is judged.
    JudgedAfterTheEnd,
    /// K2: a late call writes to a taskset whose record is durable.
    WrittenAfterPersisted,
}

impl Mutation {
    pub const ALL: [Self; 16] = [
        Self::LostListSucceeds,
        Self::NoTasksSucceed,
        Self::RetryNeedsAnotherSlave,
        Self::FinishedCopiesStay,
        Self::PoppedBeforeEffect,
        Self::PoppedBeforeTrial,
        Self::RecordedWithoutMessage,
        Self::CountedBeforeStatus,
        Self::VerdictUnguarded,
        Self::LateResultOverwrites,
        Self::JoinWithoutHeartbeat,
        Self::RequeuedAgain,
        Self::SpeculatedAgain,
        Self::HandedOverAgain,
        Self::JudgedAfterTheEnd,
        Self::WrittenAfterPersisted,
    ];
}
