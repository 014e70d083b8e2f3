//! Replay: random traces of the model, run step by step on the real scripts in a real Redis. After
//! each step the state read back from Redis equals the model's.

mod dump;
mod real;
mod scripts;

use crate::harness::*;
use crate::model::*;
use dump::Dump;
use real::Real;
use scripts::Client;
use stateright::Model;

pub const TASKSET: &str = "rrrspec:taskset:t";
const ARBITER: &str = "rrrspec:arbiter_queue";
const ACTIVE: &str = "rrrspec:active_taskset";
const PERSISTER: &str = "rrrspec:persister_queue";
const DEAD: &str = "rrrspec:arbiter_queue:dead";
/// The time of every step: the scripts only store it.
const NOW: &[u8] = b"2026-01-01 00:00:00 +0000";
/// A message without meaning.
const JUNK: &[u8] = b"nonsense";

/// The steps of one trace.
const STEPS: usize = 50;
/// The traces of the short form.
const TRACES: u64 = 300;

pub fn task_key(task: u8) -> String {
    format!("{TASKSET}:task:t{task}")
}

pub fn slave_key(slave: u8) -> String {
    format!("rrrspec:worker:w{slave}:slave:{slave}")
}

pub fn trial_key(key: Key) -> String {
    format!(
        "{}:trial:{}",
        task_key(key.task),
        call_name(key.slave, key.call)
    )
}

fn call_name(slave: u8, call: u8) -> String {
    format!("s{slave}c{call}")
}

/// The bytes of a message in the arbiter's queue.
pub fn message_bytes(message: Message) -> Vec<u8> {
    match message {
        Message::Junk => JUNK.to_vec(),
        Message::Trial(key) => format!("trial\t{}", trial_key(key)).into_bytes(),
        Message::Check => format!("check\t{TASKSET}").into_bytes(),
        Message::Cancel => format!("cancel\t{TASKSET}").into_bytes(),
    }
}

/// The model's answer to a reservation in the words of the scripts.
fn expected(state: &State, answer: Answer) -> String {
    let over = match state.redis.verdict {
        Verdict::Running => "running",
        Verdict::Succeeded => "succeeded",
        Verdict::Failed => "failed",
        Verdict::Cancelled => "cancelled",
    };
    match answer {
        Answer::Empty => "empty".into(),
        Answer::Skip => "skip".into(),
        Answer::Over => format!("over {over}"),
        Answer::Fenced => "fenced ".into(),
        Answer::None => String::new(),
        Answer::Run(keys, begun) => {
            let trial = |(place, key): (usize, &Key)| {
                let trials = &state.redis.tasks[key.task as usize].trials;
                let attempt = trials.len();
                let begun = begun >> place & 1;
                format!(" {} t{}  {attempt} {begun}", trial_key(*key), key.task)
            };
            let trials: String = keys.iter().enumerate().map(trial).collect();
            format!("run{trials}")
        }
    }
}

/// Takes the steps on both; returns how the first state or answer differs.
fn difference(real: &Real, model: &Protocol, steps: &[Action]) -> Option<String> {
    let mut state = model.init_states().remove(0);
    real.begin(model);
    for (place, action) in steps.iter().enumerate() {
        let before = state;
        let answer = model.step(&mut state, *action);
        let told = real.step(&before, *action);
        if let (Some(answer), Some(told)) = (answer, told) {
            let wanted = expected(&state, answer);
            // Joining answers 'joined' or a status.
            let joins = matches!(action, Action::Call(_, Call::Join, _));
            if !joins && wanted != told {
                return Some(format!(
                    "step {place}, {action:?}: '{told}', not '{wanted}'"
                ));
            }
        }
        let seen = real.dump.read(real.client, model.tasks);
        if seen != state.redis {
            let (wanted, seen) = (format!("{:#?}", state.redis), format!("{seen:#?}"));
            let lines = seen
                .lines()
                .zip(wanted.lines())
                .filter(|(a, b)| a != b)
                .take(10);
            let lines: String = lines
                .map(|(a, b)| format!("\n  {} != {}", a.trim(), b.trim()))
                .collect();
            return Some(format!("step {place}, {action:?}: Redis != model:{lines}"));
        }
    }
    None
}

