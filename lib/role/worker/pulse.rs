//! The worker's second thread: its heartbeat, and news of the taskset on hand, so that no
//! preparation can keep either from happening.

use crate::child::Watch;
use crate::key::TasksetKey;
use crate::slave::{self, Wake};
use crate::store::Store;
use crate::worker::{self, Card};
use crate::{notify, stop};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What the pulse has heard.
#[derive(Clone, Default)]
pub struct State {
    taskset: Option<TasksetKey>,
    /// The taskset on hand is over.
    pub over: bool,
    /// Another worker has this one's id.
    pub replaced: bool,
}

/// The worker's second thread, and what it knows.
pub struct Pulse(Mutex<State>);

impl Pulse {
    /// Starts it.
    pub fn start(mut store: Store, card: &Card) -> std::io::Result<Arc<Self>> {
        let pulse = Arc::new(Self(Mutex::default()));
        let (shared, card) = (pulse.clone(), card.clone());
        std::thread::Builder::new()
            .name("pulse".into())
            .stack_size(256 << 10)
            .spawn(move || {
                loop {
                    if let Err(error) = shared.turn(&mut store, &card) {
                        return without_heartbeat(&error);
                    }
                }
            })?;
        Ok(pulse)
    }

    /// What it knows now.
    pub fn state(&self) -> State {
        self.0.lock().expect("no panic while noting news").clone()
    }

    /// Listens for news of another taskset, or of none.
    pub fn turn_to(&self, taskset: Option<TasksetKey>) {
        let mut state = self.0.lock().expect("no panic while noting news");
        state.taskset = taskset;
        state.over = false;
    }

    /// One heartbeat, and listening until the next is due.
    fn turn(&self, store: &mut Store, card: &Card) -> anyhow::Result<()> {
        if !worker::beat(store, card)? {
            self.0.lock().expect("no panic while noting news").replaced = true;
            stop::request();
        }
        let due = Instant::now() + card.heartbeat.beat();
        let mut heard: Option<(TasksetKey, String)> = None;
        while Instant::now() < due {
            let state = self.state();
            let Some(taskset) = state.taskset.filter(|_| !state.over) else {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            };
            let mut after = match heard.take() {
                Some((known, after)) if known == taskset => after,
                _ => "0-0".to_owned(),
            };
            let wait = due
                .saturating_duration_since(Instant::now())
                .min(card.heartbeat.listen());
            let wakes = slave::wakes(store, &taskset, &mut after, wait.as_millis().max(1) as u64)?;
            if wakes.iter().any(|wake| matches!(wake, Wake::Over(_))) {
                let mut state = self.0.lock().expect("no panic while noting news");
                if state.taskset.as_ref() == Some(&taskset) {
                    state.over = true;
                }
                stop::nudge();
            }
            heard = Some((taskset, after));
        }
        Ok(())
    }
}

/// Ends a step of the preparation when there is nothing more to prepare for.
pub struct Leaving(pub Arc<Pulse>);

impl Watch for Leaving {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(stop::fd())
    }

    fn stop(&mut self) -> Option<String> {
        stop::drain();
        notify::turn(|| "preparing a taskset".to_owned());
        let state = self.0.state();
        (stop::requested() || state.over || state.replaced)
            .then(|| "there is nothing to prepare for".to_owned())
    }
}

/// Redis refuses the heartbeat for good: a worker that went on would be taken for dead, and its
/// work given to others.
fn without_heartbeat(error: &anyhow::Error) {
    if !stop::requested() {
        eprintln!("rrr-worker: cannot send heartbeats, stopping: {error:#}");
        stop::request();
    }
}
