//! Calls that are waiting for a reply. After a request to stop, the waits of a Redis that has fallen
//! silent are interrupted: a process in a terminal must end at Ctrl-C whatever its server does.
//!
//! Written by [`super::Store::call`]; read by the signal thread.

use crate::process::signals;
use std::os::unix::thread::RawPthread;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After a request to stop, a reply that takes longer than this is not waited for. A loaded server
/// may need a good part of it, and work that is not handed back costs its taskset a heartbeat.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// The calls that are waiting now.
static WAITS: Mutex<Vec<Wait>> = Mutex::new(Vec::new());
/// Whether a call was given up after the request to stop: the next one need not wait as long.
static SILENT: AtomicBool = AtomicBool::new(false);

struct Wait {
    thread: RawPthread,
    due: Instant,
}

/// One call's entry in the list, which lasts as long as this value.
pub(super) struct Pending {
    thread: RawPthread,
    due: Instant,
}

impl Pending {
    /// Enters a call of this thread, whose command itself may block for `blocking`.
    pub(super) fn enter(blocking: Duration) -> Self {
        // SAFETY: the call has no preconditions.
        let thread = unsafe { nix::libc::pthread_self() };
        let due = Instant::now() + blocking + LAST_WAIT;
        waits().push(Wait { thread, due });
        Self { thread, due }
    }

    /// Whether the call is not worth another attempt: the process must stop, and Redis is silent.
    pub(super) fn is_hopeless(&self) -> bool {
        if !signals::requested() {
            return false;
        }
        if Instant::now() >= self.due {
            SILENT.store(true, Ordering::SeqCst);
        }
        SILENT.load(Ordering::SeqCst)
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
        // A thread's calls are not nested, except by mistake: the last entry is this one.
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
    let silent = SILENT.load(Ordering::SeqCst);
    // The lock keeps each thread in its call, and so alive.
    for wait in waits().iter().filter(|wait| silent || now >= wait.due) {
        signals::interrupt(wait.thread);
    }
}
