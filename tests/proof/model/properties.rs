//! The promises, as rules about states and steps. The names I1 to I12 are those of rrr-fsck and of
//! tests/core/faults/README.md.

use super::actions::{Fate, Protocol};
use super::mutation::Mutation;
use super::state::*;
use stateright::Property;

/// A rule about one state.
type Check = fn(&Protocol, &State) -> bool;

/// The rules about states, each with its name.
pub const RULES: [(&str, Check); 10] = [
    ("I1 one receipt and one record", one_end),
    ("I2 the counts are the verdicts", counts_are_verdicts),
    ("I3 success means a pass of each task", success_means_passes),
    (
        "I4 tasks_left are the tasks without a verdict",
        left_is_open,
    ),
    ("I5 no task is lost", no_task_is_lost),
    ("I6 few copies of a task run at once", few_copies),
    ("I8 a finished taskset is not active", finished_is_inactive),
    ("I12 every taskset ends once faults stop", ends),
    ("no cancel request is lost", cancel_is_kept),
    ("the rules about steps hold", steps_hold),
];

pub fn all() -> Vec<Property<Protocol>> {
    let rules = RULES.iter();
    rules
        .map(|(name, check)| Property::always(name, *check))
        .collect()
}

fn tasks(state: &State) -> &[Task] {
    &state.redis.tasks[..state.tasks as usize]
}

fn one_end(_: &Protocol, state: &State) -> bool {
    let ends = u8::from(!state.redis.is_open());
    (state.redis.receipts, state.redis.handed_over) == (ends, ends)
}

fn counts_are_verdicts(_: &Protocol, state: &State) -> bool {
    let count = |status| {
        tasks(state)
            .iter()
            .filter(|task| task.status == status)
            .count() as u8
    };
    let counts = (state.redis.succeeded, state.redis.failed);
    counts == (count(Status::Passed), count(Status::Failed))
}

fn success_means_passes(_: &Protocol, state: &State) -> bool {
    let has_pass = |task: &Task| {
        task.trials
            .iter()
            .any(|trial| trial.status == Status::Passed)
    };
    let passed = |task: &Task| task.status == Status::Passed && has_pass(task);
    state.redis.verdict != Verdict::Succeeded
        || (state.tasks > 0 && tasks(state).iter().all(passed))
}

fn left_is_open(_: &Protocol, state: &State) -> bool {
    let open = tasks(state).iter().enumerate();
    let open = open.filter(|(_, task)| task.status == Status::Open);
    let open = open.fold(0, |bits, (place, _)| bits | 1 << place);
    state.lost_list || !state.redis.is_open() || state.redis.left == open
}

/// A slave that knows only PROTOCOL.txt loses the task that it pops, until the arbiter looks.
fn no_task_is_lost(model: &Protocol, state: &State) -> bool {
    let redis = &state.redis;
    let is_safe = |place: usize, task: &Task| {
        let announced = |trial: &Trial| {
            let key = Key {
                task: place as u8,
                slave: trial.slave,
                call: trial.call,
            };
            redis.inbox.contains(&Message::Trial(key))
        };
        let will_be_judged = |trial: &Trial| trial.status == Status::Open || announced(trial);
        redis.queue.contains(&(place as u8)) || task.trials.iter().any(will_be_judged)
    };
    let mut open = tasks(state).iter().enumerate();
    model.foreign
        || !redis.is_open()
        || open.all(|(place, task)| task.status != Status::Open || is_safe(place, task))
}

