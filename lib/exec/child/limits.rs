//! The limits of one run of a command.

use std::time::Duration;

/// The limits of one run.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Time until the child is asked to end (SIGTERM).
    pub soft: Duration,
    /// Time until the child is killed.
    pub hard: Duration,
    /// Time from a stop request (SIGTERM) until the child is killed.
    pub grace: Duration,
    /// Bytes kept of stdout and of stderr.
    pub capture: usize,
    /// Maximum private memory of each process, in bytes.
    pub memory: Option<u64>,
    /// The fate of processes that the child leaves behind.
    pub leftovers: Leftovers,
}

/// The fate of processes that a child leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leftovers {
    /// Killed before the run counts as done.
    Kill,
    /// Left running under a guardian, for the caller to end.
    Keep,
}
