//! The end of a worker's time (`--timeout`): it stops as if it had been asked to.

use super::Worker;
use crate::entity::queue;
use crate::entity::taskset::Record;
use crate::process::exit::{self, failure};
use crate::process::signals;
use crate::protocol::key;
use crate::show::waiting;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The time at which the worker stops.
pub(super) struct TimeLimit(Arc<AtomicBool>);

impl TimeLimit {
    /// Requests a stop of this process after `time`.
    pub(super) fn start(time: Duration) -> std::io::Result<Self> {
        let passed = Arc::new(AtomicBool::new(false));
        let note = passed.clone();
        std::thread::Builder::new()
            .name("timeout".into())
            .spawn(move || {
                std::thread::sleep(time);
                note.store(true, Ordering::Relaxed);
                signals::request();
            })?;
        Ok(Self(passed))
    }

    /// Whether the time is over.
    pub(super) fn has_passed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Worker {
    /// The error of a worker whose time is over, with the reason why its taskset has not ended.
    pub(super) fn out_of_time(&mut self) -> anyhow::Error {
        let message = "stopped by --timeout";
        let Some(taskset) = self.options.taskset.clone() else {
            return failure(exit::TIMED_OUT, message.to_owned()).into();
        };
        let store = &mut self.store;
        store.set_patience(Duration::from_secs(1));
        let record = Record::load(store, &taskset).ok().flatten();
        let unjudged = queue::length(store, &key::arbiter_queue()).unwrap_or(0);
        let reason = match &record {
            None => Some("it was never submitted, or has expired".to_owned()),
            // This worker has left the taskset by now, and must not seem to be what is missing.
            Some(_) if unjudged > 0 => Some(
                "its results wait for rrr-arbiter, which does not run or does not keep up"
                    .to_owned(),
            ),
            Some(record) => waiting::standing(store, &taskset, record).ok().flatten(),
        };
        let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
        let message = format!("{message} before taskset '{taskset}' ended{reason}");
        failure(exit::TIMED_OUT, message).into()
    }
}
