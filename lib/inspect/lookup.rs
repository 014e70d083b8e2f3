//! The record of the taskset that a person means, in Redis or in the database.

use crate::archive::db::DbArgs;
use crate::archive::document::{self, Document};
use crate::archive::history;
use crate::entity::taskset;
use crate::process::exit;
use crate::protocol::key::TasksetKey;
use crate::protocol::taskset_ref::TasksetRef;
use crate::store::Store;
use std::path::Path;

/// The class of rrr-local's runs in `folder`: its path.
pub(crate) fn class_of(folder: &Path) -> Option<String> {
    let path = folder.canonicalize().ok()?;
    Some(path.to_string_lossy().into_owned())
}

/// The key that is meant, in Redis, if there is a connection, or in the database. `last` is the
/// newest of both; in the database it is that of `class`, if there is one.
pub(crate) fn find(
    store: Option<&mut Store>,
    place: &DbArgs,
    class: Option<&str>,
    wanted: &TasksetRef,
) -> anyhow::Result<TasksetKey> {
    if let Some(key) = wanted.complete() {
        return Ok(key.clone());
    }
    let mut found = match place.url()?.open_existing()? {
        Some(mut db) => history::possible(&mut db, wanted, class)?,
        None => Vec::new(),
    };
    let has_redis = store.is_some();
    if let Some(store) = store {
        found.extend(taskset::lookup::possible(store, wanted)?);
    }
    let found = wanted.settle(found)?;
    found.ok_or_else(|| missing(place, wanted, has_redis).into())
}

/// The record of the taskset `key`: from Redis, if there is a connection and it is there, otherwise
/// from the database. The second value is the reason why its outputs are missing.
pub(crate) fn record(
    store: Option<&mut Store>,
    place: &DbArgs,
    log_dir: Option<&Path>,
    key: &TasksetKey,
) -> anyhow::Result<(Document, Option<String>)> {
    let has_redis = store.is_some();
    if let Some(store) = store
        && let Some(document) = document::gather(store, key)?
    {
        return Ok((document, None));
    }
    let found = history::find(place, log_dir, key)?;
    found.ok_or_else(|| missing(place, &TasksetRef::Named(key.clone()), has_redis).into())
}

/// The error for a taskset that was not found.
pub(crate) fn missing(place: &DbArgs, wanted: &TasksetRef, has_redis: bool) -> exit::Failure {
    let url = place
        .url()
        .map_or_else(|_| String::new(), |url| url.shown());
    let message = match wanted {
        TasksetRef::Named(key) => format!("taskset '{key}' does not exist"),
        _ => format!("'{wanted}' matches no taskset"),
    };
    let places = match has_redis {
        true => format!("neither Redis nor the database '{url}' has it"),
        false => format!("the database '{url}' does not have it"),
    };
    exit::usage(message).hint(format!("{places}; pass --db URL to use another database"))
}
