//! Events of a taskset, as JSON objects, one per line.
//!
//! The transitions write them into the stream `…:events`, whose entry ids are the times (by the
//! clock of Redis, the only one that all roles share). Every tool that shows a run reads them, and
//! so does rrr-fsck.

use crate::key::TasksetKey;
use crate::plain::harmless_json;
use crate::{out, time};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The names and fields of the events; scripts outside the project rely on them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
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
    TasksetFinished {
        status: String,
        tasks: u64,
        succeeded: u64,
        failed: u64,
        flaky: u64,
        #[serde(default)]
        fail_reason: Option<String>,
    },
}

impl Event {
    /// The form in the stream: a JSON object whose first field is `event`.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("serializing strings and numbers cannot fail")
    }
}

/// One line: `time`, `event` and `taskset` first, then the event's own fields.
pub fn line(unix_ms: i64, taskset: &str, event: &Event) -> String {
    stamped(unix_ms, taskset, &event.json())
}

/// The line of an event that was serialized by [`Event::json`].
pub fn stamped(unix_ms: i64, taskset: &str, json: &str) -> String {
    let name = json.strip_prefix(r#"{"event":""#).unwrap_or_default();
    let (name, fields) = name.split_once('"').unwrap_or_default();
    let time = time::rfc3339(unix_ms);
    let taskset = Value::from(taskset);
    harmless_json(format!(
        r#"{{"time":"{time}","event":"{name}","taskset":{taskset}{fields}"#
    ))
}

/// Prints an event that a transition has just emitted; other text is ignored.
pub fn print(taskset: &str, json: &str) {
    if let Ok(event) = serde_json::from_str(json) {
        out::line(&line(time::unix_ms(), taskset, &event));
    }
}

/// The current time by the clock of the events, which is that of Redis (milliseconds since 1970).
pub fn clock_ms(connection: &mut redis::Connection) -> redis::RedisResult<i64> {
    let (seconds, micros): (i64, i64) = redis::cmd("TIME").query(connection)?;
    Ok(seconds * 1000 + micros / 1000)
}

/// One entry of the stream: its time and its event.
pub struct Entry {
    pub unix_ms: i64,
    pub events: Vec<Event>,
}

/// The position before the first entry of a stream.
pub const START: &str = "0-0";

/// Reads the entries after `after` ([`START`] for all), waiting at most `wait_ms` for more, and
/// advances `after`.
pub fn read(
    connection: &mut redis::Connection,
    taskset: &TasksetKey,
    after: &mut String,
    wait_ms: usize,
) -> redis::RedisResult<Vec<Entry>> {
    type Streams = Option<Vec<(String, Vec<(String, Vec<Vec<u8>>)>)>>;
    let streams: Streams = redis::cmd("XREAD")
        .arg("COUNT")
        .arg(1000)
        .arg("BLOCK")
        .arg(wait_ms)
        .arg("STREAMS")
        .arg(taskset.events())
        .arg(after.as_str())
        .query(connection)?;
    let mut entries = Vec::new();
    for (_, found) in streams.unwrap_or_default() {
        for (id, fields) in found {
            let unix_ms = id
                .split('-')
                .next()
                .and_then(|ms| ms.parse().ok())
                .unwrap_or(0);
            let events = fields
                .chunks(2)
                .filter_map(|pair| {
                    serde_json::from_str(&String::from_utf8_lossy(pair.get(1)?)).ok()
                })
                .collect();
            entries.push(Entry { unix_ms, events });
            *after = id;
        }
    }
    Ok(entries)
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
            r#""status":"succeeded","tasks":1,"succeeded":1,"failed":0,"flaky":0,"fail_reason":null}"#
        ));
    }
}