/// A slave that knows only PROTOCOL.txt runs a task that it has popped, whatever became of it since.
fn few_copies(model: &Protocol, state: &State) -> bool {
    let slaves = &state.redis.slaves;
    let allowed = |task: &Task| {
        1 + usize::from(task.speculated)
            + usize::from(state.foreign_copy)
            + state.silent.count_ones() as usize
    };
    let running = |task: &Task| {
        let trials = task.trials.iter();
        trials
            .filter(|it| it.status == Status::Open && !slaves[it.slave as usize].ended)
            .count()
    };
    let copies = |place: usize| {
        let queued = state
            .redis
            .queue
            .iter()
            .filter(|task| **task as usize == place);
        queued.count()
    };
    let mut all = tasks(state).iter().enumerate();
    model.foreign
        || all.all(|(place, task)| {
            task.status != Status::Open || running(task) + copies(place) <= allowed(task)
        })
}

fn finished_is_inactive(_: &Protocol, state: &State) -> bool {
    state.redis.active == state.redis.is_open()
}

fn cancel_is_kept(_: &Protocol, state: &State) -> bool {
    !state.owed_cancel || state.redis.inbox.contains(&Message::Cancel)
}

fn steps_hold(_: &Protocol, state: &State) -> bool {
    state.broken.is_none()
}

/// The rules about a step; `is_ours`: of our own processes.
pub fn check_step(before: &State, after: &mut State, is_ours: bool) {
    if before.redis.is_open() {
        return;
    }
    let mut broken = None;
    if after.redis.verdict != before.redis.verdict {
        broken = Some(Rule::FinalStatusChanged);
    }
    if before.redis.persisted && is_ours {
        // Heartbeats expire by themselves, and messages are read by the arbiter.
        let mut now = after.redis;
        (now.inbox, now.buried) = (before.redis.inbox, before.redis.buried);
        for (slave, own) in now.slaves.iter_mut().enumerate() {
            own.beats = before.redis.slaves[slave].beats;
        }
        if now != before.redis {
            broken = Some(Rule::WrittenAfterPersisted);
        }
    }
    after.broken = after.broken.or(broken);
}

/// I12: from here on no fault happens, tests pass, and everybody takes a turn.
fn ends(model: &Protocol, state: &State) -> bool {
    let mut state = *state;
    for _ in 0..40 {
        if !state.redis.is_open() {
            return true;
        }
        let alive =
            |own: &Process| !matches!(own.phase, Phase::Off | Phase::Killed(_) | Phase::Gone);
        if !state.processes.iter().any(alive) && state.processes[2].phase == Phase::Off {
            state.processes[2].phase = Phase::Joining;
        }
        for slave in 0..SLAVES as u8 {
            take_turn(model, &mut state, slave);
        }
        for _ in 0..10 {
            model.scripts(&mut state).trial_judge(usize::MAX);
            model.scripts(&mut state).handle();
        }
        let waits = model.mutation == Some(Mutation::FinishedCopiesStay);
        if !waits || state.redis.queue.is_empty() {
            let all: Vec<u8> = (0..state.tasks).rev().collect();
            model.scripts(&mut state).task_recover(&all);
        }
    }
    // Where all slaves are gone, only new ones can end it.
    state.processes[2].phase == Phase::Gone
}

fn take_turn(model: &Protocol, state: &mut State, slave: u8) {
    match state.processes[slave as usize].phase {
        Phase::Off | Phase::Gone => {
            let own = &mut state.redis.slaves[slave as usize];
            own.beats = false;
            state.silent |= 1 << slave;
            if own.listed && !own.ended {
                model.scripts(state).slave_reap(slave, None);
            }
        }
        Phase::Killed(last) => {
            state.processes[slave as usize].phase = Phase::Gone;
            model.scripts(state).slave_reap(slave, Some(last));
        }
        _ => {
            let is_listed = state.redis.slaves[slave as usize].listed;
            if is_listed && !model.scripts(state).beat(slave) {
                state.processes[slave as usize] = Process {
                    phase: Phase::Gone,
                    ..Process::default()
                };
            } else if model.is_foreign(slave) {
                model.foreign_step(state, slave, true);
            } else if let Some(call) = model.calls(state, slave).first() {
                model.call(state, slave, *call, Fate::Delivered);
            }
        }
    }
}
