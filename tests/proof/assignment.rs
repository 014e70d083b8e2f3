//! The assignment of a taskset to workers, as a state machine of its own: two dispatchers, two workers
//! that crash, fall silent and come back, and a client that cancels. It mirrors taskset_assign,
//! worker_accept, worker_leave, worker_register, worker_evict and taskset_close.

use stateright::{Checker, HasDiscoveries, Model, Property};

/// Maximum workers of the taskset.
const MAX_WORKERS: u8 = 1;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
enum Status {
    #[default]
    Waiting,
    Running,
    Cancelled,
    Succeeded,
}

/// The keys of a worker.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Worker {
    listed: bool,
    beats: bool,
    /// Whether its hash names the taskset.
    taskset: bool,
    /// How often the taskset is in its queue.
    queue: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
enum Process {
    #[default]
    Idle,
    /// It has called worker_accept, and the reply was lost.
    Unsure,
    Runs,
    Dead,
}

/// The memory of a dispatcher: the taskset is read before the workers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
enum Dispatcher {
    #[default]
    Idle,
    Counted {
        given: u8,
    },
    Chosen {
        given: u8,
        room: u8,
        offered: u8,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct State {
    status: Status,
    given: u8,
    workers: [Worker; 2],
    processes: [Process; 2],
    dispatchers: [Dispatcher; 2],
    kills: u8,
    silences: u8,
    lost_replies: u8,
    cancels: u8,
    /// Deaths and silences so far: each may leave a worker more than the maximum.
    deaths: u8,
    broken: Option<Rule>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Rule {
    FinalStatusChanged,
    FinishedTasksetRun,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Action {
    Count(usize),
    Choose(usize),
    Assign(usize),
    Accept { worker: usize, lost: bool },
    Leave(usize),
    Kill(usize),
    Silence(usize),
    Beat(usize),
    Evict(usize),
    Restart(usize),
    Cancel,
    End,
}

/// A fault of the original, seeded into the model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutation {
    /// C1: the dispatcher sets a cancelled taskset running.
    CancelledIsRevived,
    /// C4: workers get the taskset again before they have reported the first time.
    AssignedAgain,
    /// Q4: a worker runs whatever is in its queue.
    StaleEntryIsRun,
}

struct Assignment(Option<Mutation>);

impl State {
    fn is_open(&self) -> bool {
        matches!(self.status, Status::Waiting | Status::Running)
    }

    fn engaged(&self) -> u8 {
        let there = self
            .workers
            .iter()
            .filter(|worker| worker.listed && worker.beats);
        there
            .filter(|worker| worker.taskset || worker.queue > 0)
            .count() as u8
    }

    /// A final status replaces one that is not; the reverse breaks a rule.
    fn set(&mut self, status: Status) {
        if !self.is_open() {
            self.broken.get_or_insert(Rule::FinalStatusChanged);
        }
        self.status = status;
    }
}

impl Assignment {
    fn is(&self, mutation: Mutation) -> bool {
        self.0 == Some(mutation)
    }

    fn choose(&self, state: &State, given: u8) -> Dispatcher {
        let room = MAX_WORKERS.saturating_sub(state.engaged());
        let offered = state.workers.iter().enumerate().filter(|(_, worker)| {
            worker.listed && worker.beats && !worker.taskset && worker.queue == 0
        });
        let offered = offered.fold(0, |bits, (place, _)| bits | 1 << place);
        match room > 0 && offered != 0 {
            true => Dispatcher::Chosen {
                given,
                room,
                offered,
            },
            false => Dispatcher::Idle,
        }
    }

    /// taskset_assign
    fn assign(&self, state: &mut State, given: u8, room: u8, offered: u8) {
        let revives = self.is(Mutation::CancelledIsRevived);
        let again = self.is(Mutation::AssignedAgain);
        if (!state.is_open() && !revives) || (state.given != given && !again) {
            return;
        }
        let mut new = 0;
        for place in (0..2).filter(|place| offered & (1 << place) != 0) {
            let worker = &mut state.workers[place];
            let is_idle = !worker.taskset && worker.queue == 0 && worker.beats;
            if new < room && (is_idle || again) {
                worker.queue = (worker.queue + 1).min(3);
                new += 1;
            }
        }
        if new > 0 {
            state.given = (state.given + new).min(8);
            if state.status != Status::Running {
                state.set(Status::Running);
            }
        }
    }

    /// worker_accept; whether the worker runs the taskset now.
    fn accept(&self, state: &mut State, place: usize) -> bool {
        let is_open = state.is_open();
        let worker = &mut state.workers[place];
        if worker.taskset {
            // An earlier call succeeded, and its reply was lost.
            worker.taskset = is_open;
            if is_open {
                return true;
            }
        }
        if worker.queue == 0 {
            return false;
        }
        worker.queue -= 1;
        if !is_open && !self.is(Mutation::StaleEntryIsRun) {
            return false;
        }
        worker.taskset = true;
        if !is_open {
            state.broken.get_or_insert(Rule::FinishedTasksetRun);
        } else if state.status == Status::Waiting {
            state.set(Status::Running);
        }
        true
    }

    /// From here on no fault happens: dispatchers, workers and tests take their turns.
    fn ends(&self, state: &State) -> bool {
        let mut state = *state;
        for _ in 0..10 {
            for place in 0..2 {
                let worker = &mut state.workers[place];
                if state.processes[place] == Process::Dead {
                    // The heartbeat expires, the dispatcher evicts, and a new worker starts.
                    *worker = Worker {
                        listed: true,
                        beats: true,
                        taskset: false,
                        queue: 0,
                    };
                    state.processes[place] = Process::Idle;
                }
                (worker.listed, worker.beats) = (true, true);
            }
            let given = state.given;
            if let Dispatcher::Chosen {
                given,
                room,
                offered,
            } = self.choose(&state, given)
            {
                self.assign(&mut state, given, room, offered);
            }
            for place in 0..2 {
                if self.accept(&mut state, place) {
                    return true;
                }
            }
            if !state.is_open() {
                return true;
            }
        }
        false
    }
}

impl Model for Assignment {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let worker = Worker {
            listed: true,
            beats: true,
            taskset: false,
            queue: 0,
        };
        vec![State {
            status: Status::Waiting,
            given: 0,
            workers: [worker; 2],
            processes: Default::default(),
            dispatchers: Default::default(),
            kills: 2,
            silences: 1,
            lost_replies: 2,
            cancels: 1,
            deaths: 0,
            broken: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (place, dispatcher) in state.dispatchers.iter().enumerate() {
            actions.push(match dispatcher {
                Dispatcher::Idle if !state.is_open() => continue,
                Dispatcher::Idle => Action::Count(place),
                Dispatcher::Counted { .. } => Action::Choose(place),
                Dispatcher::Chosen { .. } => Action::Assign(place),
            });
        }
        for (place, process) in state.processes.iter().enumerate() {
            let worker = &state.workers[place];
            match process {
                Process::Idle | Process::Unsure => {
                    actions.push(Action::Accept {
                        worker: place,
                        lost: false,
                    });
                    if state.lost_replies > 0 {
                        actions.push(Action::Accept {
                            worker: place,
                            lost: true,
                        });
                    }
                }
                Process::Runs => {
                    if !state.is_open() {
                        actions.push(Action::Leave(place));
                    }
                }
                Process::Dead => actions.push(Action::Restart(place)),
            }
            if *process != Process::Dead && state.kills > 0 {
                actions.push(Action::Kill(place));
            }
            if worker.beats && (*process == Process::Dead || state.silences > 0) {
                actions.push(Action::Silence(place));
            }
            if !worker.beats && *process != Process::Dead {
                actions.push(Action::Beat(place));
            }
            if worker.listed && !worker.beats {
                actions.push(Action::Evict(place));
            }
        }
        if state.cancels > 0 && state.is_open() {
            actions.push(Action::Cancel);
        }
        if state.status == Status::Running && state.processes.contains(&Process::Runs) {
            actions.push(Action::End);
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = *before;
        match action {
            Action::Count(place) => {
                state.dispatchers[place] = Dispatcher::Counted { given: state.given };
            }
            Action::Choose(place) => {
                if let Dispatcher::Counted { given } = state.dispatchers[place] {
                    state.dispatchers[place] = self.choose(&state, given);
                }
            }
            Action::Assign(place) => {
                let memory = std::mem::take(&mut state.dispatchers[place]);
                if let Dispatcher::Chosen {
                    given,
                    room,
                    offered,
                } = memory
                {
                    self.assign(&mut state, given, room, offered);
                }
            }
            Action::Accept { worker, lost } => {
                let runs = self.accept(&mut state, worker);
                state.lost_replies -= u8::from(lost);
                state.processes[worker] = match (lost, runs) {
                    (true, _) => Process::Unsure,
                    (false, true) => Process::Runs,
                    (false, false) => Process::Idle,
                };
            }
            Action::Leave(place) => {
                state.workers[place].taskset = false;
                state.processes[place] = Process::Idle;
            }
            Action::Kill(place) => {
                state.kills -= 1;
                state.deaths += 1;
                state.processes[place] = Process::Dead;
            }
            Action::Silence(place) => {
                if state.processes[place] != Process::Dead {
                    state.silences -= 1;
                    state.deaths += 1;
                }
                state.workers[place].beats = false;
            }
            Action::Beat(place) => {
                let worker = &mut state.workers[place];
                (worker.listed, worker.beats) = (true, true);
            }
            Action::Evict(place) => {
                let worker = &mut state.workers[place];
                (worker.listed, worker.queue) = (false, 0);
            }
            Action::Restart(place) => {
                // Its queue is kept: entries of finished tasksets are dropped when they are accepted.
                let worker = &mut state.workers[place];
                (worker.listed, worker.beats, worker.taskset) = (true, true, false);
                state.processes[place] = Process::Idle;
            }
            Action::Cancel => {
                state.cancels -= 1;
                state.set(Status::Cancelled);
            }
            Action::End => state.set(Status::Succeeded),
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("C4 few workers", |_: &Self, state: &State| {
                let few = state.engaged() <= MAX_WORKERS + state.deaths;
                !state.is_open() || few && state.workers.iter().all(|worker| worker.queue <= 1)
            }),
            Property::always("the rules about steps hold", |_: &Self, state: &State| {
                state.broken.is_none()
            }),
            Property::always(
                "I12 every taskset is accepted",
                |model: &Self, state: &State| model.ends(state),
            ),
        ]
    }
}

/// Explores all states; returns the first broken rule with its steps, and the number of states.
fn explore(model: Assignment) -> (Option<String>, usize) {
    let checker = model.checker().threads(2).finish_when(HasDiscoveries::Any);
    let checker = checker.spawn_bfs().join();
    let found = checker.discoveries().into_iter().next();
    let found = found.map(|(name, path)| format!("{name}: {:?}", path.into_actions()));
    (found, checker.unique_state_count())
}

pub const MUTATIONS: [Mutation; 3] = [
    Mutation::CancelledIsRevived,
    Mutation::AssignedAgain,
    Mutation::StaleEntryIsRun,
];

/// Explores all states; adds the broken rule to the findings. Returns the number of states.
pub fn long_form(findings: &mut Vec<String>) -> usize {
    let (found, states) = explore(Assignment(None));
    findings.extend(found);
    states
}

pub fn seeded_faults_found() -> usize {
    let found = |mutation: &&Mutation| explore(Assignment(Some(**mutation))).0.is_some();
    MUTATIONS.iter().filter(found).count()
}

#[test]
fn no_rule_of_assignment_is_broken_in_any_state() {
    let mut findings = Vec::new();
    let states = long_form(&mut findings);
    assert_eq!(findings, [""; 0]);
    assert!(states > 10_000, "{states}");
}

#[test]
fn each_seeded_fault_of_assignment_is_found() {
    for mutation in MUTATIONS {
        let (found, _) = explore(Assignment(Some(mutation)));
        assert!(found.is_some(), "{mutation:?} is not found");
    }
}
