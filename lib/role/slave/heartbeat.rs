//! The slave's second thread: sends the heartbeat and listens for news (a verdict from another
//! slave, the end of the taskset), so that a long test delays neither.

use crate::entity::event_stream::START;
use crate::entity::heartbeat::Heartbeat;
use crate::entity::slave;
use crate::entity::wake::{self, Wake};
use crate::exec::adapter::GRACE;
use crate::exec::child::Watch;
use crate::process::stderr::say;
use crate::process::{signals, stdout};
use crate::protocol::key::{SlaveKey, TaskKey, TasksetKey};
use crate::store::Store;
use std::collections::HashSet;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Time for a runner's exit, such as hooks after the suite: less than the worker allows.
const LAST_HOOKS: Duration = Duration::from_secs(8);

/// The news received so far.
#[derive(Default)]
struct News {
    work: u64,
    /// Whether the last news was that no task is left.
    none_left: bool,
    /// The final status of the taskset, once it has finished.
    over: Option<String>,
    fenced: bool,
    orphaned: bool,
    verdicts: HashSet<String>,
}

/// The thread's news, shared with the thread that runs the tests.
pub(crate) struct HeartbeatThread {
    news: Mutex<News>,
    seen_work: Mutex<u64>,
}

impl HeartbeatThread {
    pub(crate) fn start(
        store: Store,
        taskset: &TasksetKey,
        key: &SlaveKey,
        heartbeat: Heartbeat,
    ) -> std::io::Result<Arc<Self>> {
        let pulse = Arc::new(Self {
            news: Mutex::default(),
            seen_work: Mutex::default(),
        });
        let (shared, taskset, key) = (pulse.clone(), taskset.clone(), key.clone());
        thread("pulse", move || {
            shared.beat_and_listen(store, &taskset, &key, &heartbeat)
        })?;
        if std::env::var_os("RRR_SUPERVISED").is_some() {
            // The slave shares the worker's stdout, whose closing must not stop a test.
            stdout::is_only_a_log();
            let shared = pulse.clone();
            thread("parent", move || {
                // The worker holds the write end of stdin, which closes when the worker dies.
                let mut byte = [0];
                while matches!(std::io::stdin().read(&mut byte), Ok(n) if n > 0) {}
                shared.note(|news| news.orphaned = true);
                // Without a worker the slave does not wait for an unreachable Redis (K3): the
                // arbiter requeues its trial once the heartbeat stops.
                signals::request();
            })?;
        }
        Ok(pulse)
    }

    fn note(&self, change: impl FnOnce(&mut News)) {
        change(&mut self.news.lock().expect("no panic while noting news"));
        signals::nudge();
    }

    fn beat_and_listen(
        &self,
        mut store: Store,
        taskset: &TasksetKey,
        key: &SlaveKey,
        heartbeat: &Heartbeat,
    ) {
        let mut after = START.to_owned();
        let mut last_beat = Instant::now();
        loop {
            if last_beat.elapsed() >= heartbeat.beat() {
                match slave::beat(&mut store, key, heartbeat) {
                    Ok(true) => last_beat = Instant::now(),
                    Ok(false) => {
                        last_beat = Instant::now();
                        self.note(|news| news.fenced = true);
                    }
                    Err(error) => return self.fall_silent(&error),
                }
            }
            let wait = heartbeat
                .beat()
                .saturating_sub(last_beat.elapsed())
                .min(heartbeat.listen());
            let wait_ms = wait.as_millis().max(1) as u64;
            let wakes = match wake::wakes(&mut store, taskset, &mut after, wait_ms) {
                Ok(wakes) => wakes,
                Err(error) => return self.fall_silent(&error),
            };
            if wakes.is_empty() {
                continue;
            }
            let over = wakes.iter().any(|wake| matches!(wake, Wake::Over(_)));
            self.note(|news| {
                for wake in wakes {
                    match wake {
                        Wake::Work => {
                            news.work += 1;
                            news.none_left = false;
                        }
                        Wake::End => news.none_left = true,
                        Wake::Stop(task) => {
                            news.verdicts.insert(task);
                        }
                        Wake::Over(status) => news.over = Some(status),
                    }
                }
            });
            if over {
                // The event stream has ended; only the heartbeat continues.
                std::thread::sleep(Duration::from_millis(500));
            }
        }
    }

