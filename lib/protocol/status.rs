//! The statuses of tasksets, tasks, trials and slaves.

/// The outcome of a trial; a trial without one has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialStatus {
    Passed,
    Pending,
    Failed,
    Error,
    Timeout,
}

impl TrialStatus {
    /// Returns the status in the form of the protocol.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Pending => "pending",
            Self::Failed => "failed",
            Self::Error => "error",
            Self::Timeout => "timeout",
        }
    }

    /// Parses the field; `None` if it is empty or unknown.
    pub(crate) fn parse(text: &str) -> Option<Self> {
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

/// The final status of a task; without one, the task has not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskStatus {
    Passed,
    Pending,
    Failed,
}

impl TaskStatus {
    /// The value of the task's field.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Pending => "pending",
            Self::Failed => "failed",
        }
    }

    /// Parses the field; absent, empty and unknown values are `None`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "passed" => Some(Self::Passed),
            "pending" => Some(Self::Pending),
            "failed" => Some(Self::Failed),
            _ => None,
        }
    }
}

/// The way in which a slave ended; a slave without one is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlaveStatus {
    NormalExit,
    TimeoutExit,
    FailureExit,
}

impl SlaveStatus {
    /// Returns the status in the form of the protocol.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NormalExit => "normal_exit",
            Self::TimeoutExit => "timeout_exit",
            Self::FailureExit => "failure_exit",
        }
    }
}

/// The status of a taskset; one without a status waits for a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TasksetStatus {
    Running,
    Succeeded,
    Cancelled,
    Failed,
}

impl TasksetStatus {
    /// Parses the field; `None` if it is empty or unknown.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "running" => Some(Self::Running),
            "succeeded" => Some(Self::Succeeded),
            "cancelled" => Some(Self::Cancelled),
            "failed" => Some(Self::Failed),
            _ => None,
        }
    }

    /// Returns the status in the form of the protocol.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// Whether the status can no longer change.
    pub(crate) fn is_final(self) -> bool {
        self != Self::Running
    }

    /// The exit code of a tool that waits for the taskset.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Succeeded => crate::process::exit::OK,
            Self::Cancelled => crate::process::exit::CANCELLED,
            Self::Running | Self::Failed => crate::process::exit::FAILED,
        }
    }
}
