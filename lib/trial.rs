//! Trials: one execution of a task by a slave.

use crate::example::Example;

use crate::key::TrialKey;
use crate::schedule::Running;
use crate::store::{
    KEY_TTL, Refused, Store,
    read::{Text, rows_each},
};

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

/// The `$TRIAL_ID` of a new trial. It need only be new among the trials of one task, and stands in
/// Redis many times.
pub fn fresh_id() -> String {
    let (_, random) = uuid::Uuid::new_v4().as_u64_pair();
    format!("{random:016x}")
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
    /// The examples that its runner told of; empty when it told of none.
    pub examples: Vec<Example>,
    /// How many more examples there were than the runner told of.
    pub examples_cut: u64,
    /// Processes that it left behind, and that were killed.
    pub leaked: u64,
    /// The folder in which it left what is to be kept.
    pub outputs: Option<String>,
}

impl Result {
    /// A result that only says that the test could not be run as it should.
    pub fn error(message: impl Into<Vec<u8>>) -> Self {
        Self {
            status: Status::Error,
            stdout: Vec::new(),
            stderr: message.into(),
            passed: 0,
            pending: 0,
            failed: 0,
            duration_ms: 0,
            exit_code: None,
            signal: None,
            stopped: None,
            examples: Vec::new(),
            examples_cut: 0,
            leaked: 0,
            outputs: None,
        }
    }

    /// Sets the status when nothing is known of single examples: the trial counts as one.
    pub fn set_status_alone(&mut self, status: Status) {
        let count = |wanted| u64::from(status == wanted);
        self.status = status;
        self.passed = count(Status::Passed);
        self.pending = count(Status::Pending);
        self.failed = count(Status::Failed);
    }

    /// Adds a line of ours to what the test wrote on stderr.
    pub fn note(&mut self, note: impl std::fmt::Display) {
        self.append(format!("rrr: {note}\n").as_bytes());
    }

    /// Tells of processes that the test left behind, and that were killed.
    pub fn leave_behind(&mut self, names: &[String]) {
        self.leaked = names.len() as u64;
        if !names.is_empty() {
            let (number, shown) = (names.len(), names[..names.len().min(10)].join(", "));
            self.note(format_args!(
                "killed {number} process(es) that the test left behind: {shown}"
            ));
        }
    }

    /// Adds whole lines to what the test wrote on stderr.
    pub fn append(&mut self, lines: &[u8]) {
        if !lines.is_empty() && self.stderr.last().is_some_and(|last| *last != b'\n') {
            self.stderr.push(b'\n');
        }
        self.stderr.extend_from_slice(lines);
    }
}

/// Those of `trials` that have not finished, with what is known of their tasks.
pub fn unfinished(
    store: &mut Store,
    trials: &[TrialKey],
) -> anyhow::Result<Vec<(TrialKey, Running)>> {
    let mut running = Vec::new();
    for (trial, run) in trials.iter().zip(unfinished_each(store, trials)?) {
        running.extend(run?.map(|run| (trial.clone(), run)));
    }
    Ok(running)
}

/// For each of `trials` the task that is tried, `None` if the trial has finished. Its age is that of the
/// trial's key by Redis' clock, since the clocks of machines differ (C12); another implementation's
/// trial never expires, so that its age is not known here, and 0. One round trip for each 2000.
pub fn unfinished_each(
    store: &mut Store,
    trials: &[TrialKey],
) -> anyhow::Result<Vec<std::result::Result<Option<Running>, Refused>>> {
    type Facts = (Option<Text>, i64, (Option<Text>, Option<Text>), u64);
    let mut running = Vec::with_capacity(trials.len());
    for chunk in trials.chunks(2000) {
        let facts: Vec<std::result::Result<Facts, Refused>> = store.call(|c, _| {
            let mut pipe = redis::pipe();
            for trial in chunk {
                let task = trial.task();
                pipe.cmd("HGET").arg(trial).arg("status");
                pipe.cmd("TTL").arg(trial);
                pipe.cmd("HMGET")
                    .arg(&task)
                    .arg("estimate_sec")
                    .arg("speculated");
                pipe.cmd("LLEN").arg(task.trials());
            }
            rows_each(pipe.ignore_errors().query(c)?, 4)
        })?;
        running.extend(chunk.iter().zip(facts).map(|(trial, facts)| {
            let (status, ttl, (estimate, speculated), trials) = facts?;
            let is_open = status.is_none_or(|status| status.is_empty());
            Ok(is_open.then(|| Running {
                task: trial.task(),
                age: age_sec(ttl),
                estimate_sec: estimate.and_then(|text| text.parse().ok()),
                trials,
                speculated: speculated.is_some(),
            }))
        }));
    }
    Ok(running)
}

/// Whole seconds since a key got its expiry, at least, from the seconds that it has left, which Redis
/// rounds.
fn age_sec(ttl: i64) -> f64 {
    match u64::try_from(ttl) {
        Ok(left) => KEY_TTL.saturating_sub(left.saturating_add(1)) as f64,
        Err(_) => 0.0,
    }
}

/// What a person wants to know of a trial that did not pass.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub stdout: String,
    pub stderr: String,
    pub examples: Vec<Example>,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
}

/// Most bytes of an output that are fetched to show its last lines.
const GLANCE: usize = 256 << 10;

/// Looks at a finished trial; an output longer than a glance is left where it is.
pub fn outcome(store: &mut Store, trial: &TrialKey) -> anyhow::Result<Outcome> {
    type Fields = (Option<Vec<u8>>, Option<Text>, Option<Text>);
    let ((out_length, err_length), (examples, exit_code, signal)): ((usize, usize), Fields) = store
        .call(|c, _| {
            let mut pipe = redis::pipe();
            pipe.cmd("HSTRLEN").arg(trial).arg("stdout");
            pipe.cmd("HSTRLEN").arg(trial).arg("stderr");
            pipe.cmd("HMGET")
                .arg(trial)
                .arg(&["examples", "exit_code", "signal"]);
            let (out, err, fields): (usize, usize, Fields) = pipe.query(c)?;
            Ok(((out, err), fields))
        })?;
    let mut text = |field: &str, length: usize| -> anyhow::Result<String> {
        if length > GLANCE {
            return Ok(format!("({length} bytes of {field})"));
        }
        let bytes: Option<Vec<u8>> =
            store.call(|c, _| redis::cmd("HGET").arg(trial).arg(field).query(c))?;
        Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
    };
    let number = |field: Option<Text>| field.and_then(|text| text.parse().ok());
    Ok(Outcome {
        stdout: text("stdout", out_length)?,
        stderr: text("stderr", err_length)?,
        examples: serde_json::from_slice(&examples.unwrap_or_default()).unwrap_or_default(),
        exit_code: number(exit_code),
        signal: number(signal),
    })
}

/// When a trial that has not finished began, in the protocol's format ('' if that is not known);
/// `None` for one that has.
pub fn running_since(store: &mut Store, trial: &TrialKey) -> anyhow::Result<Option<String>> {
    let (started, status): (Option<Text>, Option<Text>) = store.call(|c, _| {
        redis::cmd("HMGET")
            .arg(trial)
            .arg(&["started_at", "status"])
            .query(c)
    })?;
    let finished = status.is_some_and(|status| !status.is_empty());
    Ok((!finished).then(|| started.unwrap_or_default().into()))
}
