//! Calls that are waiting for a reply. After a request to stop, the waits of a Redis that has fallen
//! silent are interrupted: a process in a terminal must end at Ctrl-C whatever its server does.
//!
//! Written by [`super::Store::blocking_call`]; read by the signal thread.

use crate::process::signals;
use std::os::unix::thread::RawPthread;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After a request to stop, a reply that takes longer than this is not waited for. A loaded server
/// may need a good part of it, and work that is not handed back costs its taskset a heartbeat.
const LAST_WAIT: Duration = Duration::from_secs(1);
/// Replaces [`LAST_WAIT`] once another call was overdue and no reply has come since.
const SHORT_WAIT: Duration = Duration::from_millis(100);

/// The calls that are waiting now.
static WAITS: Mutex<Vec<Wait>> = Mutex::new(Vec::new());
/// Whether a call was overdue after the request to stop, and no reply has come since.
static SILENT: AtomicBool = AtomicBool::new(false);

struct Wait {
    thread: RawPthread,
    due: Instant,
}

/// The entry of one attempt in the list, which lasts as long as this value.
pub(super) struct Pending {
    thread: RawPthread,
    due: Instant,
}

impl Pending {
    /// Enters an attempt of this thread, whose command itself may block for `blocking`. Each attempt
    /// has its own entry: a connection that breaks is not a silent one.
    pub(super) fn enter(blocking: Duration) -> Self {
        // SAFETY: the call has no preconditions.
        let thread = unsafe { nix::libc::pthread_self() };
        let patience = match SILENT.load(Ordering::SeqCst) {
            true => SHORT_WAIT,
            false => LAST_WAIT,
        };
        let due = Instant::now() + blocking + patience;
        waits().push(Wait { thread, due });
        Self { thread, due }
    }

    /// Whether the attempt took longer than a call may take after a request to stop.
    pub(super) fn is_overdue(&self) -> bool {
        let overdue = Instant::now() >= self.due;
        if overdue && signals::requested() {
            SILENT.store(true, Ordering::SeqCst);
        }
        overdue
    }

    /// Redis has replied.
    pub(super) fn answered(&self) {
        if SILENT.load(Ordering::Relaxed) {
            SILENT.store(false, Ordering::SeqCst);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut waits = waits();
        // A thread makes one call at a time, so its last entry is this one.
        if let Some(at) = waits.iter().rposition(|wait| wait.thread == self.thread) {
            waits.swap_remove(at);
        }
    }
}

fn waits() -> MutexGuard<'static, Vec<Wait>> {
    WAITS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Interrupts the calls that are overdue. The signal thread calls this repeatedly after a request to
/// stop, because a signal that arrives just before a read does not interrupt it.
pub(super) fn interrupt_overdue() {
    let now = Instant::now();
    // The lock keeps each thread in its call, and so alive.
    for wait in waits().iter().filter(|wait| now >= wait.due) {
        signals::interrupt(wait.thread);
    }
}
