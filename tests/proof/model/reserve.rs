//! shared/reserve, trial_reserve and trial_finish.

use super::list::List;
use super::mutation::Mutation;
use super::scripts::{Answer, Scripts};
use super::state::*;

impl Scripts<'_> {
    /// shared/reserve: whether a requeued task should go to another slave.
    fn is_for_another(&self, slave: u8, task: u8, patient: bool) -> bool {
        let redis = &self.state.redis;
        let (mut tried, mut failed_on) = ([false; SLAVES], [false; SLAVES]);
        for trial in redis.tasks[task as usize].trials.iter() {
            tried[trial.slave as usize] = true;
            // Each slave has a worker of its own.
            failed_on[trial.slave as usize] |= trial.status != Status::Open && !trial.stopped;
        }
        let me = slave as usize;
        if !(failed_on[me] || tried[me]) {
            return false;
        }
        if self.is(Mutation::RetryNeedsAnotherSlave) {
            return true;
        }
        (0..SLAVES).any(|other| {
            let own = &redis.slaves[other];
            let last = own.trials.last().and_then(|key| redis.trial(*key));
            let is_busy = last.is_some_and(|trial| trial.status == Status::Open);
            let is_there = other != me && own.listed && own.beats && (patient || is_busy);
            is_there && ((failed_on[me] && !failed_on[other]) || (tried[me] && !tried[other]))
        })
    }

    /// shared/reserve
    fn reserve(
        &mut self,
        slave: u8,
        call: u8,
        patient: bool,
        announce: bool,
        holds: bool,
    ) -> Answer {
        if holds {
            let batch = self.open_batch(slave);
            if !batch.is_empty() {
                return self.again(&batch);
            }
        }
        let (mut skipped, mut taken) = (List::<u8, 6>::default(), None);
        while let Some(task) = self.redis().queue.pop_front() {
            let facts = self.redis().tasks[task as usize];
            if facts.status != Status::Open {
                if self.is(Mutation::FinishedCopiesStay) {
                    skipped.push(task);
                    break;
                }
                continue;
            }
            if !(facts.queued && self.is_for_another(slave, task, patient)) {
                taken = Some(task);
                break;
            }
            skipped.push(task);
        }
        for task in skipped.iter().rev() {
            self.queue_front(*task);
        }
        let Some(first) = taken else {
            if !skipped.is_empty() {
                return Answer::Skip;
            }
            if announce {
                self.ask_for_check();
            }
            return Answer::Empty;
        };
        if self.is(Mutation::PoppedBeforeTrial) && self.state.budget.crashes > 0 {
            self.state.budget.crashes -= 1;
            return Answer::None;
        }
        let was_queued = std::mem::take(&mut self.redis().tasks[first as usize].queued);
        let mut tasks = List::<u8, 2>::of(&[first]);
        if !was_queued {
            self.take_more(&mut tasks);
        }
        self.create(slave, call, &tasks)
    }

    /// The trials that the slave has reserved already.
    fn again(&self, batch: &List<Key, 6>) -> Answer {
        let (mut keys, mut begun) = (List::default(), 0);
        for (place, key) in batch.iter().enumerate().take(2) {
            keys.push(*key);
            let trial = self.state.redis.trial(*key).expect("an open trial");
            begun |= u8::from(trial.begun) << place;
        }
        Answer::Run(keys, begun)
    }

    fn take_more(&mut self, tasks: &mut List<u8, 2>) {
        let listed = self
            .state
            .redis
            .slaves
            .iter()
            .filter(|slave| slave.listed)
            .count();
        let redis = &mut self.state.redis;
        let share = redis.queue.len() / (2 * listed.max(1));
        if share < 1 {
            return;
        }
        let next = redis.queue[0];
        let facts = &redis.tasks[next as usize];
        if next != tasks[0] && facts.status == Status::Open && !facts.queued {
            tasks.push(next);
            redis.queue.remove(0);
        }
    }

    /// Creates the trials of a reservation.
    fn create(&mut self, slave: u8, call: u8, tasks: &[u8]) -> Answer {
        let mut keys = List::default();
        for task in tasks {
            let key = Key {
                task: *task,
                slave,
                call,
            };
            if self.state.redis.trial(key).is_some() {
                // This same call was run before, and its trial has ended.
                self.queue_front(*task);
                self.redis().tasks[*task as usize].queued = true;
                continue;
            }
            let trial = Trial {
                slave,
                call,
                begun: keys.is_empty(),
                ..Trial::default()
            };
            let state = &mut *self.state;
            let own = &mut state.redis.tasks[*task as usize];
            state.overflow |= !own.trials.push(trial);
            own.many |= own.trials.len() > 1;
            state.overflow |= !state.redis.slaves[slave as usize].trials.push(key);
            keys.push(key);
        }
        match keys.is_empty() {
            true => Answer::Skip,
            false => Answer::Run(keys, 1),
        }
    }

    /// trial_reserve
    pub fn trial_reserve(&mut self, slave: u8, call: u8) -> Answer {
        match self.standing(Some(slave)) {
            Some(answer) => answer,
            None => self.reserve(slave, call, true, true, true),
        }
    }

    /// trial_finish
    pub fn trial_finish(
        &mut self,
        slave: u8,
        batch: &[Key],
        passed: [bool; 2],
        next: u8,
    ) -> Answer {
        let open = |key: &Key| {
            self.state
                .redis
                .trial(*key)
                .is_some_and(|it| it.status == Status::Open)
        };
        let fresh = batch.iter().any(open);
        let standing = self.standing((!fresh).then_some(slave));
        let persisted = self.state.redis.persisted && !self.is(Mutation::WrittenAfterPersisted);
        let expired = standing.is_some() && persisted;
        for (place, key) in batch.iter().enumerate() {
            let status = if passed[place] {
                Status::Passed
            } else {
                Status::Failed
            };
            let overwrites = self.is(Mutation::LateResultOverwrites);
            let Some(trial) = self.redis().trial_mut(*key).filter(|_| !expired) else {
                continue;
            };
            if trial.status == Status::Open || overwrites {
                let changed = trial.status != Status::Open && trial.status != status;
                (trial.status, trial.timed) = (status, true);
                if changed {
                    self.broken(Rule::TrialStatusChanged);
                }
                let silent =
                    self.is(Mutation::RecordedWithoutMessage) && self.state.budget.crashes > 0;
                if silent {
                    self.state.budget.crashes -= 1;
                } else if standing != Some(Answer::Over) {
                    self.send(Message::Trial(*key));
                }
            }
        }
        match standing {
            Some(answer) => answer,
            None => self.reserve(slave, next, true, true, !fresh),
        }
    }
}
