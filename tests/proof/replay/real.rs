//! The steps of the model on a real Redis.

use super::dump::Dump;
use super::scripts::Client;
use super::*;
use redis::Value;

/// A Redis with the model's initial state, on which its steps are taken.
pub struct Real<'a> {
    pub client: &'a Client,
    pub dump: &'a Dump,
}

impl Real<'_> {
    pub fn begin(&self, model: &Protocol) {
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
    pub fn step(&self, state: &State, action: Action) -> Option<String> {
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
