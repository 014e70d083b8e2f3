//! The actions: the steps of the processes, and the faults that may strike them.

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
