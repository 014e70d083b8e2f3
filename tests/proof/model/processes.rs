//! The processes of the slaves: the calls that they make, and what they do with the replies.

use super::actions::{Fate, Protocol};
use super::list::List;
use super::scripts::Answer;
use super::state::*;

impl Protocol {
    /// The smallest number of a call that no trial and no call of the slave has.
    pub fn next_call(state: &State, slave: u8) -> u8 {
        let own = &state.processes[slave as usize];
        let used = |number: u8| {
            let trials = state.redis.tasks.iter().flat_map(|task| task.trials.iter());
            let calls = [own.pending, own.delayed];
            trials
                .clone()
                .any(|trial| trial.slave == slave && trial.call == number)
                || own.batch.iter().any(|key| key.call == number)
                || calls.iter().flatten().any(|call| match call {
                    Call::Reserve { call } => *call == number,
                    Call::Finish { next, batch, .. } => {
                        *next == number || batch.iter().any(|key| key.call == number)
                    }
                    Call::Release { running, rest } => {
                        running.call == number || rest.iter().any(|key| key.call == number)
                    }
                    Call::Join | Call::Exit => false,
                })
        };
        (0..=u8::MAX)
            .find(|number| !used(*number))
            .expect("few calls")
    }

    /// The calls that a slave may make now.
    pub fn calls(&self, state: &State, slave: u8) -> Vec<Call> {
        let own = &state.processes[slave as usize];
        if let Some(call) = own.pending {
            return vec![call];
        }
        let next = Self::next_call(state, slave);
        match own.phase {
            Phase::Joining => vec![Call::Join],
            Phase::Idle => vec![Call::Reserve { call: next }],
            Phase::Working => {
                let batch = own.batch;
                let mut calls = Vec::new();
                let results: &[[bool; 2]] = match batch.len() {
                    1 => &[[true, false], [false, false]],
                    _ => &[[true, true], [true, false], [false, true], [false, false]],
                };
                calls.extend(results.iter().map(|passed| Call::Finish {
                    batch,
                    passed: *passed,
                    next,
                }));
                if batch.len() == 2 && own.begun & 2 == 0 {
                    for running in 0..2 {
                        let rest = List::of(&batch[running + 1..]);
                        let running = batch[running];
                        calls.push(Call::Release { running, rest });
                    }
                }
                calls
            }
            _ => Vec::new(),
        }
    }

    /// Runs the call's script.
    pub(super) fn run(&self, state: &mut State, slave: u8, call: Call) -> Answer {
        let mut scripts = self.scripts(state);
        match call {
            Call::Join => scripts.join(slave),
            Call::Reserve { call } => scripts.trial_reserve(slave, call),
            Call::Finish {
                batch,
                passed,
                next,
            } => scripts.trial_finish(slave, &batch, passed, next),
            Call::Release { running, rest } => {
                scripts.trial_release(slave, running, &rest);
                Answer::None
            }
            Call::Exit => {
                scripts.exit(slave);
                Answer::None
            }
        }
    }

    /// The slave's process receives the reply.
    fn receive(own: &mut Process, call: Call, answer: Answer) {
        own.pending = None;
        match (call, answer) {
            (Call::Exit, _) => {
                *own = Process {
                    phase: Phase::Gone,
                    delayed: own.delayed,
                    ..Process::default()
                }
            }
            (Call::Release { running, .. }, _) => {
                let place = own.batch.iter().position(|key| *key == running);
                while own.batch.len() > place.map_or(0, |place| place + 1) {
                    own.batch.remove(own.batch.len() - 1);
                }
                own.begun = u8::MAX;
            }
            (_, Answer::Run(batch, begun)) => {
                (own.phase, own.batch, own.begun) = (Phase::Working, batch, begun);
            }
            (_, Answer::Over | Answer::Fenced) => {
                own.phase = Phase::Idle;
                own.batch.clear();
                own.begun = 0;
                own.pending = Some(Call::Exit);
            }
            (_, Answer::Empty | Answer::Skip | Answer::None) => {
                own.phase = Phase::Idle;
                own.batch.clear();
                own.begun = 0;
            }
        }
    }

    /// Makes the call; returns the answer unless it is delayed.
    pub fn call(&self, state: &mut State, slave: u8, call: Call, fate: Fate) -> Option<Answer> {
        if fate == Fate::Delayed {
            state.budget.delays -= 1;
            let own = &mut state.processes[slave as usize];
            (own.pending, own.delayed) = (Some(call), Some(call));
            return None;
        }
        let answer = self.run(state, slave, call);
        if fate == Fate::ReplyLost {
            state.budget.lost_replies -= 1;
            state.processes[slave as usize].pending = Some(call);
        } else {
            Self::receive(&mut state.processes[slave as usize], call, answer);
        }
        Some(answer)
    }

    /// The next step of a slave that knows only PROTOCOL.txt.
    pub fn foreign_step(&self, state: &mut State, slave: u8, passes: bool) {
        let call = Self::next_call(state, slave);
        let own = &mut state.processes[slave as usize];
        let redis = &mut state.redis;
        match own.phase {
            Phase::Joining => {
                (
                    redis.slaves[slave as usize].listed,
                    redis.slaves[slave as usize].beats,
                ) = (true, true);
                own.phase = Phase::Idle;
            }
            Phase::Idle => match redis.queue.pop_front() {
                Some(task) => own.phase = Phase::Popped(task),
                None if redis.is_open() => state.overflow |= !redis.inbox.push(Message::Check),
                None => own.phase = Phase::Gone,
            },
            Phase::Popped(task) => {
                let key = Key { task, slave, call };
                let trial = Trial {
                    slave,
                    call,
                    begun: true,
                    ..Trial::default()
                };
                state.overflow |= !redis.tasks[task as usize].trials.push(trial);
                state.overflow |= !redis.slaves[slave as usize].trials.push(key);
                (own.phase, own.batch) = (Phase::Working, List::of(&[key]));
            }
            Phase::Working => {
                let key = own.batch[0];
                if let Some(trial) = redis.trial_mut(key) {
                    trial.status = if passes {
                        Status::Passed
                    } else {
                        Status::Failed
                    };
                }
                own.batch.clear();
                own.phase = Phase::Recorded(key);
            }
            Phase::Recorded(key) => {
                state.overflow |= !redis.inbox.push(Message::Trial(key));
                own.phase = Phase::Idle;
            }
            Phase::Off | Phase::Killed(_) | Phase::Gone => {}
        }
    }

    pub(super) fn kill(state: &mut State, slave: u8, place: u8) {
        let own = &mut state.processes[slave as usize];
        let last = own.batch.get(place as usize).copied();
        *own = Process {
            phase: Phase::Killed(last),
            delayed: own.delayed,
            ..Process::default()
        };
        state.silent |= 1 << slave;
    }
}
