//! The record of a taskset: everything known about it, from Redis or from the database.
//!
//! [`gather`] (from Redis) and the database build it; rrr-persist and all human-readable formats
//! read it. Its JSON form is the document that `rrr-show` prints: numbers are numbers, `nil` is an
//! absent member, times are written as in the protocol, and output that is not UTF-8 appears a
//! second time, exact, under its name with the suffix `_base64`.

mod expire;
pub(crate) mod fields;
mod gather;
mod source;

pub use crate::archive::document::fields::{Bytes, Field, Other};
pub(crate) use expire::{count_attempt, expire, forget_attempts, is_marked, mark, release};
pub use gather::{Part, gather, open_worker_logs, parts};
pub(crate) use source::{Head, Rest, Source};

use crate::archive::document::fields::entity;
use crate::protocol::example::Example;
use crate::protocol::key::{SlaveKey, TaskKey, TasksetKey, TrialKey};
use crate::protocol::status::{TaskStatus, TasksetStatus, TrialStatus};
use crate::protocol::taskset_field as field;
use serde::{Deserialize, Serialize};

/// The field of a trial that counts the examples missing from its record.
const CUT: &str = "examples_cut";

/// A taskset with everything that belongs to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    pub key: TasksetKey,
    pub taskset: Taskset,
    #[serde(flatten, with = "fields::log")]
    pub log: Bytes,
    pub tasks: Vec<Task>,
    pub slaves: Vec<Slave>,
    pub worker_logs: Vec<WorkerLog>,
}

entity! {
    /// The hash of a taskset.
    Taskset {}
    columns {
        rsync_name: String,
        setup_command: String,
        slave_command: String,
        worker_type: String,
        max_workers: i64,
        max_trials: i64,
        taskset_class: String,
        unknown_spec_timeout_sec: i64,
        least_timeout_sec: i64,
        created_at: String,
        status: String,
        finished_at: String,
        succeeded_count: i64,
        failed_count: i64,
        flaky_count: i64,
        fail_reason: String,
    }
}

entity! {
    /// A task with its trials, oldest first.
    Task {
        key: TaskKey,
        trials: Vec<Trial>,
    }
    columns {
        spec_file: String,
        status: String,
        estimate_sec: i64,
    }
}

entity! {
    /// One execution of a task.
    Trial {
        key: TrialKey,
        /// The spec file's standard output, byte for byte.
        #[serde(flatten, with = "fields::stdout")]
        stdout: Bytes,
        /// The spec file's standard error, byte for byte.
        #[serde(flatten, with = "fields::stderr")]
        stderr: Bytes,
        /// The individual tests, when the runner reports them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        examples: Option<Vec<Example>>,
    }
    columns {
        slave: String,
        started_at: String,
        finished_at: String,
        status: String,
        passed: i64,
        pending: i64,
        failed: i64,
        duration_ms: i64,
        exit_code: i64,
        signal: i64,
        late_status: String,
        /// Why the trial was stopped from outside, if it was.
        stopped: String,
        /// The number of leaked processes, if any.
        leaked: i64,
        /// The folder, on the worker, with the output files to keep.
        outputs: String,
    }
}

entity! {
    /// A process that ran trials.
    Slave {
        key: SlaveKey,
        #[serde(flatten, with = "fields::log")]
        log: Bytes,
    }
    columns {
        status: String,
    }
}

entity! {
    /// The log of one stay of a worker with the taskset, and its times.
    WorkerLog {
        key: String,
        #[serde(flatten, with = "fields::log")]
        log: Bytes,
    }
    columns {
        worker: String,
        started_at: String,
        rsync_finished_at: String,
        setup_finished_at: String,
        finished_at: String,
    }
}

impl Taskset {
    /// The status of the taskset.
    pub(crate) fn status(&self) -> Option<TasksetStatus> {
        self.status.as_deref().and_then(TasksetStatus::parse)
    }

    /// The class whose estimates the taskset reads and updates.
    pub(crate) fn class(&self) -> &str {
        self.taskset_class.as_deref().unwrap_or(field::DEFAULT)
    }
}

