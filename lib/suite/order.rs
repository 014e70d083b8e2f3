//! The order in which tasks are submitted.

use crate::protocol::time::whole_seconds;
use std::cmp::Reverse;
use std::collections::HashMap;

/// Orders tasks, each with its estimate in whole seconds, for submission: those without one first
/// (they may be the longest), then the longest first, so that a long one does not start last.
/// `known_ms`: milliseconds by spec file, that tell those of the same seconds apart; not used where
/// they say something else than the seconds do, which another implementation may have written.
pub fn order(tasks: &mut [(String, Option<u64>)], known_ms: &HashMap<String, u64>) {
    tasks.sort_by_cached_key(|(file, estimate)| {
        let fine = |seconds: &u64| {
            let ms = known_ms.get(file).copied();
            ms.filter(|ms| whole_seconds(*ms) == *seconds)
                .unwrap_or(seconds.saturating_mul(1000))
        };
        Reverse(estimate.as_ref().map_or(u64::MAX, fine))
    });
}
