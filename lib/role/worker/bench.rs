//! The bench: a worker that cannot prepare tasksets takes itself off the dispatcher's list for a while.

use super::Worker;
use crate::entity::{queue, worker};
use crate::process::stderr::say;
use crate::process::{signals, systemd};
use crate::store;
use std::time::{Duration, Instant};

/// Tasksets in a row that cannot be prepared until the worker takes itself off the list (L9).
pub(super) const FAILURES_IN_A_ROW: u32 = 3;

/// How long a worker sits out after so many failures: 30 s, then twice as long each time, up to
/// 16 min.
fn bench_time(failures: u32) -> Duration {
    let times = failures.saturating_sub(FAILURES_IN_A_ROW).min(5);
    Duration::from_secs(30 << times)
}

impl Worker {
    /// Takes no work for a while, since this machine may be the sick one (L9).
    pub(super) fn sit_out(&mut self) -> anyhow::Result<()> {
        let pause = bench_time(self.failures);
        let why = format!(
            "{} tasksets in a row could not be prepared here; trying again in {} s",
            self.failures,
            pause.as_secs()
        );
        say!("rrr-worker: {why}");
        worker::bench(&mut self.store, &self.card, Some(&why))?;
        let due = Instant::now() + pause;
        let queue = self.card.key.queue();
        while Instant::now() < due && !signals::requested() {
            signals::drain();
            systemd::turn(|| why.clone());
            // A dispatcher that does not know of the bench waits for an answer.
            let length = queue::length(&mut self.store, &queue);
            if store::unless_refused(&queue, length)?.is_some_and(|length| length > 0) {
                break;
            }
            let left = due.saturating_duration_since(Instant::now());
            signals::sleep(left.min(Duration::from_secs(1)));
        }
        worker::bench(&mut self.store, &self.card, None)
    }
}