impl Task {
    /// The spec file: the field, or the name in the key.
    pub fn spec_file(&self) -> &str {
        let field = self.spec_file.as_deref();
        field.unwrap_or_else(|| self.key.spec_file())
    }

    /// The final status; none until the task has finished.
    pub(crate) fn status(&self) -> Option<TaskStatus> {
        self.status.as_deref().and_then(TaskStatus::parse)
    }
}

impl Trial {
    /// The outcome of the trial; none until it has finished.
    pub(crate) fn status(&self) -> Option<TrialStatus> {
        self.status.as_deref().and_then(TrialStatus::parse)
    }

    /// Whether the trial counts as a pass.
    pub(crate) fn is_good(&self) -> bool {
        matches!(
            self.status(),
            Some(TrialStatus::Passed | TrialStatus::Pending)
        )
    }

    /// The number of examples that are missing from the record.
    pub(crate) fn examples_cut(&self) -> u64 {
        let field = self.other.get(CUT).map(Bytes::text);
        field.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// The trial without its outputs and examples.
    fn outline(&self) -> Self {
        let cut = self.other.get_key_value(CUT);
        Self {
            key: self.key.clone(),
            stdout: Bytes::default(),
            stderr: Bytes::default(),
            examples: None,
            slave: self.slave.clone(),
            started_at: self.started_at.clone(),
            finished_at: self.finished_at.clone(),
            status: self.status.clone(),
            late_status: self.late_status.clone(),
            stopped: self.stopped.clone(),
            outputs: self.outputs.clone(),
            other: cut
                .map(|(k, v)| (k.clone(), v.clone()))
                .into_iter()
                .collect(),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use self::fields::Hash;
    use super::*;

    fn hash(pairs: &[(&str, &[u8])]) -> Hash {
        let pair = |(k, v): &(&str, &[u8])| (k.as_bytes().to_vec(), v.to_vec());
        Hash::new(pairs.iter().map(pair).collect())
    }

    fn trial(pairs: &[(&str, &[u8])]) -> Trial {
        let key = "rrrspec:taskset:a:task:b:trial:c".parse().unwrap();
        let mut hash = hash(pairs);
        let (stdout, stderr) = (hash.bytes("stdout"), hash.bytes("stderr"));
        Trial::read(hash, key, stdout, stderr, None)
    }

    #[test]
    fn json_round_trips_every_byte() {
        let trial = trial(&[
            ("status", b"passed"),
            ("stdout", b"a\xff\x00\x1b[1m"),
            ("stderr", "ü".as_bytes()),
            ("duration_ms", b"17"),
            ("passed", b"007"),
            ("pending", b""),
            ("strange", b"\xfe"),
            ("judged", b"1"),
            ("key", b"of another trial"),
        ]);
        assert_eq!(trial.duration_ms, Some(17));
        assert_eq!(trial.passed, None, "a number must print as it was read");
        let json = serde_json::to_value(&trial).unwrap();
        assert_eq!(json["stderr"], "ü");
        assert_eq!(json["stdout"], "a\u{fffd}\0\u{1b}[1m");
        assert_eq!(json["stdout_base64"], "Yf8AG1sxbQ==");
        assert_eq!(
            (&json["passed_raw"], &json["judged"]),
            (&"007".into(), &"1".into())
        );
        assert_eq!(json["key_raw"], "of another trial");
        assert!(json.get("pending").is_none(), "'' is nil");
        let text = serde_json::to_string(&trial).unwrap();
        assert_eq!(serde_json::from_str::<Trial>(&text).unwrap(), trial);
    }

    #[test]
    fn columns_round_trip_every_field() {
        let trial = trial(&[("status", b"weird"), ("exit_code", b"-1"), ("signal", b"x")]);
        let back = Trial::from_values(
            &mut trial.values().into_iter(),
            trial.other.clone(),
            trial.key.clone(),
            Bytes::default(),
            Bytes::default(),
            None,
        );
        assert_eq!(back, trial);
        assert_eq!(Trial::COLUMNS.len(), trial.values().len());
    }
}
