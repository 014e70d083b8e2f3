//! The deadlines of a running child: when it is asked to end, and when it is killed. Decides only;
//! the supervisor sends the signals.

use super::limits::Limits;
use std::time::{Duration, Instant};

/// The cause of the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The process exited on its own.
    Exited,
    /// The process was asked to end at its soft timeout.
    SoftTimeout,
    /// The process had to be killed.
    HardTimeout,
    /// The watch asked to stop the process.
    Stopped(String),
}

/// Time between kills of a child that has not ended yet.
const AGAIN: Duration = Duration::from_millis(20);

/// The state of one run's deadlines.
#[derive(Debug)]
pub(super) struct Deadline {
    soft: Instant,
    /// The time of the kill after the soft timeout; `None` if it is `grace` after the request to end.
    hard: Option<Instant>,
    grace: Duration,
    /// Known once the child was asked to end.
    kill_at: Option<Instant>,
    is_stopping: bool,
    end: End,
}

/// The next step of the supervisor.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Ask the child to end.
    pub terminate: bool,
    /// Kill the child.
    pub kill: bool,
    /// The time until the next deadline.
    pub wait: Duration,
}

impl Deadline {
    /// The deadlines of a run that began at `began`.
    pub(super) fn new(began: Instant, limits: &Limits) -> Self {
        Self {
            soft: began + limits.soft,
            hard: (limits.hard > limits.soft).then(|| began + limits.hard),
            grace: limits.grace,
            kill_at: None,
            is_stopping: false,
            end: End::Exited,
        }
    }

    /// Whether a stop request was received: there are no further ones.
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    /// Decides at `now`, when `stop` may be the reason of a stop request, what happens to a child that
    /// still runs.
    pub(super) fn next(&mut self, now: Instant, stop: Option<String>) -> Step {
        let mut terminate = false;
        if self.kill_at.is_none() && now >= self.soft {
            self.end = End::SoftTimeout;
            terminate = true;
            self.kill_at = Some(self.hard.unwrap_or(now + self.grace));
        }
        // A child past its soft timeout can still be stopped: its hard timeout may be far away.
        if let Some(reason) = stop {
            self.is_stopping = true;
            let at = now + self.grace;
            if self.kill_at.is_none() {
                self.end = End::Stopped(reason);
                terminate = true;
            }
            self.kill_at = Some(self.kill_at.map_or(at, |kill_at| kill_at.min(at)));
        }
        let kill = self.kill_at.is_some_and(|at| now >= at);
        if kill && self.end == End::SoftTimeout {
            self.end = End::HardTimeout;
        }
        let wait = match self.kill_at {
            Some(_) if kill => AGAIN,
            Some(at) => at - now,
            None => self.soft - now,
        };
        Step {
            terminate,
            kill,
            wait,
        }
    }

    /// The cause of the end of a child that has ended.
    pub(super) fn into_end(self) -> End {
        self.end
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::Leftovers;
    use super::*;

    fn deadline(soft: u64, hard: u64, grace: u64) -> (Instant, Deadline) {
        let limits = Limits {
            soft: sec(soft),
            hard: sec(hard),
            grace: sec(grace),
            capture: 0,
            memory: None,
            leftovers: Leftovers::Kill,
        };
        let began = Instant::now();
        (began, Deadline::new(began, &limits))
    }

    fn sec(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn step(terminate: bool, kill: bool, wait: Duration) -> Step {
        Step {
            terminate,
            kill,
            wait,
        }
    }

    #[test]
    fn a_child_is_asked_to_end_once_and_killed_until_it_is_gone() {
        let (began, mut deadline) = deadline(10, 30, 5);
        let mut next = |at| deadline.next(began + sec(at), None);
        assert_eq!(next(4), step(false, false, sec(6)));
        assert_eq!(next(10), step(true, false, sec(20)));
        assert_eq!(next(29), step(false, false, sec(1)));
        assert_eq!(next(30), step(false, true, AGAIN));
        assert_eq!(next(31), step(false, true, AGAIN));
        assert_eq!(deadline.into_end(), End::HardTimeout);
    }

    #[test]
    fn a_child_that_ends_in_time_has_exited() {
        let (began, mut deadline) = deadline(10, 30, 5);
        deadline.next(began + sec(9), None);
        assert_eq!(deadline.into_end(), End::Exited);
    }

    #[test]
    fn without_a_hard_timeout_the_grace_starts_at_the_request() {
        for hard in [0, 10] {
            let (began, mut deadline) = deadline(10, hard, 5);
            // This process was suspended for a while.
            let asked = deadline.next(began + sec(100), None);
            assert_eq!(asked, step(true, false, sec(5)));
            assert_eq!(deadline.into_end(), End::SoftTimeout);
        }
    }

    #[test]
    fn both_timeouts_may_have_passed_at_the_first_look() {
        let (began, mut deadline) = deadline(10, 30, 5);
        let both = deadline.next(began + sec(100), None);
        assert_eq!(both, step(true, true, AGAIN));
        assert_eq!(deadline.into_end(), End::HardTimeout);
    }

    #[test]
    fn a_stopped_child_has_the_grace_time() {
        let (began, mut deadline) = deadline(10, 30, 5);
        let asked = deadline.next(began + sec(1), Some("cancelled".into()));
        assert_eq!(asked, step(true, false, sec(5)));
        assert!(deadline.is_stopping());
        // The soft timeout no longer matters.
        assert_eq!(
            deadline.next(began + sec(10), None),
            step(false, true, AGAIN)
        );
        assert_eq!(deadline.into_end(), End::Stopped("cancelled".into()));
    }

    #[test]
    fn a_stop_after_the_soft_timeout_moves_only_the_kill() {
        let (began, mut deadline) = deadline(10, 30, 5);
        deadline.next(began + sec(10), None);
        let sooner = deadline.next(began + sec(11), Some("cancelled".into()));
        assert_eq!(sooner, step(false, false, sec(5)));
        assert_eq!(deadline.into_end(), End::SoftTimeout);

        let (began, mut deadline) = self::deadline(10, 30, 5);
        deadline.next(began + sec(10), None);
        let later = deadline.next(began + sec(28), Some("cancelled".into()));
        assert_eq!(later, step(false, false, sec(2)));
    }
}
