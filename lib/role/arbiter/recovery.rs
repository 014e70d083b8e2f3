//! The arbiter's regular check of the active tasksets: it reaps dead slaves, requeues lost tasks,
//! ends tasksets that are done or that no worker can run, and gives long-running tasks a second
//! copy.
//!
//! A check takes at most five round trips, for any number of tasksets. The necessary actions then
//! run step by step, so that verdicts are not delayed. Slaves that seem dead and tasks that seem
//! lost must seem so at two checks in a row, so that messages in flight are not overtaken; a
//! taskset that no living worker can run is given longer. All other state is in Redis: a new watch
//! starts empty.

use crate::entity::slave::{self, SlaveState};
use crate::entity::speculation::{self, RunningTrial};
use crate::entity::taskset::{self, Facts, Skipped};
use crate::entity::{heartbeat, trial};
use crate::protocol::key::{SlaveKey, TaskKey, TasksetKey, TrialKey};
use crate::role::printed::Printed;
use crate::store::Store;
use crate::store::error::Refused;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

/// Maximum tasks requeued in one step: keeps a script under 5 ms.
const BATCH: usize = 200;

/// Maximum time for steps before messages are judged again.
const SLICE: Duration = Duration::from_millis(100);

/// How long a taskset waits for another worker when all living ones have reported that they cannot
/// run it: the worker that had it may be restarting or may have stalled.
const LAST_HOPE: Duration = Duration::from_secs(10);

/// Gap between two checks that shows an outage of Redis or of the arbiter: heartbeats may have
/// stopped only because they could not be sent.
const GAP: Duration = Duration::from_secs(5);

/// Time between full checks of a taskset that waits for a worker, while its status stays unset.
const WAITING: Duration = Duration::from_secs(10);

/// The state kept for all active tasksets, and the pending steps.
pub(crate) struct Watch {
    speculate_after: f64,
    tasksets: HashMap<TasksetKey, Memory>,
    last: Option<Instant>,
    /// The time until which missing heartbeats do not count.
    indulgent_until: Option<Instant>,
    broken: Skipped,
    /// Tasksets for which Redis has refused a command since the last check began.
    failed: HashSet<TasksetKey>,
    steps: VecDeque<(TasksetKey, Step)>,
    /// Whether the last check found a new suspicion, or a step has changed anything since.
    unsettled: bool,
}

/// The state kept for one taskset between two checks.
#[derive(Default)]
struct Memory {
    /// Slaves that need no more checks.
    ended: HashSet<SlaveKey>,
    silent: HashSet<SlaveKey>,
    missing: HashSet<TaskKey>,
    /// When each unfinished trial was first seen, by the arbiter's own clock (C12).
    begun: HashMap<TrialKey, Instant>,
    /// The time since which no living worker can run the taskset, although some are alive.
    hopeless: Option<Instant>,
    /// The time until which only its status is read, since it waits for a worker.
    waiting_until: Option<Instant>,
}

/// One pending action on a taskset.
enum Step {
    Reap(SlaveKey),
    Recover(Vec<TaskKey>),
    Speculate(Vec<TaskKey>),
    GiveUp,
}

/// The findings of a check about one taskset so far.
struct Found {
    taskset: TasksetKey,
    facts: Facts,
    /// The slaves that may be alive, then the number that are.
    slaves: Vec<SlaveKey>,
    alive: usize,
    last_trials: Vec<TrialKey>,
    running: Vec<RunningTrial>,
}

impl Watch {
    /// Speculates on tasks that run longer than `speculate_after` times their estimate.
    pub(crate) fn new(speculate_after: f64) -> Self {
        Self {
            speculate_after,
            tasksets: HashMap::new(),
            last: None,
            indulgent_until: None,
            broken: Skipped::default(),
            failed: HashSet::new(),
            steps: VecDeque::new(),
            unsettled: false,
        }
    }

    /// Whether the last check left nothing to do and nothing for the next check to confirm.
    pub(crate) fn is_settled(&self) -> bool {
        self.steps.is_empty() && !self.unsettled
    }

    /// Whether steps of the last check are left.
    pub(crate) fn has_steps(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Checks every active taskset; changes nothing in Redis.
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
        // With a backlog, trials that are only not judged yet would seem lost, and would be judged
        // out of order, from the end of their lists.
        self.find_lost(store, &found, unjudged > BATCH)?;
        for found in found {
            self.decide(found);
        }
        self.last = Some(Instant::now());
        Ok(())
    }

    /// Runs steps of the last check, for a short time.
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

    /// The active tasksets, except those that still wait for a worker as before.
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

    /// Counts the living slaves, and marks those that are silent again for reaping.
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
                    SlaveState::Ended => {
                        memory.ended.insert(slave);
                    }
                    SlaveState::Starting => {}
                    SlaveState::Silent if was_silent => {
                        let step = (found.taskset.clone(), Step::Reap(slave));
                        self.steps.push_back(step);
                    }
                    SlaveState::Silent => {
                        memory.silent.insert(slave);
                        self.unsettled = true;
                    }
                    SlaveState::Alive(trial) => {
                        found.alive += 1;
                        found.last_trials.extend(trial);
                    }
                }
            }
        }
        Ok(())
    }

    /// Finds the trials that living slaves are running, and how long they have run.
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

    /// Marks for recovery the tasks that are neither queued nor running on a living slave, at this
    /// check and the last.
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
            // From last to first, since each is requeued at the head of the queue.
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

    /// Decides everything that needs no further reads.
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
        // With no task queued the verdict is still on its way, even if the worker is gone; a
        // taskset that no worker has taken has not failed on any.
        if alive == 0 && facts.queued > 0 && facts.worker_logs > 0 {
            self.steps.push_back((taskset, Step::GiveUp));
        } else {
            self.memory(&taskset).hopeless = None;
        }
    }

    /// Runs one step; returns whether it changed anything.
    fn perform(
        &mut self,
        store: &mut Store,
        taskset: &TasksetKey,
        step: Step,
    ) -> anyhow::Result<bool> {
        match step {
            Step::Reap(slave) => {
                let why = "the slave's heartbeat stopped";
                slave::reap(store, taskset, &slave, why, false).printed()
            }
            Step::Recover(lost) => taskset::recover(store, taskset, &lost).printed(),
            Step::Speculate(tasks) => taskset::speculate(store, taskset, &tasks).printed(),
            Step::GiveUp => {
                let since = self.memory(taskset).hopeless.unwrap_or_else(Instant::now);
                let fail = since.elapsed() >= LAST_HOPE;
                let hopeless = taskset::fail_unrunnable(store, taskset, fail).printed()?;
                self.memory(taskset).hopeless = hopeless.then_some(since);
                Ok(hopeless)
            }
        }
    }
}
