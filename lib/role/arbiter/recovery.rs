//! The arbiter's own look at the active tasksets: it reaps dead slaves, requeues lost tasks, ends
//! tasksets that are done or that no worker can run, and gives long-running tasks a second copy.
//!
//! A look is at most five round trips, however many tasksets there are. What must be done about it is
//! then done step by step, so that verdicts are not held up. Slaves that seem dead and tasks that seem
//! lost must seem so at two looks in a row, so that a message on its way is left alone; a taskset that no
//! living worker can run is given longer. A watch remembers nothing else: a new one needs the same again.

use crate::entity::slave::{self, Seen};
use crate::entity::speculation::{self, Running};
use crate::entity::taskset::{self, Broken, Facts};
use crate::entity::{heartbeat, trial};
use crate::protocol::key::{SlaveKey, TaskKey, TasksetKey, TrialKey};
use crate::store::Store;
use crate::store::error::Refused;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

/// Maximum tasks requeued in one step: keeps a script under 5 ms.
const BATCH: usize = 200;

/// How long steps are done until messages are judged again.
const SLICE: Duration = Duration::from_millis(100);

/// How long a taskset waits for a worker that might do better than those that live, which have all
/// reported that they cannot run it: the one that had it may be restarting, or have stood still.
const LAST_HOPE: Duration = Duration::from_secs(10);

/// A look that comes this long after the last: Redis or the arbiter was away. Heartbeats may have
/// stopped only because they could not be sent.
const GAP: Duration = Duration::from_secs(5);

/// How long a taskset that waits for a worker is not looked at in full while its status stays unset.
const WAITING: Duration = Duration::from_secs(10);

/// What is remembered of all active tasksets, and what must be done about them.
pub(crate) struct Watch {
    speculate_after: f64,
    tasksets: HashMap<TasksetKey, Memory>,
    last: Option<Instant>,
    /// Until then no silence counts.
    indulgent_until: Option<Instant>,
    broken: Broken,
    /// Tasksets about which Redis has refused something since the last look began.
    failed: HashSet<TasksetKey>,
    steps: VecDeque<(TasksetKey, Step)>,
    /// Whether the last look found a first sign of something, or a step has changed something since.
    unsettled: bool,
}

/// What is remembered of one taskset between two looks.
#[derive(Default)]
struct Memory {
    /// Slaves that need no look any more.
    ended: HashSet<SlaveKey>,
    silent: HashSet<SlaveKey>,
    missing: HashSet<TaskKey>,
    /// When each unfinished trial was first seen, by the arbiter's own clock (C12).
    begun: HashMap<TrialKey, Instant>,
    /// Since when no living worker might run it, while others that cannot live.
    hopeless: Option<Instant>,
    /// Until when it is only asked for its status, since it waits for a worker.
    waiting_until: Option<Instant>,
}

/// One thing to be done about a taskset.
enum Step {
    Reap(SlaveKey),
    Recover(Vec<TaskKey>),
    Speculate(Vec<TaskKey>),
    GiveUp,
}

/// What a look has found of one taskset so far.
struct Found {
    taskset: TasksetKey,
    facts: Facts,
    /// Slaves that may live, then how many do.
    slaves: Vec<SlaveKey>,
    alive: usize,
    last_trials: Vec<TrialKey>,
    running: Vec<Running>,
}

impl Watch {
    /// Speculates on tasks that run longer than `speculate_after` times their estimate.
    pub(crate) fn new(speculate_after: f64) -> Self {
        Self {
            speculate_after,
            tasksets: HashMap::new(),
            last: None,
            indulgent_until: None,
            broken: Broken::default(),
            failed: HashSet::new(),
            steps: VecDeque::new(),
            unsettled: false,
        }
    }

    /// Whether the last look has left nothing to do, and nothing that the next must confirm.
    pub(crate) fn is_settled(&self) -> bool {
        self.steps.is_empty() && !self.unsettled
    }

    /// Whether steps are left of the last look.
    pub(crate) fn has_steps(&self) -> bool {
        !self.steps.is_empty()
    }

    /// One look at every active taskset; changes nothing in Redis.
    pub(crate) fn look(&mut self, store: &mut Store) -> anyhow::Result<()> {
        let active = self.active(store)?;
        self.unsettled = false;
        let (unjudged, facts) = taskset::facts(store, &active)?;
        let mut found = Vec::with_capacity(active.len());
        for (taskset, facts) in active.into_iter().zip(facts) {
            if let Some(facts) = self.unless_refused(&taskset, facts)? {
                self.note_waiting(&taskset, &facts);
                found.push(self.begin(taskset, facts));
            }
        }
        self.look_at_slaves(store, &mut found)?;
        self.look_at_trials(store, &mut found)?;
        found.retain(|found| !self.failed.contains(&found.taskset));
        // An arbiter that is behind would take for lost what it has only not judged yet, and would
        // judge all of that out of order, from the far end of its lists.
        self.find_lost(store, &found, unjudged > BATCH)?;
        for found in found {
            self.decide(found);
        }
        self.last = Some(Instant::now());
        Ok(())
    }