    /// Makes the slave exit when Redis permanently refuses its heartbeat: it would be declared
    /// dead.
    fn fall_silent(&self, error: &anyhow::Error) {
        if !signals::requested() {
            say!("rrr-slave: cannot send heartbeats, leaving: {error:#}");
            self.note(|news| news.orphaned = true);
        }
    }

    /// Whether the slave should not take another task.
    pub(crate) fn must_end(&self) -> bool {
        let news = self.news.lock().expect("no panic while noting news");
        signals::requested() || news.over.is_some() || news.fenced || news.orphaned
    }

    /// Whether no task is left, according to the last news.
    pub(crate) fn none_left(&self) -> bool {
        self.news
            .lock()
            .expect("no panic while noting news")
            .none_left
    }

    /// Notes that tasks are left, despite earlier news that none were.
    pub(crate) fn expect_work(&self) {
        self.news
            .lock()
            .expect("no panic while noting news")
            .none_left = false;
    }

    /// The time limit for the end of the suite once the taskset has finished: it no longer counts
    /// then.
    pub(crate) fn haste(&self) -> Option<Duration> {
        let news = self.news.lock().expect("no panic while noting news");
        let status = news.over.as_deref()?;
        let whole = matches!(status, "succeeded" | "failed");
        let hurried = signals::requested() || news.fenced || news.orphaned;
        Some(if whole && !hurried { LAST_HOOKS } else { GRACE })
    }

    /// Waits until a task is queued. With `has_end`, also until no task is left, since the slave
    /// must then run the end of the suite.
    pub(crate) fn wait_for_work(&self, has_end: bool) -> Waited {
        // Other implementations queue without an event, so check again now and then.
        let deadline = Instant::now() + Duration::from_secs(2);
        let mut seen = self.seen_work.lock().expect("only this thread waits");
        loop {
            signals::drain();
            if self.must_end() {
                return Waited::MustEnd;
            } else if has_end && self.none_left() {
                return Waited::NoneLeft;
            }
            let work = self.news.lock().expect("no panic while noting news").work;
            if work != *seen || Instant::now() >= deadline {
                *seen = work;
                return Waited::Work;
            }
            signals::sleep(deadline.saturating_duration_since(Instant::now()));
        }
    }
}

/// The reason why a wait for work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// A task may be queued.
    Work,
    /// No task is left; the taskset waits for the ends of its suites.
    NoneLeft,
    /// The slave should leave.
    MustEnd,
}

/// Starts a thread with a small stack.
pub(crate) fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name(name.into())
        .stack_size(256 << 10)
        .spawn(work)?;
    Ok(())
}

/// The slave's current activity.
pub(crate) enum Busy {
    /// Starting a runner.
    Start,
    /// Running a trial of this task.
    Trial(TaskKey),
    /// Ending the runner.
    End,
}

/// Listens for reasons to interrupt the current activity.
pub(crate) struct Listener {
    pub pulse: Arc<HeartbeatThread>,
    pub busy: Busy,
}

impl Watch for Listener {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(signals::fd())
    }

    fn stop(&mut self) -> Option<String> {
        signals::drain();
        let news = self.pulse.news.lock().expect("no panic while noting news");
        let why = if news.fenced {
            "the slave was declared dead"
        } else if news.over.is_some() {
            "the taskset has finished"
        } else if matches!(&self.busy, Busy::Trial(task) if news.verdicts.contains(task.as_str())) {
            "another copy of the task was faster"
        } else if matches!(self.busy, Busy::Start) && news.none_left {
            "no task is left"
        } else if news.orphaned {
            "the worker is gone"
        } else if signals::requested() {
            "the slave was asked to stop"
        } else {
            return None;
        };
        Some(why.to_owned())
    }
}
