//! The scripts of lib/lua as functions on the state, one for one. The names and the order of their
//! steps are those of the Lua code; a change there needs the same change here, and the replay shows
//! a difference.

use super::list::List;
use super::mutation::Mutation;
use super::state::*;

/// The scripts, on one state.
pub struct Scripts<'a> {
    pub state: &'a mut State,
    pub max_trials: u8,
    pub mutation: Option<Mutation>,
}

/// The answer to a reservation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The trials, and whether each has begun.
    Run(List<Key, 2>, u8),
    Empty,
    Skip,
    Over,
    Fenced,
    /// No reservation was asked for.
    None,
}

impl Scripts<'_> {
    pub(super) fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    pub(super) fn redis(&mut self) -> &mut Redis {
        &mut self.state.redis
    }

    pub(super) fn broken(&mut self, rule: Rule) {
        self.state.broken.get_or_insert(rule);
    }

    pub(super) fn send(&mut self, message: Message) {
        self.state.overflow |= !self.state.redis.inbox.push(message);
    }

    pub(super) fn queue_front(&mut self, task: u8) {
        self.state.overflow |= !self.state.redis.queue.push_front(task);
    }

    fn queue_back(&mut self, task: u8) {
        self.state.overflow |= !self.state.redis.queue.push(task);
    }

    pub(super) fn ask_for_check(&mut self) {
        if self.state.redis.inbox.last() != Some(&Message::Check) {
            self.send(Message::Check);
        }
    }

    /// slave_join
    pub fn join(&mut self, slave: u8) -> Answer {
        if !self.redis().is_open() {
            return Answer::Over;
        }
        let without = self.is(Mutation::JoinWithoutHeartbeat);
        let own = &mut self.redis().slaves[slave as usize];
        let has_joined = own.beats || (without && own.listed);
        if !(own.ended || has_joined) {
            own.beats = !without;
            own.listed = true;
        }
        Answer::None
    }

    /// slave_beat; false if the slave was declared dead.
    pub fn beat(&mut self, slave: u8) -> bool {
        let own = &mut self.redis().slaves[slave as usize];
        own.beats |= !own.ended;
        !own.ended
    }

    /// slave_exit
    pub fn exit(&mut self, slave: u8) {
        let persisted = self.redis().persisted && !self.is(Mutation::WrittenAfterPersisted);
        let own = &mut self.redis().slaves[slave as usize];
        own.ended |= !persisted;
        own.beats = false;
    }

    /// shared/batch: the slave's unended trials.
    pub(super) fn open_batch(&self, slave: u8) -> List<Key, 6> {
        let redis = &self.state.redis;
        let mut batch = List::default();
        for key in redis.slaves[slave as usize].trials.iter() {
            if redis
                .trial(*key)
                .is_some_and(|trial| trial.status == Status::Open)
            {
                batch.push(*key);
            }
        }
        batch
    }

    /// shared/batch: deletes the trials that have not begun, and requeues their tasks.
    fn give_back(&mut self, slave: u8, batch: &[(Key, bool)]) {
        for (key, begun) in batch.iter().rev() {
            if *begun {
                continue;
            }
            let redis = &mut self.state.redis;
            let is_open = redis.is_open();
            let task = &mut redis.tasks[key.task as usize];
            let place = task
                .trials
                .iter()
                .rposition(|t| (t.slave, t.call) == (key.slave, key.call));
            if let Some(place) = place {
                task.trials.remove(place);
            }
            redis.slaves[slave as usize].trials.remove_last(*key);
            if is_open && task.status == Status::Open && !task.queued {
                task.queued = true;
                self.queue_front(key.task);
            }
        }
    }

    fn unended(&self, keys: &[Key]) -> Vec<(Key, bool)> {
        let open = keys.iter().filter_map(|key| {
            let trial = self.state.redis.trial(*key)?;
            (trial.status == Status::Open).then_some((*key, trial.begun))
        });
        open.collect()
    }

    /// shared/batch: whether the slave may go on.
    pub(super) fn standing(&self, slave: Option<u8>) -> Option<Answer> {
        let redis = &self.state.redis;
        if !redis.is_open() {
            Some(Answer::Over)
        } else if slave.is_some_and(|slave| redis.slaves[slave as usize].ended) {
            Some(Answer::Fenced)
        } else {
            None
        }
    }

    /// trial_release
    pub fn trial_release(&mut self, slave: u8, running: Key, rest: &[Key]) {
        if self.redis().persisted {
            return;
        }
        if let Some(trial) = self.redis().trial_mut(running)
            && trial.status == Status::Open
        {
            trial.begun = true;
        }
        let rest = self.unended(rest);
        self.give_back(slave, &rest);
    }

    /// slave_reap: `certain` if its worker saw it die, with the trial that it began last.
    pub fn slave_reap(&mut self, slave: u8, certain: Option<Option<Key>>) -> bool {
        let redis = self.redis();
        let own = &redis.slaves[slave as usize];
        if (certain.is_none() && own.beats) || redis.persisted {
            return false;
        }
        self.reap(slave, certain)
    }

    /// shared/reap
    pub(super) fn reap(&mut self, slave: u8, certain: Option<Option<Key>>) -> bool {
        if self.redis().slaves[slave as usize].ended {
            return false;
        }
        if certain.is_none() && self.state.silent & (1 << slave) == 0 {
            self.broken(Rule::LivingSlaveReaped);
        }
        let keys = self.open_batch(slave);
        let mut batch = self.unended(&keys);
        let own = &mut self.redis().slaves[slave as usize];
        (own.ended, own.beats) = (true, false);
        let known =
            matches!((&batch[..], certain), ([(key, true)], Some(Some(last))) if *key == last);
        if let Some(first) = batch.first_mut() {
            first.1 = true;
        }
        self.give_back(slave, &batch);
        for (key, _) in batch.iter().filter(|(_, begun)| *begun) {
            if let Some(trial) = self.redis().trial_mut(*key) {
                (trial.status, trial.stopped) = (Status::Error, !known);
            }
            self.send(Message::Trial(*key));
        }
        true
    }

    /// task_speculate
    pub fn task_speculate(&mut self, task: u8) {
        let max_trials = self.max_trials;
        let again = self.is(Mutation::SpeculatedAgain);
        let redis = self.redis();
        if !redis.is_open() || max_trials == 1 || !redis.queue.is_empty() {
            return;
        }
        let own = &mut redis.tasks[task as usize];
        if own.status == Status::Open && (!own.speculated || again) {
            (own.speculated, own.queued) = (true, true);
            self.queue_back(task);
        }
    }

    /// taskset_mark_persisted
    pub fn mark_persisted(&mut self) {
        self.redis().persisted = true;
    }
}
