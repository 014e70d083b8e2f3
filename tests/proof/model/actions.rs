//! The actions: the steps of the processes, and the faults that may strike them.

use super::list::List;
use super::mutation::Mutation;
use super::properties;
use super::scripts::{Answer, Scripts};
use super::state::*;
use stateright::{Model, Property};

/// The fate of a call on its way to Redis and back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fate {
    Delivered,
    /// The script runs, and the slave does not know: it repeats the call.
    ReplyLost,
    /// The call arrives later than its own repetition.
    Delayed,
}

/// One step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// A slave makes a call, a new one or the one whose reply was lost.
    Call(u8, Call, Fate),
    /// A delayed copy of a slave's call arrives.
    Arrive(u8),
    Beat(u8),
    /// A slave's heartbeat expires.
    Silence(u8),
    /// A slave is killed while it runs the trial in this place of its batch.
    Kill(u8, u8),
    /// Its worker notices.
    WorkerReaps(u8),
    /// A replacement starts.
    Start(u8),
    ArbiterReaps(u8),
    /// An arbiter judges at most this many trials.
    Judge(u8),
    /// An arbiter handles a message that is not about a trial.
    Handle,
    /// An arbiter looks for lost tasks.
    Look,
    /// An arbiter recovers tasks that it has found lost, perhaps long ago.
    Recover(u8),
    Speculate(u8),
    /// A client asks for the taskset to be cancelled.
    Cancel,
    /// Another program writes a message without meaning.
    Malformed,
    /// Another program queues a copy of a task.
    ForeignCopy(u8),
    /// Redis loses tasks_left.
    LoseList,
    /// The persister has made the record durable.
    Persist,
    /// A slave that knows only PROTOCOL.txt takes its next step; with this status, where it has one.
    Foreign(u8, bool),
}

/// The model with its bounds.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    pub tasks: u8,
    pub max_trials: u8,
    pub budget: Budget,
    /// Whether slave 1 knows only PROTOCOL.txt.
    pub foreign: bool,
    pub mutation: Option<Mutation>,
}

