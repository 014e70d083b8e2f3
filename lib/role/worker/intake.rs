//! Takes tasksets: from the worker's queue, or the one named on the command line.

use super::bench::FAILURES_IN_A_ROW;
use super::{Assignment, Worker};
use crate::entity::queue;
use crate::entity::worker::{self, Accepted};
use crate::process::stderr::say;
use crate::process::{exit, signals, systemd};
use crate::protocol::key::TasksetKey;
use crate::role::printed::Printed;
use crate::show::follow::QUIET;
use crate::store;
use std::time::{Duration, Instant};

/// Seconds to wait for a taskset: the maximum delay before a stop signal is handled.
const IDLE: f64 = 0.25;
/// Default wait for the taskset named on the command line: its submitter may be another job that
/// has not got that far.
const NAMED_PATIENCE: Duration = Duration::from_secs(1800);
/// Time between attempts to accept a taskset that cannot be accepted yet.
const AGAIN: Duration = Duration::from_millis(100);
/// The reply of the script `worker_accept` for a taskset that is not in Redis.
const GONE: &str = "gone";

/// A taskset to accept, and the message that offered it (empty for the command line).
struct Offer {
    taskset: TasksetKey,
    message: Vec<u8>,
}

/// The state of the intake.
struct Intake {
    began: Instant,
    /// Whether the wait for the named taskset was announced.
    announced: bool,
    /// The last message that was refused because of a key of the wrong type.
    refused: Option<Vec<u8>>,
}

impl Worker {
    /// Takes tasksets until asked to stop; returns the exit code.
    pub(super) fn work(&mut self) -> anyhow::Result<u8> {
        let mut intake = Intake {
            began: Instant::now(),
            announced: false,
            refused: None,
        };
        while !signals::requested() {
            systemd::turn(|| "waiting for a taskset".to_owned());
            let Some(offer) = self.next_offer()? else {
                if self.is_tired(&intake) {
                    return Err(nothing_came("no taskset was assigned", self.patience()).into());
                }
                continue;
            };
            if let Some(code) = self.take(&mut intake, &offer)? {
                return Ok(code);
            }
        }
        Ok(exit::OK)
    }

    /// The next taskset to accept; `None` if there is none for now.
    fn next_offer(&mut self) -> anyhow::Result<Option<Offer>> {
        if let Some(taskset) = self.options.taskset.clone() {
            let message = Vec::new();
            return Ok(Some(Offer { taskset, message }));
        }
        let queue = self.card.key.queue();
        let peeked = queue::peek(&mut self.store, &queue, 1, IDLE);
        let Some(mut messages) = store::unless_refused(&queue, peeked)? else {
            signals::sleep(Duration::from_secs(1));
            return Ok(None);
        };
        let Some(message) = messages.pop() else {
            return Ok(None);
        };
        match String::from_utf8_lossy(&message).parse::<TasksetKey>() {
            Ok(taskset) => Ok(Some(Offer { taskset, message })),
            Err(error) => {
                queue::bury(&mut self.store, &queue, &message, &error.to_string())?;
                Ok(None)
            }
        }
    }

    /// Accepts the taskset and works on it, if it can be accepted. Returns the exit code if this was
    /// the worker's last taskset.
    fn take(&mut self, intake: &mut Intake, offer: &Offer) -> anyhow::Result<Option<u8>> {
        let Offer { taskset, message } = offer;
        let named = self.options.taskset.is_some();
        let accepted = worker::accept(&mut self.store, &self.card, taskset, message).printed();
        let Some(accepted) = store::unless_refused(taskset, accepted)? else {
            if named {
                return Ok(Some(exit::FAILED));
            }
            self.refuse(intake, offer)?;
            return Ok(None);
        };
        match accepted {
            Accepted::Yes(log) => return self.run_one(taskset, &log),
            Accepted::Over(status) if status == GONE => {
                if named && !self.is_tired(intake) {
                    intake.wait_for(taskset, self.patience());
                    return Ok(None);
                }
                if named {
                    let what = format!("taskset '{taskset}' was not submitted");
                    return Err(nothing_came(&what, self.patience()).into());
                }
                say!("rrr-worker: taskset '{taskset}' does not exist any more");
            }
            Accepted::Over(status) => {
                say!("rrr-worker: taskset '{taskset}' has finished ({status})")
            }
            Accepted::Inactive => {
                let why = "it was never activated: it is not in active_taskset";
                queue::bury(&mut self.store, &self.card.key.queue(), message, why)?;
                return Ok(None);
            }
            Accepted::NotNow => {
                signals::sleep(AGAIN);
                return Ok(None);
            }
        }
        Ok(named.then_some(exit::OK))
    }

    /// How long to wait for the first taskset.
    fn patience(&self) -> Duration {
        let given = self.options.wait.map(Duration::from_secs);
        given.unwrap_or(NAMED_PATIENCE)
    }

    /// Whether the worker has waited long enough for the only taskset it would run.
    fn is_tired(&self, intake: &Intake) -> bool {
        let once = self.options.once && self.options.wait.is_some();
        (once || self.options.taskset.is_some()) && intake.began.elapsed() >= self.patience()
    }

    /// Works on an accepted taskset. Returns the exit code if it was the worker's last one.
    fn run_one(&mut self, taskset: &TasksetKey, log: &str) -> anyhow::Result<Option<u8>> {
        let stay = self.stay(taskset, log)?;
        if self.options.once || self.options.taskset.is_some() {
            return Ok(Some(match stay {
                Assignment::Ran => exit::OK,
                Assignment::Failed | Assignment::Refused => exit::FAILED,
            }));
        }
        match stay {
            Assignment::Ran => self.failures = 0,
            Assignment::Failed => self.failures += 1,
            // Otherwise anyone who can write to Redis could bench every worker.
            Assignment::Refused => {}
        }
        if self.failures >= FAILURES_IN_A_ROW {
            self.sit_out()?;
        }
        Ok(None)
    }

    /// Gives up a taskset with a key of the wrong type, unless the key is one of this worker's and
    /// may be restored.
    fn refuse(&mut self, intake: &mut Intake, offer: &Offer) -> anyhow::Result<()> {
        let queue = self.card.key.queue();
        if self.may_retry(&queue, &offer.message, &mut intake.refused)? {
            return Ok(());
        }
        let why = "a key of the taskset is of the wrong type";
        self.give_up(&offer.taskset, why)?;
        queue::bury(&mut self.store, &queue, &offer.message, why)?;
        Ok(())
    }
}

/// The error of a worker that has waited in vain.
fn nothing_came(what: &str, patience: Duration) -> exit::Failure {
    let seconds = patience.as_secs();
    exit::failure(exit::TIMED_OUT, format!("{what} within {seconds} s"))
        .hint("check the job that submits it, and that both use one Redis; --wait SEC waits longer")
}

impl Intake {
    /// Waits a little for the named taskset to be submitted; says so once.
    fn wait_for(&mut self, taskset: &TasksetKey, patience: Duration) {
        if !self.announced && self.began.elapsed() > QUIET {
            self.announced = true;
            let limit = patience.as_secs();
            say!("rrr-worker: waiting for '{taskset}' to be submitted ({limit} s at most)");
        }
        signals::sleep(AGAIN);
    }
}
