//! Signs that another implementation fills a role: results that our daemons would have recorded
//! in another way.

use crate::protocol::event::Event;
use crate::protocol::key::TasksetKey;
use crate::store::Store;
use crate::store::error::Refused;
use crate::store::read::{Text, rows_each};

/// Maximum number of tasksets examined.
const TASKSETS: usize = 20;
/// Maximum number of events read per taskset. A longer stream proves nothing.
const EVENTS: usize = 1000;

/// The facts about an active taskset.
pub(crate) struct Sample {
    pub taskset: TasksetKey,
    /// Tasks that have a verdict.
    pub judged: u64,
    pub is_running: bool,
    /// Whether rrr-dispatch has given it to a worker.
    pub is_given: bool,
}

/// The roles that another implementation must have filled for these tasksets to be as they are.
pub(crate) fn roles(store: &mut Store, samples: &[Sample]) -> anyhow::Result<Vec<&'static str>> {
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

/// Whether a task has a verdict without an event: rrr-arbiter writes both in one step.
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
