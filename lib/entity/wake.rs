//! The wake stream of a taskset: hints that its slaves and workers need not wait any longer.
//!
//! Written by the transitions; read by rrr-slave and rrr-worker.

use crate::protocol::key::TasksetKey;
use crate::store::Store;
use crate::store::read::Text;

/// What the wake stream tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Something was put in the queue.
    Work,
    /// This task has its verdict: other copies may stop.
    Stop(String),
    /// No task is left: what comes after the last may be done.
    End,
    /// The taskset is over, with this status.
    Over(String),
}

/// Reads the wake stream behind `after`, waiting at most `wait_ms`; moves `after` on. A taskset
/// that has gone from Redis is over.
pub fn wakes(
    store: &mut Store,
    taskset: &TasksetKey,
    after: &mut String,
    wait_ms: u64,
) -> anyhow::Result<Vec<Wake>> {
    type Streams = Option<Vec<(String, Vec<(String, Vec<Text>)>)>>;
    let (status, streams): (Option<Text>, Streams) = store.call(|c, _| {
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
    // Another implementation's arbiter writes no wake stream.
    if status.as_deref() != Some("running") {
        wakes.push(Wake::Over(
            status.map_or_else(|| "gone".into(), String::from),
        ));
    }
    Ok(wakes)
}