/// Whether each step is possible after those before it.
fn is_possible(model: &Protocol, steps: &[Action]) -> bool {
    let mut state = model.init_states().remove(0);
    steps.iter().all(|step| {
        let mut actions = Vec::new();
        model.actions(&state, &mut actions);
        let possible = actions.contains(step);
        if possible {
            model.step(&mut state, *step);
        }
        possible && !state.overflow
    })
}

/// A random trace.
fn trace(model: &Protocol, random: &mut fastrand::Rng) -> Vec<Action> {
    let mut state = model.init_states().remove(0);
    let mut steps = Vec::new();
    for _ in 0..4 * STEPS {
        let mut actions = Vec::new();
        model.actions(&state, &mut actions);
        let Some(action) = random.choice(actions) else {
            break;
        };
        // Steps without an effect would make up most of a trace.
        let Some(next) = model
            .next_state(&state, action)
            .filter(|next| !next.overflow)
        else {
            continue;
        };
        steps.push(action);
        state = next;
        if steps.len() == STEPS {
            break;
        }
    }
    steps
}

/// Leaves out every step without which the trace still differs.
fn shrunk(real: &Real, model: &Protocol, mut steps: Vec<Action>) -> Vec<Action> {
    let mut place = steps.len();
    while place > 0 {
        place -= 1;
        let mut fewer = steps.clone();
        fewer.remove(place);
        if is_possible(model, &fewer) && difference(real, model, &fewer).is_some() {
            steps = fewer;
        }
    }
    steps
}

/// Replays this many traces; returns the first difference with its minimal trace, as redis-cli lines.
fn replay(model: impl Fn(u64) -> Protocol, seed: u64, traces: u64) -> Option<String> {
    let server = Server::new();
    let (client, dump) = (Client::new(server.conn()), Dump::new());
    let real = Real {
        client: &client,
        dump: &dump,
    };
    for number in 0..traces {
        let model = model(number);
        let mut random = fastrand::Rng::with_seed(seed + number);
        let steps = trace(&model, &mut random);
        if difference(&real, &model, &steps).is_none() {
            continue;
        }
        let steps = shrunk(&real, &model, steps);
        let why = difference(&real, &model, &steps).expect("it differed");
        let lines = client.said.borrow().clone();
        let folder = scripts::save(&lines);
        return Some(format!(
            "seed {}: {why}\nthe steps:\n  {}\nthe same, in {}:\n  {}",
            seed + number,
            steps
                .iter()
                .map(|step| format!("{step:?}"))
                .collect::<Vec<_>>()
                .join("\n  "),
            folder.display(),
            lines.join("\n  ")
        ));
    }
    None
}

/// Every third trace has a slave that knows only PROTOCOL.txt.
fn mixed(number: u64) -> Protocol {
    Protocol {
        tasks: 1 + (number % 3) as u8,
        max_trials: 1 + (number / 3 % 2) as u8,
        budget: EVERYTHING,
        foreign: number % 3 == 2,
        mutation: None,
    }
}

/// Replays this many traces; returns the difference, if there is one.
pub fn long_form(seed: u64, traces: u64) -> Option<String> {
    replay(mixed, seed, traces)
}

#[test]
fn random_traces_of_the_model_match_the_real_scripts() {
    let setting = |name: &str| std::env::var(name).ok()?.parse().ok();
    let seed = setting("RRR_PROVE_SEED").unwrap_or_else(|| fastrand::u64(..1 << 40));
    println!("{TRACES} traces from seed {seed}");
    if let Some(found) = replay(mixed, seed, TRACES) {
        panic!("{found}");
    }
}

#[test]
fn a_script_that_differs_from_the_model_is_found() {
    let mutations = [
        Mutation::LateResultOverwrites,
        Mutation::RequeuedAgain,
        Mutation::SpeculatedAgain,
    ];
    for mutation in mutations {
        let model = |number| Protocol {
            mutation: Some(mutation),
            ..mixed(number)
        };
        let found = replay(model, 1, 2000).unwrap_or_else(|| panic!("{mutation:?}"));
        assert!(found.contains("redis-cli --eval"), "{found}");
    }
}
