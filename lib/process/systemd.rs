//! Notifications to systemd: readiness, current status, and the watchdog.
//!
//! The role's work loop feeds the watchdog, and only when Redis has answered since the last time: a
//! loop that runs without Redis, or a heartbeat thread beside a hanging loop, does not count as
//! alive. Outside systemd (no `NOTIFY_SOCKET`) nothing happens.

use sd_notify::NotifyState;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

static ANSWERED: AtomicBool = AtomicBool::new(false);
static TOLD: Mutex<Option<Told>> = Mutex::new(None);

struct Told {
    at: Instant,
    status: String,
}

/// Minimum time between two notifications.
const EVERY: Duration = Duration::from_secs(1);

/// Records that Redis has answered this process.
pub(crate) fn answered() {
    ANSWERED.store(true, Ordering::Relaxed);
}

/// Reports that the role is ready for work: connected and registered.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Reports one turn of the work loop; `status` is a short text for `systemctl status`.
pub(crate) fn turn(status: impl FnOnce() -> String) {
    let mut told = TOLD.lock().unwrap_or_else(|broken| broken.into_inner());
    if told.as_ref().is_some_and(|told| told.at.elapsed() < EVERY) {
        return;
    }
    let status = status();
    let news = told.as_ref().is_none_or(|told| told.status != status);
    let mut states = Vec::new();
    if ANSWERED.swap(false, Ordering::Relaxed) {
        states.push(NotifyState::Watchdog);
    }
    if news {
        states.push(NotifyState::Status(&status));
    }
    tell(&states);
    *told = Some(Told {
        at: Instant::now(),
        status,
    });
}

/// Reports that the role is stopping as requested.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState]) {
    if !states.is_empty() {
        // Errors are ignored: not running under systemd is fine.
        let _ = sd_notify::notify(states);
    }
}
