//! Estimates in Redis: the expected run times of a class's spec files.
//!
//! Written by rrr-persist; read by rrr-submit.

use crate::protocol::key;
use crate::protocol::time::refined_ms;
use crate::store;
use crate::store::{Store, read};
use std::collections::HashMap;

/// The estimates of a class, in whole seconds by spec file.
pub(crate) fn estimates(store: &mut Store, class: &str) -> anyhow::Result<HashMap<String, u64>> {
    let key = key::estimate_sec(class);
    let known = read::numbers(store, &key);
    Ok(store::unless_refused(&key, known)?.unwrap_or_default())
}

/// The estimates in milliseconds, for classes that rrr-persist has written.
pub(crate) fn estimates_ms(store: &mut Store, class: &str) -> anyhow::Result<HashMap<String, u64>> {
    let key = key::estimate_ms(class);
    let known = read::numbers(store, &key);
    Ok(store::unless_refused(&key, known)?.unwrap_or_default())
}

/// The expected milliseconds by spec file.
pub(crate) fn expected_ms(store: &mut Store, class: &str) -> anyhow::Result<HashMap<String, u64>> {
    let fine = estimates_ms(store, class)?;
    let seconds = estimates(store, class)?;
    let refined = seconds.into_iter().map(|(file, sec)| {
        let ms = refined_ms(sec, fine.get(&file).copied());
        (file, ms)
    });
    Ok(refined.collect())
}
