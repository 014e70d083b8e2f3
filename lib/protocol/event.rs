//! Events of a taskset, as JSON objects, one per line.
//!
//! The transitions write them into the stream `…:events`, whose entry ids are the times (by the
//! clock of Redis, the only one that all roles share). Every tool that shows a run reads them, and
//! so does rrr-fsck.

use crate::process::text::harmless_json;
use crate::protocol::time;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The names and fields of the events; scripts outside the project rely on them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    TasksetSubmitted {
        tasks: u64,
    },
    TasksetRunning,
    WorkerJoined {
        worker: String,
    },
    TrialStarted {
        task: String,
        spec_file: String,
        trial: String,
        slave: String,
        #[serde(default)]
        attempt: u64,
    },
    TrialFinished {
        task: String,
        spec_file: String,
        trial: String,
        slave: String,
        status: String,
        #[serde(default)]
        duration_ms: Option<u64>,
        #[serde(default)]
        passed: Option<u64>,
        #[serde(default)]
        pending: Option<u64>,
        #[serde(default)]
        failed: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stopped: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The number of leaked processes, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        leaked: Option<u64>,
        /// The folder with the output files that the test kept, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outputs: Option<String>,
    },
    TaskRequeued {
        spec_file: String,
        reason: String,
    },
    TaskSpeculated {
        spec_file: String,
    },
    TaskFinished {
        spec_file: String,
        status: String,
        trials: u64,
        flaky: bool,
    },
    RetryBudgetSpent {
        budget: u64,
    },
    TasksetFinished {
        status: String,
        tasks: u64,
        succeeded: u64,
        failed: u64,
        /// The number of tasks without a verdict.
        #[serde(default)]
        not_run: u64,
        flaky: u64,
        #[serde(default)]
        fail_reason: Option<String>,
    },
}

impl Event {
    /// The form in the stream: a JSON object whose first field is `event`.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("serializing strings and numbers cannot fail")
    }
}

/// One line: `time`, `event` and `taskset` first, then the event's own fields.
pub(crate) fn line(unix_ms: i64, taskset: &str, event: &Event) -> String {
    stamped(unix_ms, taskset, &event.json())
}

/// The line of an event that was serialized by [`Event::json`].
pub(crate) fn stamped(unix_ms: i64, taskset: &str, json: &str) -> String {
    let name = json.strip_prefix(r#"{"event":""#).unwrap_or_default();
    let (name, fields) = name.split_once('"').unwrap_or_default();
    let time = time::rfc3339(unix_ms);
    let taskset = Value::from(taskset);
    harmless_json(format!(
        r#"{{"time":"{time}","event":"{name}","taskset":{taskset}{fields}"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_starts_with_time_event_and_taskset() {
        let event: Event =
            serde_json::from_str(r#"{"tasks":2,"event":"taskset_submitted"}"#).unwrap();
        assert_eq!(
            line(0, "rrrspec:taskset:a", &event),
            r#"{"time":"1970-01-01T00:00:00.000Z","event":"taskset_submitted","taskset":"rrrspec:taskset:a","tasks":2}"#
        );
    }

    #[test]
    fn a_receipt_has_all_its_fields_even_without_a_reason() {
        let event: Event = serde_json::from_str(
            r#"{"event":"taskset_finished","status":"succeeded","tasks":1,"succeeded":1,"failed":0,"flaky":0}"#,
        )
        .unwrap();
        assert!(line(0, "t", &event).ends_with(
            r#""status":"succeeded","tasks":1,"succeeded":1,"failed":0,"not_run":0,"flaky":0,"fail_reason":null}"#
        ));
    }
}
