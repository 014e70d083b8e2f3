//! Waits for a condition, never for a guessed time.

use std::time::{Duration, Instant};

/// Interval at which a condition is polled.
pub const POLL: Duration = Duration::from_millis(10);

/// The usual bound: far longer than a slow machine needs, as only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Calls `look` until it returns a value, and returns that.
///
/// Panics with `what` after `bound`. `look` is called at least once, and once more after the bound,
/// so that a stalled test process does not fail.
#[track_caller]
pub fn eventually<T>(bound: Duration, what: &str, look: impl FnMut() -> Option<T>) -> T {
    match within(bound, look) {
        Some(found) => found,
        None => panic!("not within {bound:?}: {what}"),
    }
}

/// As [`eventually`], but returns `None` after `bound`.
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
