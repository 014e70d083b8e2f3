//! The arbiter's own look at the active tasksets: it reaps dead slaves, puts lost tasks back, ends
//! what is done or can be run by nobody, and gives tasks that run long a second copy.
//!
//! What seems dead or lost must seem so at two looks in a row, so that a slave or a message that is
//! just on its way is left alone; what nobody can run is waited with for longer. That is all a watch
//! remembers: a new one needs the same again.

use crate::heartbeat;
use crate::key::{SlaveKey, TaskKey, TasksetKey, TrialKey};
use crate::schedule::{self, Running};
use crate::slave::{self, Seen};
use crate::store::Store;
use crate::taskset::{self, Broken, Progress};
use crate::trial;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// Most tasks put back in one step: keeps a script under 5 ms.
const BATCH: usize = 200;

/// How long a taskset waits for a worker that might do better than those that live, which have all
/// said that they cannot run it: the one that had it may only be started anew, or have stood still.
const LAST_HOPE: Duration = Duration::from_secs(10);

/// What is remembered of all active tasksets.
pub struct Watch {
    speculate_after: f64,
    tasksets: HashMap<TasksetKey, Memory>,
    last: Option<Instant>,
    /// Until then no silence counts.
    indulgent_until: Option<Instant>,
    broken: Broken,
}

/// A look that comes so long after the last: Redis was away, or we were. Heartbeats may have stopped
/// only because nobody could send them.
const GAP: Duration = Duration::from_secs(5);

/// What is remembered of one taskset between two looks.
#[derive(Default)]
struct Memory {
    /// Slaves that need no look any more.
    ended: HashSet<SlaveKey>,
    silent: HashSet<SlaveKey>,
    missing: HashSet<TaskKey>,
    /// When each unfinished trial was first seen, by our own clock (C12).
    begun: HashMap<TrialKey, Instant>,
    /// Since when no living worker might run it, while others that cannot live.
    hopeless: Option<Instant>,
}

impl Watch {
    /// Speculates on tasks that run longer than `speculate_after` times their estimate.
    pub fn new(speculate_after: f64) -> Self {
        Self {
            speculate_after,
            tasksets: HashMap::new(),
            last: None,
            indulgent_until: None,
            broken: Broken::default(),
        }
    }

    /// One look at every active taskset.
    pub fn check(&mut self, store: &mut Store) -> anyhow::Result<()> {
        let active = taskset::active(store)?;
        let now = Instant::now();
        if self.last.is_some_and(|last| now - last > GAP) {
            self.indulgent_until = Some(now + Duration::from_secs(heartbeat::DEFAULT_SEC));
        }
        let indulgent = self.indulgent_until.is_some_and(|until| now < until);
        self.tasksets.retain(|taskset, _| active.contains(taskset));
        self.broken.keep(&active);
        for taskset in active {
            let memory = self.tasksets.entry(taskset.clone()).or_default();
            if indulgent {
                memory.silent.clear();
                memory.missing.clear();
            }
            let done = memory.check(store, &taskset, self.speculate_after);
            self.broken.pass_over(&taskset, done)?;
        }
        self.last = Some(Instant::now());
        Ok(())
    }
}

impl Memory {
    fn check(
        &mut self,
        store: &mut Store,
        taskset: &TasksetKey,
        speculate_after: f64,
    ) -> anyhow::Result<()> {
        let (alive, running) = self.look_at_slaves(store, taskset)?;
        let progress = Progress::load(store, taskset)?;
        let lost = self.find_lost(store, taskset, &progress, &running)?;
        if lost.is_empty() {
            taskset::recover(store, taskset, &[])?;
        }
        for chunk in lost.chunks(BATCH) {
            taskset::recover(store, taskset, chunk)?;
        }
        let idle = alive.saturating_sub(running.len());
        if progress.queued == 0 && progress.left > 0 && lost.is_empty() && idle > 0 {
            let least = progress.least_timeout_sec;
            let chosen = schedule::speculate(running, idle, speculate_after, least);
            if !chosen.is_empty() {
                taskset::speculate(store, taskset, &chosen)?;
            }
        }
        // With no task queued its verdict is still on the way, whoever has gone.
        if alive == 0 && progress.queued > 0 {
            let since = self.hopeless.unwrap_or_else(Instant::now);
            let fail = since.elapsed() >= LAST_HOPE;
            self.hopeless = taskset::give_up(store, taskset, fail)?.then_some(since);
        } else {
            self.hopeless = None;
        }
        Ok(())
    }

    /// The tasks that are neither queued nor tried by a living slave, at this look and the last.
    fn find_lost(
        &mut self,
        store: &mut Store,
        taskset: &TasksetKey,
        progress: &Progress,
        running: &[Running],
    ) -> anyhow::Result<Vec<TaskKey>> {
        let tried: HashSet<&TaskKey> = running.iter().map(|run| &run.task).collect();
        // An arbiter that is behind would take for lost what it has only not judged yet, and would
        // judge all of that out of order, from the far end of its lists.
        let behind = progress.unjudged > BATCH;
        if progress.queued > 0 || progress.left <= tried.len() || behind {
            self.missing.clear();
            return Ok(Vec::new());
        }
        let mut missing = taskset::tasks_left(store, taskset)?;
        missing.retain(|task| !tried.contains(task));
        // From the last to the first, since each is put back at the head of the queue.
        let again = missing
            .iter()
            .rev()
            .filter(|task| self.missing.contains(task));
        let lost = again.cloned().collect();
        self.missing = missing.into_iter().collect();
        Ok(lost)
    }

    /// Counts the living slaves and finds what they try; reaps those that are silent again.
    fn look_at_slaves(
        &mut self,
        store: &mut Store,
        taskset: &TasksetKey,
    ) -> anyhow::Result<(usize, Vec<Running>)> {
        let mut slaves = taskset::slaves(store, taskset)?;
        slaves.retain(|slave| !self.ended.contains(slave));
        let mut alive = 0;
        let mut last_trials = Vec::new();
        let seen = slave::look(store, &slaves)?;
        for (slave, seen) in slaves.into_iter().zip(seen) {
            let was_silent = self.silent.remove(&slave);
            match seen {
                Seen::Ended => {
                    self.ended.insert(slave);
                }
                Seen::Silent if was_silent => {
                    slave::reap(
                        store,
                        taskset,
                        &slave,
                        "the slave's heartbeat stopped",
                        false,
                    )?;
                }
                Seen::Silent => {
                    self.silent.insert(slave);
                }
                Seen::Alive(trial) => {
                    alive += 1;
                    last_trials.extend(trial);
                }
            }
        }
        let found = trial::unfinished(store, &last_trials)?;
        let mut begun = HashMap::with_capacity(found.len());
        let mut running = Vec::with_capacity(found.len());
        for (trial, mut run) in found {
            let since = self.begun.get(&trial).copied().unwrap_or_else(Instant::now);
            run.age = since.elapsed().as_secs_f64();
            begun.insert(trial, since);
            running.push(run);
        }
        self.begun = begun;
        Ok((alive, running))
    }
}
