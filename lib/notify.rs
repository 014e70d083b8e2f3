//! What systemd is told of a role: that it is ready, what it does, and that it still does it.
//!
//! The watchdog is fed by the role's work loop, and only when Redis has answered since the last
//! time: a loop that turns without Redis, or a thread that beats beside a loop that hangs, is not
//! alive. Outside of systemd (no `NOTIFY_SOCKET`) nothing happens.

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

/// Most often that systemd is told something.
const EVERY: Duration = Duration::from_secs(1);

/// Redis has answered this process.
pub fn answered() {
    ANSWERED.store(true, Ordering::Relaxed);
}

/// The role is ready for work: connected, and known to the others.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The work loop has turned once; `status` is for `systemctl status`, in a few words.
pub fn turn(status: impl FnOnce() -> String) {
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

/// The role ends as it was asked to.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState]) {
    if !states.is_empty() {
        // Who does not listen is not missed.
        let _ = sd_notify::notify(states);
    }
}
