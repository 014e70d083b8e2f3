//! The worker's second thread: sends the heartbeat and listens for news of the current taskset, so
//! that a long preparation delays neither.

use crate::entity::event_stream::START;
use crate::entity::wake::{self, Wake};
use crate::entity::worker::{self, Registration};
use crate::exec::child::Watch;
use crate::process::stderr::say;
use crate::process::{signals, systemd};
use crate::protocol::key::TasksetKey;
use crate::store;
use crate::store::Store;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The news received so far.
#[derive(Clone, Default)]
pub(crate) struct State {
    taskset: Option<TasksetKey>,
    /// The current taskset has finished.
    pub over: bool,
    /// Another worker has taken over the id.
    pub replaced: bool,
}

/// The worker's second thread, and the news it has received.
#[derive(Default)]
pub(crate) struct HeartbeatThread {
    state: Mutex<State>,
    /// Whether the worker has left. Locked while a heartbeat is being sent.
    left: Mutex<bool>,
}

impl HeartbeatThread {
    /// Starts the thread.
    pub(crate) fn start(mut store: Store, card: &Registration) -> std::io::Result<Arc<Self>> {
        let pulse = Arc::new(Self::default());
        let (shared, card) = (pulse.clone(), card.clone());
        std::thread::Builder::new()
            .name("pulse".into())
            .stack_size(256 << 10)
            .spawn(move || {
                loop {
                    match shared.turn(&mut store, &card) {
                        Ok(true) => {}
                        Ok(false) => return,
                        Err(error) => return without_heartbeat(&error),
                    }
                }
            })?;
        Ok(pulse)
    }

    /// The current news.
    pub(crate) fn news(&self) -> State {
        self.state().clone()
    }

    /// Switches to the news of another taskset, or of none.
    pub(crate) fn turn_to(&self, taskset: Option<TasksetKey>) {
        let mut state = self.state();
        state.taskset = taskset;
        state.over = false;
    }

    /// Stops the heartbeats, after waiting for one that is being sent: a heartbeat after the id was
    /// released would claim the id again (K5).
    pub(crate) fn leave(&self) {
        *self.left() = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while noting news")
    }

    fn left(&self) -> MutexGuard<'_, bool> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends one heartbeat, and listens until the next is due; false once the worker has left.
    fn turn(&self, store: &mut Store, card: &Registration) -> anyhow::Result<bool> {
        let left = self.left();
        if *left {
            return Ok(false);
        }
        let beat = worker::beat(store, card);
        if store::unless_refused(&card.key, beat)? == Some(false) {
            self.state().replaced = true;
            signals::request();
        }
        drop(left);
        let due = Instant::now() + card.heartbeat.beat();
        let mut heard: Option<(TasksetKey, String)> = None;
        while Instant::now() < due {
            let state = self.news();
            let Some(taskset) = state.taskset.filter(|_| !state.over) else {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            };
            let mut after = match heard.take() {
                Some((known, after)) if known == taskset => after,
                _ => START.to_owned(),
            };
            let wait = due
                .saturating_duration_since(Instant::now())
                .min(card.heartbeat.listen());
            let wakes = wake::wakes(store, &taskset, &mut after, wait.as_millis().max(1) as u64);
            let Some(wakes) = store::unless_refused(taskset.wake(), wakes)? else {
                std::thread::sleep(wait.min(Duration::from_secs(1)));
                continue;
            };
            if wakes.iter().any(|wake| matches!(wake, Wake::Over(_))) {
                let mut state = self.state();
                if state.taskset.as_ref() == Some(&taskset) {
                    state.over = true;
                }
                signals::nudge();
            }
            heard = Some((taskset, after));
        }
        Ok(true)
    }
}

/// Ends a step of the preparation when its taskset has finished or the worker must stop.
pub(crate) struct Leaving(pub Arc<HeartbeatThread>);

impl Watch for Leaving {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(signals::fd())
    }

    fn stop(&mut self) -> Option<String> {
        signals::drain();
        systemd::turn(|| "preparing a taskset".to_owned());
        let state = self.0.news();
        (signals::requested() || state.over || state.replaced)
            .then(|| "the taskset has finished".to_owned())
    }
}

/// Stops the worker when Redis permanently refuses its heartbeat: it would be declared dead, and
/// its tasks requeued.
fn without_heartbeat(error: &anyhow::Error) {
    if !signals::requested() {
        say!("rrr-worker: cannot send heartbeats, stopping: {error:#}");
        signals::request();
    }
}
