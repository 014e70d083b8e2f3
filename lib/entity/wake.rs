//! The wake stream of a taskset: hints that end a wait of its slaves and workers early.
//!
//! Written by the transitions; read by rrr-slave and rrr-worker.

use crate::protocol::key::TasksetKey;
use crate::store::Store;
use crate::store::read::Text;
use std::time::Duration;

/// A hint in the wake stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// A task was queued.
    Work,
    /// This task has its verdict: other copies may stop.
    Stop(String),
    /// No task is left: runners may end.
    End,
    /// The taskset is finished, with this status.
    Over(String),
}

/// Reads the wake stream after `after`, waiting at most `wait_ms`, and advances `after`. A taskset
/// that is no longer in Redis counts as finished.
pub fn wakes(
    store: &mut Store,
    taskset: &TasksetKey,
    after: &mut String,
    wait_ms: u64,
) -> anyhow::Result<Vec<Wake>> {
    type Streams = Option<Vec<(String, Vec<(String, Vec<Text>)>)>>;
    let (status, streams): (Option<Text>, Streams) =
        store.blocking_call(Duration::from_millis(wait_ms), |c, _| {
            redis::pipe()
                .cmd("HGET")
                .arg(taskset)
                .arg("status")
                .cmd("XREAD")
                .arg("BLOCK")
                .arg(wait_ms)
                .arg("STREAMS")
                .arg(taskset.wake())
                .arg(after.as_str())
                .query(c)
        })?;
    let mut wakes = Vec::new();
    for (_, entries) in streams.unwrap_or_default() {
        for (id, fields) in entries {
            *after = id;
            let about = fields.get(1).cloned().unwrap_or_default().into();
            match fields.first().map(|verb| &**verb) {
                Some("work") => wakes.push(Wake::Work),
                Some("stop") => wakes.push(Wake::Stop(about)),
                Some("end") => wakes.push(Wake::End),
                Some("over") => wakes.push(Wake::Over(about)),
                _ => {}
            }
        }
    }
    // An arbiter of another implementation writes no wake stream.
    if status.as_deref() != Some("running") {
        wakes.push(Wake::Over(
            status.map_or_else(|| "gone".into(), String::from),
        ));
    }
    Ok(wakes)
}
