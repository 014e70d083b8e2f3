//! Signs that another implementation fills a role: its daemons leave no key of ours, but neither do
//! their effects.

use crate::protocol::event::Event;
use crate::protocol::key::TasksetKey;
use crate::store::Store;
use crate::store::error::Refused;
use crate::store::read::{Text, rows_each};

/// Maximum number of tasksets examined.
const TASKSETS: usize = 20;
/// Maximum number of events read per taskset. A longer stream proves nothing.
const EVENTS: usize = 1000;

/// A taskset that somebody works on, or has.
pub(super) struct Sample {
    pub taskset: TasksetKey,
    /// Tasks that have a verdict.
    pub judged: u64,
    pub is_running: bool,
    /// Whether a dispatcher of ours has given it to a worker.
    pub is_given: bool,
}

/// The roles that another implementation must have filled for these tasksets to be as they are.
pub(super) fn roles(store: &mut Store, samples: &[Sample]) -> anyhow::Result<Vec<&'static str>> {
    let mut roles = Vec::new();
    if judged_without_event(store, samples)? {
        roles.push("arbiter");
    }
    let is_foreign = |one: &Sample| one.is_running && !one.is_given;
    if samples.iter().any(is_foreign) {
        roles.push("dispatch");
    }
    Ok(roles)
}

/// Whether one of these has a verdict of a task that no event tells: an arbiter of ours writes both in one
/// step.
fn judged_without_event(store: &mut Store, samples: &[Sample]) -> anyhow::Result<bool> {
    type Entries = Vec<(Text, Vec<Text>)>;
    let judged = samples.iter().filter(|one| one.judged > 0);
    let judged: Vec<&Sample> = judged.take(TASKSETS).collect();
    if judged.is_empty() {
        return Ok(false);
    }
    let streams: Vec<Result<(Entries,), Refused>> = store.call(|c, _| {
        let mut pipe = redis::pipe();
        for one in &judged {
            let stream = one.taskset.events();
            pipe.cmd("XRANGE").arg(stream).arg("-").arg("+");
            pipe.arg("COUNT").arg(EVENTS);
        }
        rows_each(pipe.ignore_errors().query(c)?, 1)
    })?;
    Ok(streams.into_iter().flatten().any(|(entries,)| {
        let is_whole = entries.len() < EVENTS;
        let mut texts = entries.iter().flat_map(|(_, fields)| fields.iter());
        is_whole && !texts.any(|text| is_verdict(text))
    }))
}

fn is_verdict(text: &str) -> bool {
    let event = serde_json::from_str(text);
    matches!(event, Ok(Event::TaskFinished { .. }))
}
