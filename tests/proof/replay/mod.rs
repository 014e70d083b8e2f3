//! Replay: random traces of the model, run step by step on the real scripts in a real Redis. After
//! each step the state read back from Redis equals the model's.

mod dump;
mod scripts;

use crate::harness::*;
use crate::model::*;
use dump::Dump;
use redis::Value;
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

/// A Redis with the model's initial state, on which its steps are taken.
struct Real<'a> {
    client: &'a Client,
    dump: &'a Dump,
}

impl Real<'_> {
    fn begin(&self, model: &Protocol) {
        let max_trials = model.max_trials.to_string();
        let run = |words: &[&str]| {
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            self.client.run(&words);
        };
        run(&["FLUSHALL"]);
        self.client.said.borrow_mut().clear();
        run(&[
            "HSET",
            TASKSET,
            "status",
            "running",
            "max_trials",
            &max_trials,
            "created_at",
            "x",
        ]);
        run(&["RPUSH", ACTIVE, TASKSET]);
        for task in 0..model.tasks {
            let key = task_key(task);
            run(&[
                "HSET",
                &key,
                "taskset",
                TASKSET,
                "spec_file",
                &format!("t{task}"),
            ]);
            for list in ["tasks", "tasks_left", "task_queue"] {
                run(&["RPUSH", &format!("{TASKSET}:{list}"), &key]);
            }
        }
    }

    /// Runs the script of a call; returns its answer, in words.
    fn call(&self, slave: u8, call: Call) -> String {
        let (own, script) = (
            slave_key(slave),
            |name: &str, keys: &[&str], args: &[&[u8]]| self.client.script(name, keys, args),
        );
        let beat = format!("{own}:heartbeat");
        match call {
            Call::Join => words(script(
                "slave_join",
                &[TASKSET, &own, &beat, "unlisted"],
                &[b"3600"],
            )),
            Call::Exit => {
                script("slave_exit", &[&own, &beat, TASKSET], &[b"normal_exit"]);
                String::new()
            }
            Call::Reserve { call } => {
                let id = call_name(slave, call);
                let args: [&[u8]; 5] = [id.as_bytes(), NOW, b"2", b"1", b"1"];
                words(script("trial_reserve", &[TASKSET, &own, ARBITER], &args))
            }
            Call::Finish {
                batch,
                passed,
                next,
            } => {
                let trials: Vec<String> = batch.iter().map(|key| trial_key(*key)).collect();
                let mut keys = vec![TASKSET, &own, ARBITER];
                keys.extend(trials.iter().map(String::as_str));
                let id = call_name(slave, next);
                let mut args: Vec<&[u8]> = vec![id.as_bytes(), NOW, b"2"];
                for passes in &passed[..batch.len()] {
                    let status: &[u8] = if *passes { b"passed" } else { b"failed" };
                    args.extend([b"9", status, b"1", b"", b"{}", b"", b"", b"0", b"0", b"0"]);
                }
                let answer = words(script("trial_finish", &keys, &args));
                // The answers for the trials are not part of the model.
                let answer = answer.split(' ').skip(batch.len());
                answer.collect::<Vec<_>>().join(" ")
            }
            Call::Release { running, rest } => {
                let rest: Vec<String> = rest.iter().map(|key| trial_key(*key)).collect();
                let mut keys = vec![TASKSET, own.as_str()];
                keys.extend(rest.iter().map(String::as_str));
                let running = trial_key(running);
                script("trial_release", &keys, &[NOW, running.as_bytes(), b"{}"]);
                String::new()
            }
        }
    }

    fn reap(&self, slave: u8, certain: &[u8], last: &[u8]) {
        let keys = [TASKSET, &slave_key(slave), ARBITER];
        let args = [NOW, b"it died", certain, last, b"failure_exit"];
        self.client.script("slave_reap", &keys, &args);
    }

    /// Does what an arbiter does with the message at the head of its queue.
    fn handle(&self, message: Message) {
        let bytes = message_bytes(message);
        match message {
            Message::Trial(_) => {}
            Message::Junk => {
                self.client
                    .script("queue_bury", &[ARBITER, DEAD], &[&bytes, b"{}"]);
            }
            Message::Check => {
                self.recover(&[]);
                self.client.script("queue_pop", &[ARBITER], &[&bytes]);
            }
            Message::Cancel => {
                let keys = [TASKSET, ACTIVE, PERSISTER, ARBITER];
                let args = [&bytes, &b"cancelled"[..], NOW, b""];
                self.client.script("taskset_close", &keys, &args);
            }
        }
    }

    fn recover(&self, lost: &[u8]) {
        let lost: Vec<String> = lost.iter().map(|task| task_key(*task)).collect();
        let mut args = vec![NOW];
        args.extend(lost.iter().map(String::as_bytes));
        let keys = [TASKSET, ACTIVE, PERSISTER, ARBITER];
        self.client.script("task_recover", &keys, &args);
    }

    /// Takes a step of the model, whose state before is `state`; returns the answer of a call.
    fn step(&self, state: &State, action: Action) -> Option<String> {
        let run = |words: &[&[u8]]| self.client.run(words);
        match action {
            Action::Call(_, _, Fate::Delayed)
            | Action::Look
            | Action::Kill(..)
            | Action::Start(_) => {}
            Action::Call(slave, call, _) => return Some(self.call(slave, call)),
            Action::Arrive(slave) => {
                let call = state.processes[slave as usize].delayed;
                return Some(self.call(slave, call.expect("a delayed call")));
            }
            Action::Beat(slave) => {
                let own = slave_key(slave);
                let beat = format!("{own}:heartbeat");
                self.client.script("slave_beat", &[&own, &beat], &[b"3600"]);
            }
            Action::Silence(slave) => {
                run(&[b"DEL", format!("{}:heartbeat", slave_key(slave)).as_bytes()]);
            }
            Action::WorkerReaps(slave) => {
                if let Phase::Killed(last) = state.processes[slave as usize].phase {
                    let last = last.map(trial_key).unwrap_or_default();
                    self.reap(slave, b"1", last.as_bytes());
                }
            }
            Action::ArbiterReaps(slave) => self.reap(slave, b"0", b"*"),
            Action::Judge(most) => {
                let most = most.to_string();
                let keys = [ARBITER, ACTIVE, PERSISTER, DEAD];
                self.client
                    .script("trial_judge", &keys, &[NOW, most.as_bytes()]);
            }
            Action::Handle => self.handle(state.redis.inbox[0]),
            Action::Recover(mask) => {
                let all = (0..state.tasks).rev();
                self.recover(
                    &all.filter(|task| mask & (1 << task) != 0)
                        .collect::<Vec<_>>(),
                );
            }
            Action::Speculate(task) => {
                let task = task_key(task);
                self.client
                    .script("task_speculate", &[TASKSET], &[task.as_bytes()]);
            }
            Action::Cancel => {
                run(&[
                    b"RPUSH",
                    ARBITER.as_bytes(),
                    &message_bytes(Message::Cancel),
                ]);
            }
            Action::Malformed => {
                run(&[b"RPUSH", ARBITER.as_bytes(), JUNK]);
            }
            Action::ForeignCopy(task) => {
                let queue = format!("{TASKSET}:task_queue");
                run(&[b"RPUSH", queue.as_bytes(), task_key(task).as_bytes()]);
            }
            Action::LoseList => {
                run(&[b"DEL", format!("{TASKSET}:tasks_left").as_bytes()]);
            }
            Action::Persist => {
                let keys = [TASKSET, "rrrspec:totals"];
                self.client
                    .script("taskset_mark_persisted", &keys, &[b"3600"]);
            }
            Action::Foreign(slave, passes) => self.foreign_step(state, slave, passes),
        }
        None
    }

    /// The commands of a slave that knows only PROTOCOL.txt.
    fn foreign_step(&self, state: &State, slave: u8, passes: bool) {
        let run = |words: &[&str]| {
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            self.client.run(&words)
        };
        let (own, redis) = (slave_key(slave), &state.redis);
        match state.processes[slave as usize].phase {
            Phase::Joining => {
                run(&["SET", &format!("{own}:heartbeat"), "alive", "EX", "3600"]);
                run(&["RPUSH", &format!("{TASKSET}:slave"), &own]);
            }
            Phase::Idle if redis.queue.is_empty() && redis.is_open() => {
                run(&["RPUSH", ARBITER, &format!("check\t{TASKSET}")]);
            }
            Phase::Idle => {
                run(&["LPOP", &format!("{TASKSET}:task_queue")]);
            }
            Phase::Popped(task) => {
                let key = trial_key(Key {
                    task,
                    slave,
                    call: Protocol::next_call(state, slave),
                });
                let task = task_key(task);
                run(&[
                    "HSET",
                    &key,
                    "task",
                    &task,
                    "slave",
                    &own,
                    "started_at",
                    "x",
                ]);
                run(&["RPUSH", &format!("{task}:trial"), &key]);
                run(&["RPUSH", &format!("{own}:trial"), &key]);
            }
            Phase::Working => {
                let trial = state.processes[slave as usize].batch[0];
                if redis.trial(trial).is_some() {
                    let status = if passes { "passed" } else { "failed" };
                    run(&["HSET", &trial_key(trial), "status", status]);
                }
            }
            Phase::Recorded(key) => {
                run(&["RPUSH", ARBITER, &format!("trial\t{}", trial_key(key))]);
            }
            Phase::Off | Phase::Killed(_) | Phase::Gone => {}
        }
    }
}

/// An answer of a script, as words.
fn words(answer: Value) -> String {
    let word = |value: &Value| match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    match &answer {
        Value::Array(values) => values.iter().map(word).collect::<Vec<_>>().join(" "),
        one => word(one),
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
