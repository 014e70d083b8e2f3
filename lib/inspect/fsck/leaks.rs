//! Leaked keys, which never expire (I9): one pass over all keys, or over those of some tasksets.

use super::Finding;
use crate::protocol::key::{self, SlaveKey, TasksetKey};
use crate::store::Store;
use std::collections::{BTreeMap, BTreeSet};

/// The result of a pass over the keys.
#[derive(Default)]
pub(crate) struct Scan {
    /// Number of keys seen.
    pub keys: usize,
    /// Tasksets whose hash, or any key below it, exists.
    pub tasksets: BTreeSet<TasksetKey>,
    /// Keys without an expiry that are not on the fixed list, with their taskset.
    immortal: BTreeMap<String, Option<TasksetKey>>,
}

/// Reads the names and expiries of all keys of the protocol, or of those below `only`.
pub(crate) fn scan(store: &mut Store, only: &[TasksetKey]) -> anyhow::Result<Scan> {
    let patterns = match only {
        [] => vec![format!("{}*", key::PREFIX)],
        some => some.iter().map(below).collect(),
    };
    let mut scan = Scan::default();
    for pattern in patterns {
        let mut cursor = 0u64;
        loop {
            let (next, keys): (u64, Vec<Vec<u8>>) = store.call(|c, _| {
                redis::cmd("SCAN")
                    .arg(cursor)
                    .arg("MATCH")
                    .arg(&pattern)
                    .arg("COUNT")
                    .arg(1000)
                    .query(c)
            })?;
            scan.take(store, &keys, only)?;
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    Ok(scan)
}

/// The pattern of a taskset's keys. It matches those of tasksets with a longer id too.
fn below(taskset: &TasksetKey) -> String {
    let mut pattern = String::new();
    for c in taskset.as_str().chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern + "*"
}

impl Scan {
    fn take(
        &mut self,
        store: &mut Store,
        keys: &[Vec<u8>],
        only: &[TasksetKey],
    ) -> anyhow::Result<()> {
        let is_asked = |key: &&Vec<u8>| {
            let taskset = key::taskset_of(&String::from_utf8_lossy(key));
            only.is_empty() || taskset.is_some_and(|taskset| only.contains(&taskset))
        };
        let keys: Vec<&Vec<u8>> = keys.iter().filter(is_asked).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let expiries: Vec<i64> = store.call(|c, _| {
            let mut pipe = redis::pipe();
            for key in &keys {
                pipe.cmd("TTL").arg(key);
            }
            pipe.query(c)
        })?;
        self.keys += keys.len();
        for (name, expiry) in keys.iter().zip(expiries) {
            let name = String::from_utf8_lossy(name).into_owned();
            let taskset = key::taskset_of(&name);
            if let Some(taskset) = &taskset {
                self.tasksets.insert(taskset.clone());
            }
            if expiry == -1 && !key::lasts(&name) {
                self.immortal.insert(name, taskset);
            }
        }
        Ok(())
    }
}

/// Tasksets that are not persisted yet: other implementations set no expiry on their keys until
/// then.
#[derive(Default)]
pub(crate) struct Lasting {
    pub tasksets: BTreeSet<TasksetKey>,
    pub slaves: BTreeSet<SlaveKey>,
    /// Another implementation's workers, as long as they live.
    pub workers: BTreeSet<String>,
}

/// Keys without an expiry that belong to nothing in `lasting`.
pub(crate) fn leaks(scan: &Scan, lasting: &Lasting) -> Vec<Finding> {
    let forgotten = scan.immortal.iter().filter(|(name, taskset)| {
        let lasts = match taskset {
            Some(taskset) => lasting.tasksets.contains(taskset),
            None => {
                lasting.workers.contains(*name)
                    || key::slave_of(name).is_some_and(|slave| lasting.slaves.contains(&slave))
            }
        };
        !lasts
    });
    forgotten
        .map(|(name, taskset)| Finding {
            invariant: "I9",
            taskset: taskset.as_ref().map(ToString::to_string),
            key: name.clone(),
            finding: "it has no expiry, and nothing will remove it".into(),
            state: 0,
        })
        .collect()
}
