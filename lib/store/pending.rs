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
static WAITS: Mutex<Vec<Pending>> = Mutex::new(Vec::new());
/// Whether a call was overdue after the request to stop, and no reply has come since.
static SILENT: AtomicBool = AtomicBool::new(false);

/// One attempt of a call.
#[derive(Clone, Copy)]
struct Pending {
    thread: RawPthread,
    due: Instant,
}

/// The entry of an attempt in the list, which lasts as long as this value.
pub(super) struct Entry(Pending);

impl Entry {
    /// Enters an attempt of this thread, whose command itself may block for `blocking`. Each attempt
    /// has its own entry: a connection that breaks is not a silent one.
    pub(super) fn new(blocking: Duration) -> Self {
        // SAFETY: the call has no preconditions.
        let thread = unsafe { nix::libc::pthread_self() };
        let patience = match SILENT.load(Ordering::SeqCst) {
            true => SHORT_WAIT,
            false => LAST_WAIT,
        };
        let due = Instant::now() + blocking + patience;
        let pending = Pending { thread, due };
        waits().push(pending);
        Self(pending)
    }

    /// Whether another attempt is pointless: the process must stop, and this attempt was overdue.
    pub(super) fn was_the_last(&self) -> bool {
        let last = signals::requested() && Instant::now() >= self.0.due;
        if last {
            SILENT.store(true, Ordering::SeqCst);
        }
        last
    }

    /// Redis has replied.
    pub(super) fn answered(&self) {
        if SILENT.load(Ordering::Relaxed) {
            SILENT.store(false, Ordering::SeqCst);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut waits = waits();
        // A thread makes one call at a time, so its last entry is this one.
        if let Some(at) = waits.iter().rposition(|wait| wait.thread == self.0.thread) {
            waits.swap_remove(at);
        }
    }
}

fn waits() -> MutexGuard<'static, Vec<Pending>> {
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