    /// Does steps of the last look, for a short time.
    pub(crate) fn work(&mut self, store: &mut Store) -> anyhow::Result<()> {
        let began = Instant::now();
        while let Some((taskset, step)) = self.steps.pop_front() {
            if !self.failed.contains(&taskset) {
                let done = self.perform(store, &taskset, step);
                self.unsettled |= *done.as_ref().unwrap_or(&false);
                self.pass_over(&taskset, done.map(drop))?;
            }
            if began.elapsed() >= SLICE {
                break;
            }
        }
        Ok(())
    }

    /// The active tasksets, less those that still wait for a worker as they did before.
    fn active(&mut self, store: &mut Store) -> anyhow::Result<Vec<TasksetKey>> {
        let now = Instant::now();
        let asked: Vec<TasksetKey> = (self.tasksets.iter())
            .filter(|(_, memory)| memory.waiting_until.is_some_and(|until| now < until))
            .map(|(taskset, _)| taskset.clone())
            .collect();
        let (mut active, waiting) = taskset::active_and_waiting(store, &asked)?;
        if self.last.is_some_and(|last| now - last > GAP) {
            self.indulgent_until = Some(now + Duration::from_secs(heartbeat::DEFAULT_SEC));
        }
        self.tasksets.retain(|taskset, _| active.contains(taskset));
        self.broken.keep(&active);
        let failed = std::mem::take(&mut self.failed);
        for taskset in active.iter().filter(|taskset| !failed.contains(taskset)) {
            self.broken.pass_over(taskset, Ok(()))?;
        }
        active.retain(|taskset| !waiting.contains(taskset));
        Ok(active)
    }

    fn pass_over(&mut self, taskset: &TasksetKey, done: anyhow::Result<()>) -> anyhow::Result<()> {
        if done.is_err() {
            self.failed.insert(taskset.clone());
            self.broken.pass_over(taskset, done)?;
        }
        Ok(())
    }

