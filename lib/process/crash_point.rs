//! Points at which a test may kill the process, to prove that it may end anywhere.
//!
//! They exist only in debug builds, and only act when `RRR_CRASH_POINT` selects one.

/// Ends this process with SIGKILL at the selected point.
#[cfg(debug_assertions)]
pub(crate) fn point() {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static PASSED: AtomicU64 = AtomicU64::new(0);
    static TURN: LazyLock<Option<u64>> =
        LazyLock::new(|| std::env::var("RRR_CRASH_POINT").ok()?.parse().ok());
    if let Some(turn) = *TURN
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == turn
    {
        let myself = rustix::process::getpid();
        let _ = rustix::process::kill_process(myself, rustix::process::Signal::KILL);
    }
}

/// Does nothing in a release build.
#[cfg(not(debug_assertions))]
pub(crate) fn point() {}
