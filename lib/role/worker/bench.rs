//! The bench: a worker that cannot prepare tasksets leaves the dispatcher's list for a while.

use super::Worker;
use crate::entity::worker::{self, Registration};
use crate::entity::{queue, taskset};
use crate::process::stderr::say;
use crate::process::{signals, systemd};
use crate::protocol::key::TasksetKey;
use crate::store;
use std::time::{Duration, Instant};

/// Consecutive failed preparations before the worker leaves the list (L9).
pub(super) const FAILURES_IN_A_ROW: u32 = 3;

/// Time on the bench after that many failures: 30 s, doubled each time, up to 16 min.
fn bench_time(failures: u32) -> Duration {
    let times = failures.saturating_sub(FAILURES_IN_A_ROW).min(5);
    Duration::from_secs(30 << times)
}

/// Why Redis refuses to register the worker, for people.
pub(super) fn cannot_register(
    store: &mut store::Store,
    card: &Registration,
    error: anyhow::Error,
) -> anyhow::Error {
    let wrong = match worker::of_wrong_type(store, card) {
        Ok(wrong) if !wrong.is_empty() => wrong,
        Ok(_) => return error,
        Err(other) => return other,
    };
    let names = wrong.join("' and '");
    crate::process::exit::usage(format!(
        "cannot register the worker '{}': the type of '{names}' in Redis is wrong",
        card.key.id()
    ))
    .hint(format!(
        "something else wrote it: check what, then redis-cli DEL {}",
        wrong.join(" ")
    ))
    .into()
}

impl Worker {
    /// Whether a refused accept may succeed later: the worker's own key is of the wrong type, or it was
    /// until a moment ago. Then the script failed before it popped the message; the second refusal of
    /// a message in a row, kept in `refused`, is the fault of its taskset.
    pub(super) fn may_retry(
        &mut self,
        queue: &str,
        message: &[u8],
        refused: &mut Option<Vec<u8>>,
    ) -> anyhow::Result<bool> {
        if !worker::of_wrong_type(&mut self.store, &self.card)?.is_empty() {
            signals::sleep(Duration::from_secs(1));
            return Ok(true);
        }
        let head = queue::peek(&mut self.store, queue, 1, 0.01)?.pop();
        let is_next = head.as_deref() == Some(message);
        Ok(is_next && refused.replace(message.to_vec()).as_deref() != Some(message))
    }

    /// Notes that this worker cannot take a taskset, which it may have taken in part: the dispatcher would
    /// take it for busy, or give it the same one again and again (L8).
    pub(super) fn give_up(&mut self, taskset: &TasksetKey, why: &str) -> anyhow::Result<()> {
        let (worker, log) = (&self.card.key, taskset.worker_log(&self.card.key));
        let why = format!("worker '{}': {why}", worker.id());
        let asked = taskset::request_fail(&mut self.store, taskset, worker, &log, &why);
        store::unless_refused(taskset, asked)?;
        let left = worker::leave(&mut self.store, &self.card, taskset, &log);
        store::unless_refused(log, left)?;
        Ok(())
    }

    /// Takes no work for a while, since this machine may be the faulty one (L9).
    pub(super) fn sit_out(&mut self) -> anyhow::Result<()> {
        let pause = bench_time(self.failures);
        let why = format!(
            "{} tasksets in a row could not be prepared; trying again in {} s",
            self.failures,
            pause.as_secs()
        );
        say!("rrr-worker: {why}");
        let benched = worker::bench(&mut self.store, &self.card, Some(&why));
        store::unless_refused(&self.card.key, benched)?;
        let due = Instant::now() + pause;
        let queue = self.card.key.queue();
        while Instant::now() < due && !signals::requested() {
            signals::drain();
            systemd::turn(|| why.clone());
            // Dispatchers that do not know the bench wait for an answer.
            let length = queue::length(&mut self.store, &queue);
            if store::unless_refused(&queue, length)?.is_some_and(|length| length > 0) {
                break;
            }
            let left = due.saturating_duration_since(Instant::now());
            signals::sleep(left.min(Duration::from_secs(1)));
        }
        let back = worker::bench(&mut self.store, &self.card, None);
        store::unless_refused(&self.card.key, back)?;
        Ok(())
    }
}
