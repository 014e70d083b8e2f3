//! The event stream of a taskset, and the clock of its entries.
//!
//! Written by the transitions; read by every tool that shows a run, and by rrr-fsck.

use crate::protocol::event::Event;
use crate::protocol::key::TasksetKey;
use crate::store;
use crate::store::Store;

/// The current time by Redis' clock, which also times the events (milliseconds since 1970).
pub(crate) fn clock_ms(connection: &mut redis::Connection) -> redis::RedisResult<i64> {
    let (seconds, micros): (i64, i64) = redis::cmd("TIME").query(connection)?;
    Ok(seconds * 1000 + micros / 1000)
}

/// One entry of the stream: its time and its event.
pub(crate) struct Entry {
    pub unix_ms: i64,
    pub events: Vec<Event>,
}

/// Reads the entries after `after` ([`START`] for all), waiting at most `wait_ms` for more, and
/// advances `after`.
pub(crate) fn read(
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
            let unix_ms = unix_ms(&id);
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

/// Milliseconds from the first event of a taskset to its last; none if it has fewer than two.
pub(crate) fn elapsed_ms(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<Option<u64>> {
    type Ends = (Vec<(String, redis::Value)>, Vec<(String, redis::Value)>);
    let ends: anyhow::Result<Ends> = store.call(|c, _| {
        let mut pipe = redis::pipe();
        for (command, from, to) in [("XRANGE", "-", "+"), ("XREVRANGE", "+", "-")] {
            let stream = taskset.events();
            pipe.cmd(command)
                .arg(stream)
                .arg(from)
                .arg(to)
                .arg("COUNT")
                .arg(1);
        }
        pipe.query(c)
    });
    let Some((first, last)) = store::unless_refused(taskset, ends)? else {
        return Ok(None);
    };
    let at = |ends: Vec<(String, redis::Value)>| ends.first().map(|(id, _)| unix_ms(id));
    Ok(at(first)
        .zip(at(last))
        .and_then(|(from, to)| u64::try_from(to - from).ok())
        .filter(|ms| *ms > 0))
}

/// The time in the id of an entry, in milliseconds since 1970.
fn unix_ms(id: &str) -> i64 {
    id.split('-')
        .next()
        .and_then(|ms| ms.parse().ok())
        .unwrap_or(0)
}

/// The position before the first entry of a stream.
pub(crate) const START: &str = "0-0";
