//! A slave's batch of reserved tasks. When trials are very short, a slave reserves several tasks in
//! one call and reports their results in the next, so that many trials share a call to Redis.
//!
//! A batch never blocks others for long: one that exceeds its time limit is released, even in the
//! middle of a trial. Finished trials are then reported, and tasks that have not begun are
//! requeued.

use super::heartbeat;
use crate::entity::reservation::{self, Done, Next};
use crate::entity::{slave, suite_end};
use crate::process::stderr::say;
use crate::process::{signals, stdout};
use crate::protocol::job::Job;
use crate::protocol::key::{SlaveKey, TasksetKey};
use crate::protocol::limits::MAX_BATCH;
use crate::protocol::result::{SuiteEnd, TrialResult};
use crate::protocol::status::SlaveStatus;
use crate::protocol::{event, time};
use crate::store::Store;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Target duration of a batch: the call to Redis is a small part of it.
const AIM: Duration = Duration::from_millis(10);
/// Maximum duration of a batch before it is released.
const LONGEST: Duration = Duration::from_millis(30);
/// Maximum bytes of unreported output: more would use too much memory and block Redis.
const UNTOLD: usize = 256 << 10;

/// The tasks that a slave has reserved, and the connection for reserving and finishing them.
pub(crate) struct Batch(Arc<Shared>);

struct Shared {
    table: Mutex<Table>,
    /// Signalled when there is a deadline to wait for.
    woken: Condvar,
}

struct Table {
    store: Store,
    taskset: TasksetKey,
    key: SlaveKey,
    pace: Pace,
    /// Tasks not begun, in order.
    waiting: VecDeque<Job>,
    running: Option<Job>,
    /// The start of the running trial.
    began: Instant,
    /// Finished trials that are not reported yet.
    done: Vec<Done>,
    /// The time at which the batch is released; `None` if it has only one task.
    due: Option<Instant>,
    keeper: Keeper,
    /// The error while releasing the batch.
    trouble: Option<anyhow::Error>,
}

/// The state of the keeper, the thread that releases batches.
#[derive(PartialEq, Eq)]
enum Keeper {
    /// Not started: there was no batch of several tasks yet.
    Absent,
    /// Waiting for a batch.
    Idle,
    /// Waiting for a batch's deadline.
    Awake,
}

impl Batch {
    /// An empty batch of the slave `key`.
    pub(crate) fn new(store: Store, taskset: TasksetKey, key: SlaveKey) -> Self {
        let table = Table {
            store,
            taskset,
            key,
            pace: Pace::default(),
            waiting: VecDeque::new(),
            running: None,
            began: Instant::now(),
            done: Vec::new(),
            due: None,
            keeper: Keeper::Absent,
            trouble: None,
        };
        Self(Arc::new(Shared {
            table: Mutex::new(table),
            woken: Condvar::new(),
        }))
    }

    /// Reserves the next task, when the batch is empty. `patient` and `announce` are those of
    /// [`reservation::reserve`].
    pub(crate) fn reserve(&mut self, patient: bool, announce: bool) -> anyhow::Result<Next<Job>> {
        let mut table = self.0.lock();
        let next = table.reserve(patient, announce)?;
        self.0.watch(&mut table)?;
        Ok(next)
    }

    /// Finishes the current trial with `result`, and takes the next task if `more`.
    pub(crate) fn finish(&mut self, result: TrialResult, more: bool) -> anyhow::Result<Next<Job>> {
        let mut table = self.0.lock();
        let next = table.finish(result, more)?;
        self.0.watch(&mut table)?;
        Ok(next)
    }

    /// Reports that the slave has started its `number`th runner.
    pub(crate) fn open_suite(&mut self, number: u32) -> anyhow::Result<()> {
        let table = &mut *self.0.lock();
        suite_end::open(&mut table.store, &table.taskset, &table.key, number)
    }

    /// Reports how the slave's `number`th runner ended, when the batch is empty.
    pub(crate) fn end_suite(&mut self, number: u32, end: &SuiteEnd) -> anyhow::Result<()> {
        let table = &mut *self.0.lock();
        suite_end::tell(&mut table.store, &table.taskset, &table.key, number, end)
    }

    /// Asks the arbiter to check whether the taskset is complete.
    pub(crate) fn ask_for_check(&mut self) -> anyhow::Result<()> {
        let table = &mut *self.0.lock();
        slave::ask_for_check(&mut table.store, &table.taskset)
    }

    /// Whether a task is waiting for its trial.
    pub(crate) fn is_queued(&mut self) -> anyhow::Result<bool> {
        let table = &mut *self.0.lock();
        slave::is_queued(&mut table.store, &table.taskset)
    }

    /// Reports the slave's exit reason, when the batch is empty.
    pub(crate) fn leave(self, status: SlaveStatus) -> anyhow::Result<()> {
        let table = &mut *self.0.lock();
        slave::exit(&mut table.store, &table.taskset, &table.key, status)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("no panic with a batch")
    }

    /// Puts a batch of several tasks under the keeper's watch.
    fn watch(self: &Arc<Self>, table: &mut Table) -> std::io::Result<()> {
        if table.due.is_none() {
            return Ok(());
        }
        match table.keeper {
            Keeper::Absent => {
                let shared = self.clone();
                heartbeat::thread("hand", move || shared.keep())?;
            }
            Keeper::Idle => self.woken.notify_one(),
            // The keeper finds this batch at the deadline of an earlier one.
            Keeper::Awake => {}
        }
        table.keeper = Keeper::Awake;
        Ok(())
    }