    fn unless_refused<T>(
        &mut self,
        taskset: &TasksetKey,
        answer: Result<T, Refused>,
    ) -> anyhow::Result<Option<T>> {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(refused) => {
                self.pass_over(taskset, Err(refused.into()))?;
                Ok(None)
            }
        }
    }

    fn memory(&mut self, taskset: &TasksetKey) -> &mut Memory {
        self.tasksets.entry(taskset.clone()).or_default()
    }

    fn note_waiting(&mut self, taskset: &TasksetKey, facts: &Facts) {
        let waits = facts.waits && facts.tasks > 0;
        self.memory(taskset).waiting_until = waits.then(|| Instant::now() + WAITING);
    }

    fn begin(&mut self, taskset: TasksetKey, mut facts: Facts) -> Found {
        let indulgent = self.indulgent_until.is_some_and(|t| Instant::now() < t);
        let memory = self.memory(&taskset);
        if indulgent {
            memory.silent.clear();
            memory.missing.clear();
        }
        let mut slaves = std::mem::take(&mut facts.slaves);
        slaves.retain(|slave| !memory.ended.contains(slave));
        Found {
            taskset,
            facts,
            slaves,
            alive: 0,
            last_trials: Vec::new(),
            running: Vec::new(),
        }
    }

    /// Counts the living slaves; those that are silent again are to be reaped.
    fn look_at_slaves(&mut self, store: &mut Store, found: &mut [Found]) -> anyhow::Result<()> {
        let all: Vec<SlaveKey> = (found.iter())
            .flat_map(|found| found.slaves.iter().cloned())
            .collect();
        let mut seen = slave::look_each(store, &all)?.into_iter();
        for found in found {
            for slave in std::mem::take(&mut found.slaves) {
                let seen = seen.next().expect("an answer for each slave");
                let Some(seen) = self.unless_refused(&found.taskset, seen)? else {
                    continue;
                };
                let memory = self.memory(&found.taskset);
                let was_silent = memory.silent.remove(&slave);
                match seen {
                    Seen::Ended => {
                        memory.ended.insert(slave);
                    }
                    Seen::Starting => {}
                    Seen::Silent if was_silent => {
                        let step = (found.taskset.clone(), Step::Reap(slave));
                        self.steps.push_back(step);
                    }
                    Seen::Silent => {
                        memory.silent.insert(slave);
                        self.unsettled = true;
                    }
                    Seen::Alive(trial) => {
                        found.alive += 1;
                        found.last_trials.extend(trial);
                    }
                }
            }
        }
        Ok(())
    }

    /// Finds the trials that living slaves make, and how long they have run.
    fn look_at_trials(&mut self, store: &mut Store, found: &mut [Found]) -> anyhow::Result<()> {
        let all: Vec<TrialKey> = (found.iter())
            .flat_map(|found| found.last_trials.iter().cloned())
            .collect();
        let mut seen = trial::unfinished_each(store, &all)?.into_iter();
        for found in found {
            let mut begun = HashMap::new();
            for trial in std::mem::take(&mut found.last_trials) {
                let seen = seen.next().expect("an answer for each trial");
                if let Some(Some(mut run)) = self.unless_refused(&found.taskset, seen)? {
                    let memory = self.memory(&found.taskset);
                    let since = memory.begun.get(&trial).copied();
                    let since = since.unwrap_or_else(Instant::now);
                    run.age = run.age.max(since.elapsed().as_secs_f64());
                    begun.insert(trial, since);
                    found.running.push(run);
                }
            }
            self.memory(&found.taskset).begun = begun;
        }
        Ok(())
    }

    /// The tasks that are neither queued nor tried by a living slave, at this look and the last, are to
    /// be recovered.
    fn find_lost(
        &mut self,
        store: &mut Store,
        found: &[Found],
        behind: bool,
    ) -> anyhow::Result<()> {
        let mut suspect = Vec::new();
        for found in found {
            let tried: HashSet<&TaskKey> = found.running.iter().map(|run| &run.task).collect();
            let facts = &found.facts;
            if facts.queued > 0 || facts.left <= tried.len() || behind || !facts.runs {
                self.memory(&found.taskset).missing.clear();
            } else {
                suspect.push((found.taskset.clone(), tried));
            }
        }
        let keys: Vec<&TasksetKey> = suspect.iter().map(|(taskset, _)| taskset).collect();
        let left = taskset::tasks_left_each(store, &keys)?;
        for ((taskset, tried), left) in suspect.into_iter().zip(left) {
            let Some(mut missing) = self.unless_refused(&taskset, left)? else {
                continue;
            };
            missing.retain(|task| !tried.contains(task));
            let known = std::mem::take(&mut self.memory(&taskset).missing);
            self.unsettled |= missing.iter().any(|task| !known.contains(task));
            // From the last to the first, since each is put back at the head of the queue.
            let again = missing.iter().rev().filter(|task| known.contains(*task));
            let lost: Vec<TaskKey> = again.cloned().collect();
            for chunk in lost.chunks(BATCH) {
                let step = Step::Recover(chunk.to_vec());
                self.steps.push_back((taskset.clone(), step));
            }
            self.memory(&taskset).missing = missing.into_iter().collect();
        }
        Ok(())
    }

    /// Decides on the rest, which needs no further look.
    fn decide(&mut self, found: Found) {
        let Found {
            taskset,
            facts,
            alive,
            running,
            ..
        } = found;
        let is_lost =
            |(of, step): &(TasksetKey, Step)| *of == taskset && matches!(step, Step::Recover(_));
        let has_lost = self.steps.iter().any(is_lost);
        if facts.may_be_over() && !has_lost {
            self.steps
                .push_back((taskset.clone(), Step::Recover(Vec::new())));
        }
        let idle = alive.saturating_sub(running.len());
        if facts.queued == 0 && facts.left > 0 && !has_lost && idle > 0 {
            let (after, least) = (self.speculate_after, facts.least_timeout_sec);
            let chosen = speculation::speculate(running, idle, after, least);
            if !chosen.is_empty() {
                self.steps
                    .push_back((taskset.clone(), Step::Speculate(chosen)));
            }
        }
        // With no task queued its verdict is still on the way, whoever has gone; where no worker has
        // been, none has failed.
        if alive == 0 && facts.queued > 0 && facts.worker_logs > 0 {
            self.steps.push_back((taskset, Step::GiveUp));
        } else {
            self.memory(&taskset).hopeless = None;
        }
    }

    /// Does one step; returns whether that has changed anything.
    fn perform(
        &mut self,
        store: &mut Store,
        taskset: &TasksetKey,
        step: Step,
    ) -> anyhow::Result<bool> {
        match step {
            Step::Reap(slave) => {
                let why = "the slave's heartbeat stopped";
                slave::reap(store, taskset, &slave, why, false)
            }
            Step::Recover(lost) => taskset::recover(store, taskset, &lost),
            Step::Speculate(tasks) => taskset::speculate(store, taskset, &tasks),
            Step::GiveUp => {
                let since = self.memory(taskset).hopeless.unwrap_or_else(Instant::now);
                let fail = since.elapsed() >= LAST_HOPE;
                let hopeless = taskset::fail_unrunnable(store, taskset, fail)?;
                self.memory(taskset).hopeless = hopeless.then_some(since);
                Ok(hopeless)
            }
        }
    }
}
