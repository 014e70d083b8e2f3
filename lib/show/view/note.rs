//! The noteworthy changes of a run, for people watching, and the facts behind them.

/// A noteworthy change, for people watching.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Note {
    Submitted,
    Passed { spec_file: String },
    WorkerJoined(String),
    Retry { spec_file: String, reason: String },
    Copy { spec_file: String },
    Flaky { spec_file: String, trials: u64 },
    BudgetSpent { budget: u64 },
    Failed(Failed),
    Ended,
}

/// A task whose verdict is failed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failed {
    pub spec_file: String,
    /// The key of its last trial, if one was seen.
    pub trial: Option<String>,
    pub status: String,
    pub trials: u64,
}

/// Leftovers of the last trial of a task on its machine.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Remains {
    /// Number of processes, which were killed.
    pub leaked: u64,
    /// The folder of its output files, which are kept.
    pub outputs: Option<String>,
}

impl Remains {
    /// Returns `None` if nothing was left.
    pub(crate) fn of(leaked: u64, outputs: Option<&str>) -> Option<Self> {
        (leaked > 0 || outputs.is_some()).then(|| Self {
            leaked,
            outputs: outputs.map(str::to_owned),
        })
    }
}

/// A running trial.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Running {
    pub spec_file: String,
    /// The worker and the number of its slave: `host/1`.
    pub place: String,
    pub started_ms: i64,
    /// 1 for the task's first trial.
    pub attempt: u64,
    /// Whether another slave is still running the same task.
    pub copy: bool,
}

/// The end of the run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ended {
    pub status: String,
    pub tasks: u64,
    pub fail_reason: Option<String>,
    pub unix_ms: i64,
}
