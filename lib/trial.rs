//! Trials: one execution of a task by a slave.

/// How a trial ended; none at all means that it has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Passed,
    Pending,
    Failed,
    Error,
    Timeout,
}

impl Status {
    /// As the protocol writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Pending => "pending",
            Self::Failed => "failed",
            Self::Error => "error",
            Self::Timeout => "timeout",
        }
    }

    /// Reads the field; absent, empty and unknown are `None`.
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Passed,
            Self::Pending,
            Self::Failed,
            Self::Error,
            Self::Timeout,
        ]
        .into_iter()
        .find(|status| status.as_str() == text)
    }
}

/// What a slave has to say of a trial it made.
#[derive(Clone, Debug)]
pub struct Result {
    pub status: Status,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub passed: u64,
    pub pending: u64,
    pub failed: u64,
    pub duration_ms: u64,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    /// Why it was stopped from outside, if it was: then it says nothing about the test.
    pub stopped: Option<String>,
}
