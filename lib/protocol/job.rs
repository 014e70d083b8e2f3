//! A reserved trial, as a slave receives it.

use crate::protocol::key::TrialKey;

/// A task to run now.
#[derive(Clone, Debug)]
pub struct Job {
    pub trial: TrialKey,
    pub spec_file: String,
    pub estimate_sec: Option<u64>,
    /// 1 for the task's first trial.
    pub attempt: u64,
    /// Whether Redis knows that the trial has begun.
    pub begun: bool,
}
