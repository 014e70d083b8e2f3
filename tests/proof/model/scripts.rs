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

/// The arbiter's book of one call.
#[derive(Default)]
struct Book {
    succeeded: u8,
    failed: u8,
    flaky: u8,
    /// Finalise even if this call has judged nothing.
    look: bool,
}

/// The state of a task's trials.
#[derive(Default)]
struct Survey {
    finished: u8,
    bad: u8,
    good: bool,
    live: bool,
}

impl Scripts<'_> {
    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    fn redis(&mut self) -> &mut Redis {
        &mut self.state.redis
    }

    fn broken(&mut self, rule: Rule) {
        self.state.broken.get_or_insert(rule);
    }

    fn send(&mut self, message: Message) {
        self.state.overflow |= !self.state.redis.inbox.push(message);
    }

    fn queue_front(&mut self, task: u8) {
        self.state.overflow |= !self.state.redis.queue.push_front(task);
    }

    fn queue_back(&mut self, task: u8) {
        self.state.overflow |= !self.state.redis.queue.push(task);
    }

    fn ask_for_check(&mut self) {
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
    fn open_batch(&self, slave: u8) -> List<Key, 6> {
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

    /// shared/batch: whether the slave may go on.
    fn standing(&self, slave: Option<u8>) -> Option<Answer> {
        let redis = &self.state.redis;
        if !redis.is_open() {
            Some(Answer::Over)
        } else if slave.is_some_and(|slave| redis.slaves[slave as usize].ended) {
            Some(Answer::Fenced)
        } else {
            None
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
    fn reap(&mut self, slave: u8, certain: Option<Option<Key>>) -> bool {
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

    fn survey(&self, task: u8) -> Survey {
        let redis = &self.state.redis;
        let mut survey = Survey::default();
        for trial in redis.tasks[task as usize].trials.iter() {
            match trial.status {
                Status::Open => survey.live |= redis.slaves[trial.slave as usize].beats,
                Status::Passed => survey.good = true,
                Status::Failed | Status::Error => survey.bad += u8::from(!trial.stopped),
            }
            survey.finished += u8::from(trial.status != Status::Open);
        }
        survey
    }

    fn settle(&mut self, book: &mut Book, task: u8, status: Status, flaky: bool) {
        if status == Status::Failed && self.survey(task).good {
            self.broken(Rule::PassJudgedFailed);
        }
        match status {
            Status::Passed => book.succeeded += 1,
            _ => book.failed += 1,
        }
        book.flaky += u8::from(flaky && status == Status::Passed);
        if self.is(Mutation::CountedBeforeStatus) && self.state.budget.crashes > 0 {
            self.state.budget.crashes -= 1;
            return;
        }
        self.redis().left &= !(1 << task);
        let own = &mut self.redis().tasks[task as usize];
        let changed = own.status != Status::Open && own.status != status;
        own.status = status;
        if changed {
            self.broken(Rule::FinalStatusChanged);
        }
    }

    /// shared/judge: judges one finished trial.
    fn judge(&mut self, book: &mut Book, key: Key) {
        if !self.redis().is_open() && !self.is(Mutation::JudgedAfterTheEnd) {
            return;
        }
        let Some(trial) = self.redis().trial(key).copied() else {
            self.bury();
            return;
        };
        if trial.status == Status::Open {
            self.bury();
            return;
        }
        let own = self.redis().tasks[key.task as usize];
        if own.status != Status::Open && !self.is(Mutation::VerdictUnguarded) {
            return;
        }
        let passed = trial.status == Status::Passed;
        if passed && trial.timed && !own.many {
            return self.settle(book, key.task, Status::Passed, false);
        }
        let survey = self.survey(key.task);
        if passed {
            let flaky = own.trials.len() > 1 && survey.bad > 0;
            return self.settle(book, key.task, Status::Passed, flaky);
        }
        let again = self.is(Mutation::RequeuedAgain) || self.is(Mutation::VerdictUnguarded);
        if trial.judged && !again {
            return;
        }
        self.redis().trial_mut(key).expect("it was read").judged = true;
        if survey.good {
            return self.settle(book, key.task, Status::Passed, survey.bad > 0);
        }
        if survey.bad >= self.max_trials || survey.finished >= self.max_trials + STOPPED_ALLOWANCE {
            self.settle(book, key.task, Status::Failed, false);
        } else if !survey.live {
            self.requeue(key.task);
        }
    }

    fn requeue(&mut self, task: u8) {
        self.queue_front(task);
        self.redis().tasks[task as usize].queued = true;
    }

    fn bury(&mut self) {
        let redis = self.redis();
        redis.buried = (redis.buried + 1).min(2);
    }

    /// shared/judge: writes the book.
    fn flush(&mut self, book: &Book) {
        if !self.redis().is_open() && !self.is(Mutation::JudgedAfterTheEnd) {
            return;
        }
        let redis = self.redis();
        redis.succeeded += book.succeeded;
        redis.failed += book.failed;
        redis.flaky += book.flaky;
        let by_check = self.is(Mutation::FinishedCopiesStay) && !book.look;
        let redis = self.redis();
        if redis.left == 0 && (book.look || book.succeeded + book.failed > 0) && !by_check {
            self.finalise();
        }
    }

    fn finalise(&mut self) {
        let tasks = self.state.tasks;
        let f1 = self.is(Mutation::LostListSucceeds);
        let f2 = self.is(Mutation::NoTasksSucceed);
        let redis = self.redis();
        if redis.succeeded + redis.failed != tasks {
            let count = |wanted: &[Status]| {
                let own = redis.tasks[..tasks as usize].iter();
                own.filter(|task| wanted.contains(&task.status)).count() as u8
            };
            let (good, bad) = (count(&[Status::Passed]), count(&[Status::Failed]));
            if good + bad == tasks {
                (redis.succeeded, redis.failed) = (good, bad);
            }
        }
        let balanced = redis.succeeded + redis.failed == tasks;
        let green = redis.failed == 0 && (balanced || f1) && (tasks > 0 || f2);
        self.close(if green {
            Verdict::Succeeded
        } else {
            Verdict::Failed
        });
    }

    fn close(&mut self, verdict: Verdict) {
        let redis = self.redis();
        let changed = redis.verdict != Verdict::Running;
        redis.verdict = verdict;
        redis.queue.clear();
        redis.active = false;
        redis.handed_over = (redis.handed_over + 1).min(3);
        redis.receipts = (redis.receipts + 1).min(3);
        if changed {
            self.broken(Rule::FinalStatusChanged);
        }
    }

    /// trial_judge: judges at most `most` trials at the head of the arbiter's queue.
    pub fn trial_judge(&mut self, most: usize) {
        let mut book = Book::default();
        let mut taken = 0;
        while taken < most
            && let Some(Message::Trial(key)) = self.state.redis.inbox.get(taken).copied()
        {
            taken += 1;
            self.judge(&mut book, key);
        }
        if taken == 0 {
            return;
        }
        for _ in 0..taken {
            self.redis().inbox.pop_front();
        }
        self.flush(&book);
    }

    /// What the arbiter does with a message of another kind at the head of its queue.
    pub fn handle(&mut self) {
        let Some(message) = self.state.redis.inbox.first().copied() else {
            return;
        };
        match message {
            Message::Trial(_) => {}
            Message::Junk => {
                self.redis().inbox.pop_front();
                self.bury();
            }
            Message::Check => {
                self.task_recover(&[]);
                if self.redis().inbox.first() == Some(&Message::Check) {
                    self.redis().inbox.pop_front();
                }
            }
            Message::Cancel => {
                self.redis().inbox.pop_front();
                if self.is(Mutation::PoppedBeforeEffect) && self.state.budget.crashes > 0 {
                    self.state.budget.crashes -= 1;
                    return;
                }
                self.state.owed_cancel = false;
                if self.redis().is_open() {
                    self.close(Verdict::Cancelled);
                }
            }
        }
    }

    /// task_recover
    pub fn task_recover(&mut self, lost: &[u8]) {
        if !self.redis().is_open() {
            let again = self.is(Mutation::HandedOverAgain);
            let redis = self.redis();
            if again || std::mem::take(&mut redis.active) {
                redis.handed_over = (redis.handed_over + 1).min(3);
            }
            return;
        }
        if self.state.tasks == 0 {
            return self.finalise();
        }
        let mut book = Book {
            look: true,
            ..Book::default()
        };
        let mut queued = !self.redis().queue.is_empty();
        for task in lost {
            let own = self.redis().tasks[*task as usize];
            if own.status != Status::Open {
                self.redis().left &= !(1 << task);
                continue;
            } else if queued && own.queued {
                continue;
            }
            let mut waiting = false;
            for trial in own.trials.iter() {
                let key = Key {
                    task: *task,
                    slave: trial.slave,
                    call: trial.call,
                };
                // An earlier turn of this loop may have changed or deleted it.
                let Some(now) = self.redis().trial(key).copied() else {
                    continue;
                };
                let beats = self.redis().slaves[now.slave as usize].beats;
                if now.status != Status::Open {
                    if !now.judged {
                        self.judge(&mut book, key);
                        waiting = true;
                    }
                } else if beats {
                    waiting = true;
                } else if self.reap(now.slave, None) {
                    waiting = true;
                    queued = !self.redis().queue.is_empty();
                } else {
                    let trial = self.redis().trial_mut(key).expect("it was read");
                    (trial.status, trial.stopped) = (Status::Error, true);
                    self.judge(&mut book, key);
                    waiting = true;
                }
            }
            if !waiting {
                self.requeue(*task);
            }
        }
        self.flush(&book);
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