    /// The keeper's thread: releases each batch at its deadline.
    fn keep(&self) {
        let broken = "no panic with a batch";
        let mut table = self.lock();
        loop {
            let Some(due) = table.due else {
                table.keeper = Keeper::Idle;
                table = self.woken.wait(table).expect(broken);
                continue;
            };
            let left = due.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                table = self.woken.wait_timeout(table, left).expect(broken).0;
            } else if let Err(trouble) = table.put_down() {
                // The running test is not worth waiting for.
                table.trouble = Some(trouble);
                signals::request();
            }
        }
    }
}

impl Table {
    fn reserve(&mut self, patient: bool, announce: bool) -> anyhow::Result<Next<Job>> {
        let (store, most) = (&mut self.store, self.pace.most());
        let next = reservation::reserve(store, &self.taskset, &self.key, most, patient, announce)?;
        Ok(self.take(next))
    }

    fn finish(&mut self, result: TrialResult, more: bool) -> anyhow::Result<Next<Job>> {
        if let Some(trouble) = self.trouble.take() {
            return Err(trouble);
        }
        let now = Instant::now();
        self.pace.learn(now - self.began);
        if let Some(job) = self.running.take() {
            self.done.push(Done::new(&self.key, job, result));
        }
        if self.waiting.is_empty() {
            let most = if more { self.pace.most() } else { 0 };
            let next = self.tell(most)?;
            return Ok(self.take(next));
        }
        let is_due = self.due.is_some_and(|due| now >= due) || self.untold() > UNTOLD;
        if more && !is_due {
            return Ok(self.begin_next());
        }
        match self.put_down()? {
            Next::Empty if more => self.reserve(true, true),
            next => Ok(self.take(next)),
        }
    }

    /// Fills the empty batch from the reply, and begins its first task.
    fn take(&mut self, next: Next) -> Next<Job> {
        match next {
            Next::Run(jobs) => {
                self.due = (jobs.len() > 1).then(|| Instant::now() + LONGEST);
                self.waiting = jobs.into();
                self.begin_next()
            }
            Next::Empty => Next::Empty,
            Next::Skip => Next::Skip,
            Next::Over(status) => Next::Over(status),
            Next::Fenced => Next::Fenced,
        }
    }

    /// Bytes of unreported output.
    fn untold(&self) -> usize {
        let results = self.done.iter().map(|done| &done.result);
        results
            .map(|result| result.stdout.len() + result.stderr.len())
            .sum()
    }

    fn begin_next(&mut self) -> Next<Job> {
        self.began = Instant::now();
        self.running = self.waiting.pop_front();
        self.running.clone().map_or(Next::Empty, Next::Run)
    }

    /// Reports finished trials, and reserves up to `most` tasks.
    fn tell(&mut self, most: usize) -> anyhow::Result<Next> {
        self.due = None;
        let done = std::mem::take(&mut self.done);
        let (counted, next) =
            reservation::finish(&mut self.store, &self.taskset, &self.key, &done, most)?;
        for (done, counted) in done.iter().zip(counted) {
            if !counted {
                let file = &done.job.spec_file;
                say!("rrr-slave: the result of '{file}' came too late to count");
            }
            stdout::line_of(|| event::stamped(time::unix_ms(), self.taskset.as_str(), &done.told));
        }
        Ok(next)
    }

    /// Reports finished and running trials, and releases the rest; returns whether the slave may
    /// continue, as [`reservation::finish`] does.
    fn put_down(&mut self) -> anyhow::Result<Next> {
        self.due = None;
        let next = if self.done.is_empty() {
            Next::Empty
        } else {
            self.tell(0)?
        };
        let rest = Vec::from(std::mem::take(&mut self.waiting));
        let running = self.running.as_ref().filter(|job| !job.begun);
        if !rest.is_empty() || running.is_some() {
            let store = &mut self.store;
            reservation::release(store, &self.taskset, &self.key, running, &rest)?;
        }
        if let Some(job) = &mut self.running {
            job.begun = true;
        }
        Ok(next)
    }
}

/// The estimated duration of a trial: it rises at once to that of the last trial but falls slowly,
/// so that a long test rarely starts with others waiting behind it in the batch.
#[derive(Default)]
struct Pace {
    trial: Option<Duration>,
}

impl Pace {
    fn learn(&mut self, took: Duration) {
        self.trial = Some(match self.trial {
            Some(known) if known > took => known - (known - took) / 8,
            _ => took,
        });
    }

    /// Number of tasks to reserve.
    fn most(&self) -> usize {
        let trial = self.trial.map_or(AIM, |trial| trial.max(AIM / MAX_BATCH));
        (AIM.as_micros() / trial.as_micros().max(1)).clamp(1, u128::from(MAX_BATCH)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_grows_only_while_trials_are_known_to_be_short() {
        let mut pace = Pace::default();
        assert_eq!(pace.most(), 1);
        pace.learn(Duration::from_micros(50));
        assert_eq!(pace.most(), 16);
        pace.learn(Duration::from_millis(2));
        assert_eq!(pace.most(), 5);
        pace.learn(Duration::from_secs(2));
        assert_eq!(pace.most(), 1);
        pace.learn(Duration::from_micros(50));
        assert_eq!(pace.most(), 1);
    }
}
