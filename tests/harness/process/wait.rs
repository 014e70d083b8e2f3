//! Waiting for a condition, never for a guessed time.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
pub const POLL: Duration = Duration::from_millis(10);

/// The usual bound: far more than a slow machine needs, since only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Calls `look` until it gives something, and gives that.
///
/// Panics with `what` once `bound` is over; `look` is called at least once, and once more after
/// the bound, so that a test process that was held up does not fail for that.
#[track_caller]
pub fn eventually<T>(bound: Duration, what: &str, look: impl FnMut() -> Option<T>) -> T {
    match within(bound, look) {
        Some(found) => found,
        None => panic!("not within {bound:?}: {what}"),
    }
}

/// As [`eventually`], but gives `None` when `bound` is over.
pub fn within<T>(bound: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let last = start.elapsed() >= bound;
        if let Some(found) = look() {
            return Some(found);
        }
        if last {
            return None;
        }
        std::thread::sleep(POLL);
    }
}