impl Protocol {
    pub fn scripts<'a>(&self, state: &'a mut State) -> Scripts<'a> {
        Scripts {
            state,
            max_trials: self.max_trials,
            mutation: self.mutation,
        }
    }

    pub fn is_foreign(&self, slave: u8) -> bool {
        self.foreign && slave == 1
    }

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
    fn run(&self, state: &mut State, slave: u8, call: Call) -> Answer {
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

    fn kill(state: &mut State, slave: u8, place: u8) {
        let own = &mut state.processes[slave as usize];
        let last = own.batch.get(place as usize).copied();
        *own = Process {
            phase: Phase::Killed(last),
            delayed: own.delayed,
            ..Process::default()
        };
        state.silent |= 1 << slave;
    }

    fn slave_actions(&self, state: &State, slave: u8, actions: &mut Vec<Action>) {
        let (own, keys) = (
            &state.processes[slave as usize],
            &state.redis.slaves[slave as usize],
        );
        let budget = &state.budget;
        let alive = !matches!(own.phase, Phase::Off | Phase::Killed(_) | Phase::Gone);
        if self.is_foreign(slave) {
            if alive {
                actions.push(Action::Foreign(slave, true));
                if own.phase == Phase::Working {
                    actions.push(Action::Foreign(slave, false));
                }
            }
        } else {
            for call in self.calls(state, slave) {
                actions.push(Action::Call(slave, call, Fate::Delivered));
                if budget.lost_replies > 0 {
                    actions.push(Action::Call(slave, call, Fate::ReplyLost));
                }
                if budget.delays > 0
                    && own.delayed.is_none()
                    && call != Call::Join
                    && call != Call::Exit
                {
                    actions.push(Action::Call(slave, call, Fate::Delayed));
                }
            }
        }
        if own.delayed.is_some() {
            actions.push(Action::Arrive(slave));
        }
        if alive && keys.listed && !keys.beats {
            actions.push(Action::Beat(slave));
        }
        if keys.beats && (!alive || budget.false_deaths > 0) {
            actions.push(Action::Silence(slave));
        }
        if alive && budget.kills > 0 {
            let places = own.batch.len().max(1) as u8;
            actions.extend((0..places).map(|place| Action::Kill(slave, place)));
        }
        if matches!(own.phase, Phase::Killed(_)) {
            actions.push(Action::WorkerReaps(slave));
        }
        if keys.listed && !keys.ended && !keys.beats {
            actions.push(Action::ArbiterReaps(slave));
        }
    }

    /// The tasks that the arbiter takes for lost, a bit for each (role/arbiter/recovery.rs): it looks
    /// only while the queue is empty.
    fn missing(state: &State) -> u8 {
        let redis = &state.redis;
        if !redis.is_open() || !redis.queue.is_empty() {
            return 0;
        }
        let beating = redis.slaves.iter().filter(|slave| slave.beats);
        let last = beating.filter_map(|slave| slave.trials.last());
        let running = last.filter(|key| {
            redis
                .trial(**key)
                .is_some_and(|it| it.status == Status::Open)
        });
        running.fold(redis.left, |left, key| left & !(1 << key.task))
    }

    fn arbiter_actions(&self, state: &State, actions: &mut Vec<Action>) {
        match state.redis.inbox.first() {
            Some(Message::Trial(_)) => {
                actions.push(Action::Judge(1));
                if matches!(state.redis.inbox.get(1), Some(Message::Trial(_))) {
                    actions.push(Action::Judge(u8::MAX));
                }
            }
            Some(_) => actions.push(Action::Handle),
            None => {}
        }
        actions.push(Action::Recover(0));
        if Self::missing(state) & !state.suspects != 0 {
            actions.push(Action::Look);
        }
        if state.redis.is_open() {
            let suspected = (0..state.tasks).map(|task| 1 << task);
            let suspected = suspected.filter(|bit| state.suspects & bit != 0);
            actions.extend(suspected.map(Action::Recover));
            if state.suspects.count_ones() > 1 {
                actions.push(Action::Recover(state.suspects));
            }
            actions.extend((0..state.tasks).map(Action::Speculate));
        }
        if !state.redis.is_open() && !state.redis.persisted {
            actions.push(Action::Persist);
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = State {
            tasks: self.tasks,
            budget: self.budget,
            ..State::default()
        };
        state.redis.active = true;
        state.redis.left = (1 << self.tasks) - 1;
        (0..self.tasks).for_each(|task| assert!(state.redis.queue.push(task)));
        for own in &mut state.processes[..2] {
            own.phase = Phase::Joining;
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for slave in 0..SLAVES as u8 {
            self.slave_actions(state, slave, actions);
        }
        self.arbiter_actions(state, actions);
        let gone = |own: &Process| matches!(own.phase, Phase::Killed(_) | Phase::Gone);
        if state.processes[2].phase == Phase::Off && state.processes[..2].iter().any(gone) {
            actions.push(Action::Start(2));
        }
        let budget = &state.budget;
        let open = state.redis.is_open();
        if budget.cancels > 0 && open {
            actions.push(Action::Cancel);
        }
        if budget.malformed > 0 {
            actions.push(Action::Malformed);
        }
        if budget.duplicates > 0 && open {
            actions.extend((0..state.tasks).map(Action::ForeignCopy));
        }
        if budget.lost_lists > 0 && open && state.redis.left != 0 {
            actions.push(Action::LoseList);
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = *before;
        self.step(&mut state, action);
        let is_ours = !matches!(action, Action::Foreign(..));
        properties::check_step(before, &mut state, is_ours);
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }

    fn within_boundary(&self, state: &State) -> bool {
        !state.overflow
    }
}

impl Protocol {
    /// Takes the step; returns the answer of a call.
    pub fn step(&self, state: &mut State, action: Action) -> Option<Answer> {
        match action {
            Action::Call(slave, call, fate) => return self.call(state, slave, call, fate),
            Action::Arrive(slave) => {
                let call = state.processes[slave as usize].delayed.take();
                return Some(self.run(state, slave, call.expect("a delayed call")));
            }
            Action::Beat(slave) => {
                if !self.scripts(state).beat(slave) {
                    let own = &mut state.processes[slave as usize];
                    *own = Process {
                        phase: Phase::Gone,
                        delayed: own.delayed,
                        ..Process::default()
                    };
                }
            }
            Action::Silence(slave) => {
                let phase = state.processes[slave as usize].phase;
                if !matches!(phase, Phase::Killed(_) | Phase::Gone) {
                    state.budget.false_deaths -= 1;
                }
                state.silent |= 1 << slave;
                state.redis.slaves[slave as usize].beats = false;
            }
            Action::Kill(slave, place) => {
                state.budget.kills -= 1;
                Self::kill(state, slave, place);
            }
            Action::WorkerReaps(slave) => {
                let own = &mut state.processes[slave as usize];
                if let Phase::Killed(last) = std::mem::replace(&mut own.phase, Phase::Gone) {
                    self.scripts(state).slave_reap(slave, Some(last));
                }
            }
            Action::Start(slave) => state.processes[slave as usize].phase = Phase::Joining,
            Action::ArbiterReaps(slave) => {
                self.scripts(state).slave_reap(slave, None);
            }
            Action::Judge(most) => self.scripts(state).trial_judge(usize::from(most)),
            Action::Handle => self.scripts(state).handle(),
            Action::Look => state.suspects |= Self::missing(state),
            Action::Recover(mask) => {
                let lost: Vec<u8> = (0..state.tasks)
                    .rev()
                    .filter(|task| mask & (1 << task) != 0)
                    .collect();
                self.scripts(state).task_recover(&lost);
            }
            Action::Speculate(task) => self.scripts(state).task_speculate(task),
            Action::Cancel => {
                state.budget.cancels -= 1;
                state.owed_cancel = true;
                state.overflow |= !state.redis.inbox.push(Message::Cancel);
            }
            Action::Malformed => {
                state.budget.malformed -= 1;
                state.overflow |= !state.redis.inbox.push(Message::Junk);
            }
            Action::ForeignCopy(task) => {
                state.budget.duplicates -= 1;
                state.foreign_copy = true;
                state.overflow |= !state.redis.queue.push(task);
            }
            Action::LoseList => {
                state.budget.lost_lists -= 1;
                state.lost_list = true;
                state.redis.left = 0;
            }
            Action::Persist => self.scripts(state).mark_persisted(),
            Action::Foreign(slave, passes) => self.foreign_step(state, slave, passes),
        }
        None
    }
}
