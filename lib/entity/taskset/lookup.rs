//! Finds the taskset in Redis that a person means.

use super::{active, unpersisted};
use crate::process::exit;
use crate::protocol::key::{self, TasksetKey};
use crate::protocol::taskset_field as field;
use crate::protocol::taskset_ref::{Possible, TasksetRef};
use crate::protocol::time;
use crate::store;
use crate::store::Store;
use crate::store::error::Refused;
use crate::store::read::{self, Text};

/// The key that is meant; see [`TasksetRef::settle`].
pub(crate) fn find(store: &mut Store, wanted: &TasksetRef) -> anyhow::Result<TasksetKey> {
    if let Some(key) = wanted.complete() {
        return Ok(key.clone());
    }
    let found = wanted.settle(possible(store, wanted)?)?;
    found.ok_or_else(|| {
        exit::usage(format!("no taskset in Redis is '{wanted}'"))
            .hint("rrr-list tasksets lists the tasksets in Redis")
            .into()
    })
}

/// The tasksets in Redis that may be meant, oldest first: those that are active or wait to be
/// persisted, and the one with this very key. Takes two round trips.
pub(crate) fn possible(store: &mut Store, wanted: &TasksetRef) -> anyhow::Result<Vec<Possible>> {
    let unpersisted = unpersisted(store);
    // The user of this tool may lack the right to read it.
    let unpersisted = store::unless_refused(key::persister_queue(), unpersisted)?;
    let mut keys = unpersisted.unwrap_or_default();
    keys.extend(active(store)?);
    if let TasksetRef::Named(named) = wanted {
        keys.retain(|key| key != named && key.as_str().starts_with(named.as_str()));
        keys.push(named.clone());
    }
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    type Row = ([Option<Text>; 2],);
    let rows: Vec<Result<Row, Refused>> = store.call(|c, _| {
        let mut pipe = redis::pipe();
        for key in &keys {
            let fields = [field::CREATED_AT, field::STATUS];
            pipe.cmd("HMGET").arg(key).arg(&fields);
        }
        read::rows_each(pipe.ignore_errors().query(c)?, 1)
    })?;
    let mut found = Vec::new();
    for (key, row) in keys.into_iter().zip(rows) {
        // Skipped: a key that is of another type.
        let Ok(([created, status],)) = row else {
            continue;
        };
        let failed = status.as_deref() == Some("failed");
        let Some(created) = created.filter(|_| failed || *wanted != TasksetRef::LastFailed) else {
            continue;
        };
        let created = time::parse(&created).map_or(0, |at| at.timestamp());
        found.push(Possible { key, created });
    }
    Ok(found)
}
