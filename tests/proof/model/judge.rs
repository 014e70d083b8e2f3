//! shared/judge, trial_judge and task_recover, and an arbiter's handling of other messages.

use super::mutation::Mutation;
use super::scripts::Scripts;
use super::state::*;

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
}
