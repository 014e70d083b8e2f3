//! Estimates in Redis: the expected run times of a class's spec files.
//!
//! Written by rrr-persist; read by rrr-submit.

use crate::protocol::key;
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
