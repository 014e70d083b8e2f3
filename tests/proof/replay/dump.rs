//! Reads the state back from Redis, in the model's terms.

use super::scripts::Client;
use super::{TASKSET, slave_key};
use crate::model::*;
use serde_json::Value;

/// The script that reads all keys in one call.
pub struct Dump(redis::Script);

impl Dump {
    pub fn new() -> Self {
        Self(redis::Script::new(include_str!("dump.lua")))
    }

    pub fn read(&self, client: &Client, tasks: u8) -> Redis {
        let mut args = vec![TASKSET.to_owned(), tasks.to_string()];
        args.extend((0..SLAVES as u8).map(slave_key));
        let json: Value = serde_json::from_str(&client.read(&self.0, args)).expect("JSON");
        let number = |name: &str| json[name].as_u64().expect("a number") as u8;
        let mut redis = Redis {
            verdict: match json["status"].as_str() {
                Some("running") => Verdict::Running,
                Some("succeeded") => Verdict::Succeeded,
                Some("failed") => Verdict::Failed,
                Some("cancelled") => Verdict::Cancelled,
                other => panic!("status {other:?}"),
            },
            succeeded: number("succeeded"),
            failed: number("failed"),
            flaky: number("flaky"),
            active: number("active") > 0,
            handed_over: number("handed_over"),
            receipts: number("receipts"),
            persisted: json["ttl"] != -1,
            left: items(&json["left"]).fold(0, |bits, task| bits | 1 << task_of(task)),
            buried: number("buried").min(2),
            ..Redis::default()
        };
        for task in items(&json["queue"]) {
            assert!(redis.queue.push(task_of(task)));
        }
        for message in items(&json["inbox"]) {
            assert!(redis.inbox.push(message_of(message)));
        }
        for (own, read) in redis.tasks.iter_mut().zip(items(&json["tasks"])) {
            *own = read_task(read);
        }
        for (own, read) in redis.slaves.iter_mut().zip(items(&json["slaves"])) {
            own.listed = read[0].as_u64() > Some(0);
            own.beats = read[1].as_u64() == Some(1);
            own.ended = read[2].is_string();
            for trial in items(&read[3]) {
                assert!(own.trials.push(key_of(trial)));
            }
        }
        redis
    }
}

/// The items of a list; Lua's empty table is an object.
fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// The number behind a letter, such as 2 of `t2`.
fn number_after(text: &str, letter: char) -> u8 {
    let digits = text.split(letter).next_back().unwrap_or_default();
    digits
        .parse()
        .unwrap_or_else(|_| panic!("'{text}' has no number after {letter}"))
}

fn task_of(task: &Value) -> u8 {
    number_after(text(task), 't')
}

fn key_of(trial: &Value) -> Key {
    let (task, id) = text(trial)
        .split_once(":trial:")
        .expect("the key of a trial");
    let (slave, call) = id.split_once('c').expect("slave and call");
    Key {
        task: number_after(task, 't'),
        slave: number_after(slave, 's'),
        call: call.parse().expect("a number"),
    }
}

fn message_of(message: &Value) -> Message {
    match text(message).split_once('\t') {
        Some(("trial", key)) => Message::Trial(key_of(&Value::from(key))),
        Some(("check", _)) => Message::Check,
        Some(("cancel", _)) => Message::Cancel,
        _ => Message::Junk,
    }
}

fn status_of(status: &Value) -> Status {
    match status.as_str() {
        None => Status::Open,
        Some("passed") => Status::Passed,
        Some("failed") => Status::Failed,
        Some("error") => Status::Error,
        other => panic!("status {other:?}"),
    }
}

fn read_task(read: &Value) -> Task {
    let is = |place: usize| read[place] == true;
    let mut task = Task {
        status: status_of(&read[0]),
        queued: is(1),
        many: is(2),
        speculated: is(3),
        ..Task::default()
    };
    for trial in items(&read[4]) {
        let key = key_of(&trial[0]);
        assert!(trial[1].is_string(), "a trial without its hash: {trial}");
        assert_eq!(text(&trial[2]), slave_key(key.slave));
        let is = |place: usize| trial[place] == true;
        assert!(task.trials.push(Trial {
            slave: key.slave,
            call: key.call,
            status: status_of(&trial[3]),
            begun: is(4),
            stopped: is(5),
            judged: is(6),
            timed: is(7),
        }));
    }
    task
}
