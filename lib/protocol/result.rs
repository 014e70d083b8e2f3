//! The result of a trial.

use crate::protocol::example::Example;
use crate::protocol::status::TrialStatus;

/// The result of a trial, as its slave reports it.
#[derive(Clone, Debug)]
pub struct TrialResult {
    pub status: TrialStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub passed: u64,
    pub pending: u64,
    pub failed: u64,
    pub duration_ms: u64,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    /// Why the trial was stopped from outside, if it was; its result then says nothing about the test.
    pub stopped: Option<String>,
    /// Whether the runner says that another trial would bring nothing else.
    pub is_final: bool,
    /// The examples that the runner reported, if any.
    pub examples: Vec<Example>,
    /// The number of examples that the runner counted but did not list.
    pub examples_cut: u64,
    /// The number of processes that the test left behind and that were killed.
    pub leaked: u64,
    /// The folder with the files that the test left to be kept.
    pub outputs: Option<String>,
}

impl TrialResult {
    /// Returns the result of a test that could not be run properly.
    pub fn error(message: impl Into<Vec<u8>>) -> Self {
        Self {
            status: TrialStatus::Error,
            stdout: Vec::new(),
            stderr: message.into(),
            passed: 0,
            pending: 0,
            failed: 0,
            duration_ms: 0,
            exit_code: None,
            signal: None,
            stopped: None,
            is_final: false,
            examples: Vec::new(),
            examples_cut: 0,
            leaked: 0,
            outputs: None,
        }
    }

    /// Sets the status when single examples are unknown: the trial counts as one.
    pub fn set_status_alone(&mut self, status: TrialStatus) {
        let count = |wanted| u64::from(status == wanted);
        self.status = status;
        self.passed = count(TrialStatus::Passed);
        self.pending = count(TrialStatus::Pending);
        self.failed = count(TrialStatus::Failed);
    }

    /// Adds a message of rrr to the test's stderr.
    pub(crate) fn note(&mut self, note: impl std::fmt::Display) {
        self.append(format!("rrr: {note}\n").as_bytes());
    }

    /// Records the processes that the test left behind and that were killed.
    pub(crate) fn leave_behind(&mut self, names: &[String]) {
        self.leaked = names.len() as u64;
        if !names.is_empty() {
            let (number, shown) = (names.len(), names[..names.len().min(10)].join(", "));
            self.note(format_args!(
                "killed {number} process(es) that the test left behind: {shown}"
            ));
        }
    }

    /// Adds complete lines to the test's stderr.
    pub(crate) fn append(&mut self, lines: &[u8]) {
        if !lines.is_empty() && self.stderr.last().is_some_and(|last| *last != b'\n') {
            self.stderr.push(b'\n');
        }
        self.stderr.extend_from_slice(lines);
    }
}

/// The outcome of a suite's end in one slave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SuiteEnd {
    Good,
    /// The reason why the end fails the suite.
    Bad(String),
    /// The reason why the end was interrupted.
    BrokenOff(String),
}
