//! The order in which tasks are submitted.

use crate::protocol::time::refined_ms;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

/// Orders tasks, each with its estimate in whole seconds, for submission: the `failed` ones of the
/// last run first, then those without an estimate (they may be the longest), then the longest
/// first, so that a long one does not start last. `known_ms`: milliseconds by spec file, which order
/// files with equal seconds.
pub fn order(
    tasks: &mut [(String, Option<u64>)],
    known_ms: &HashMap<String, u64>,
    failed: &HashSet<String>,
) {
    tasks.sort_by_cached_key(|(file, estimate)| {
        let fine = |seconds: &u64| refined_ms(*seconds, known_ms.get(file).copied());
        let expected = estimate.as_ref().map_or(u64::MAX, fine);
        Reverse((failed.contains(file), expected))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_files_go_first_and_then_the_longest() {
        let mut tasks: Vec<_> = [("a", Some(1)), ("b", None), ("c", Some(9)), ("d", None)]
            .map(|(file, estimate)| (file.to_owned(), estimate))
            .into();
        order(&mut tasks, &HashMap::new(), &HashSet::new());
        let files: Vec<_> = tasks.iter().map(|(file, _)| file.as_str()).collect();
        assert_eq!(files, ["b", "d", "c", "a"]);
    }

    #[test]
    fn failed_files_go_before_all_others() {
        let mut tasks: Vec<_> = [("a", Some(1)), ("b", None), ("c", Some(9))]
            .map(|(file, estimate)| (file.to_owned(), estimate))
            .into();
        order(&mut tasks, &HashMap::new(), &HashSet::from(["a".into()]));
        let files: Vec<_> = tasks.iter().map(|(file, _)| file.as_str()).collect();
        assert_eq!(files, ["a", "b", "c"]);
    }

    #[test]
    fn milliseconds_break_ties_of_equal_seconds_consistently() {
        let mut tasks: Vec<_> = ["a", "b", "c", "old"]
            .map(|f| (f.to_owned(), Some(1)))
            .into();
        tasks[2].1 = Some(2);
        let ms = [("a", 200), ("b", 700), ("c", 1100), ("old", 9000)];
        order(
            &mut tasks,
            &ms.map(|(file, ms)| (file.to_owned(), ms)).into(),
            &HashSet::new(),
        );
        let files: Vec<_> = tasks.iter().map(|(file, _)| file.as_str()).collect();
        // Another implementation, without milliseconds, changed the last estimate to one second.
        assert_eq!(files, ["c", "old", "b", "a"]);
    }
}
