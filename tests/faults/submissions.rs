//! Submissions that come twice, and several under one key.

use crate::harness::*;
use crate::lost_messages::connect;

use rrr::exit::{Failure, USAGE};
use rrr::taskset::{self, Request, Submission};
use std::collections::HashMap;

const KEY: &str = "rrrspec:taskset:t";

fn submission() -> Submission {
    Submission::of(KEY.parse().unwrap())
}

fn fields(slave_command: &str) -> HashMap<String, String> {
    let request = Request {
        rsync_name: "me".into(),
        setup_command: String::new(),
        slave_command: slave_command.into(),
        worker_type: "default".into(),
        max_workers: 1,
        max_trials: 1,
        taskset_class: "default".into(),
        unknown_spec_timeout_sec: 1,
        least_timeout_sec: 1,
    };
    request.fields()
}

fn tasks(name: &str, number: u64) -> Vec<(String, Option<u64>)> {
    (0..number)
        .map(|n| (format!("{name}{n}"), Some(n)))
        .collect()
}

/// The tasks that stand, by the letter that their names begin with.
fn owners(server: &Server, list: &str) -> Vec<String> {
    let tasks = server.list(&format!("{KEY}:{list}"));
    let file = |task: &String| task.rsplit(':').next().unwrap().to_owned();
    tasks
        .iter()
        .map(|task| file(task)[..1].to_owned())
        .collect()
}

#[track_caller]
fn is_refused(result: anyhow::Result<()>) {
    let error = result.expect_err("the key is another's");
    let failure = error.downcast_ref::<Failure>().expect("a failure");
    assert_eq!(failure.code, USAGE, "{error}");
    assert!(failure.message.contains("already"), "{error}");
    assert!(failure.hint.is_some());
}

#[test]
fn q2_a_submission_that_comes_twice_changes_nothing_once_it_is_handed_over() {
    let server = Server::new();
    let mut store = connect(&server);
    let (submission, fields, tasks) = (submission(), fields("true"), tasks("t", 1200));
    taskset::stage(&mut store, &submission, &fields, &tasks).unwrap();
    taskset::stage(&mut store, &submission, &fields, &tasks[..1000]).unwrap_err();
    taskset::activate(&mut store, &submission, "me", tasks.len(), false).unwrap();
    let before = dump::lines(&server.dump_keys());
    taskset::stage(&mut store, &submission, &fields, &tasks).unwrap_err();
    taskset::activate(&mut store, &submission, "me", tasks.len(), false).unwrap();
    assert_eq!(dump::lines(&server.dump_keys()), before);
    assert_eq!(server.run::<i64>(&["TTL", KEY]), -1);
    assert_eq!(server.list(&format!("{KEY}:task_queue")).len(), 1200);
}

#[test]
fn q2_a_handover_is_known_for_done_though_its_run_has_ended_before_the_reply_came() {
    let server = Server::new();
    let mut store = connect(&server);
    let (submission, tasks) = (submission(), tasks("t", 3));
    taskset::stage(&mut store, &submission, &fields("true"), &tasks).unwrap();
    taskset::activate(&mut store, &submission, "me", tasks.len(), false).unwrap();
    server.hset(KEY, "status", "succeeded");
    for list in ["tasks_left", "task_queue"] {
        server.run::<()>(&["DEL", &format!("{KEY}:{list}")]);
    }
    server.run::<()>(&["DEL", "rrrspec:active_taskset"]);
    server.run::<()>(&["EXPIRE", KEY, "60"]);
    taskset::activate(&mut store, &submission, "me", tasks.len(), false).unwrap();
    assert!(server.list("rrrspec:active_taskset").is_empty());
}

#[test]
fn c13_of_two_submissions_under_one_key_the_second_adds_nothing_and_is_told() {
    let server = Server::new();
    let mut store = connect(&server);
    let (first, second) = (submission(), submission());
    let (a, b) = (tasks("a", 700), tasks("b", 700));
    taskset::stage(&mut store, &first, &fields("one"), &a).unwrap();
    is_refused(taskset::stage(&mut store, &second, &fields("two"), &b));
    is_refused(taskset::activate(&mut store, &second, "me", b.len(), false));
    assert!(server.list("rrrspec:active_taskset").is_empty());
    taskset::activate(&mut store, &first, "me", a.len(), false).unwrap();
    is_refused(taskset::activate(&mut store, &second, "me", b.len(), false));
    assert_eq!(server.list("rrrspec:active_taskset"), [KEY]);
    assert_eq!(server.hget(KEY, "slave_command").unwrap(), "one");
    for list in ["tasks", "tasks_left", "task_queue"] {
        assert_eq!(owners(&server, list), ["a"; 700], "{list}");
    }
}

#[test]
fn c13_what_a_dead_submitter_has_left_of_its_tasks_is_no_part_of_the_next_ones() {
    let server = Server::new();
    let mut store = connect(&server);
    let (a, b) = (tasks("a", 500), tasks("b", 500));
    taskset::stage(&mut store, &submission(), &fields("one"), &a).unwrap();
    // An hour later.
    server.run::<()>(&["DEL", KEY]);
    let next = submission();
    taskset::stage(&mut store, &next, &fields("two"), &b).unwrap();
    taskset::activate(&mut store, &next, "me", b.len(), false).unwrap();
    for list in ["tasks", "tasks_left", "task_queue"] {
        assert_eq!(owners(&server, list), ["b"; 500], "{list}");
    }
}

#[test]
fn c13_of_submitters_of_one_key_at_once_one_submits_its_own_tasks_alone() {
    let server = Server::new();
    for _ in 0..8 {
        server.run::<()>(&["FLUSHALL"]);
        let submitter = |name: &str| {
            let names = (0..1500).map(|n| format!("{name}{n}\n"));
            Tool::new(&server, "rrr-submit")
                .args(["--no-rsync", "--taskset", KEY, "--files-from", "-"])
                .args(["--", name, "{}"])
                .stdin(names.collect::<String>())
                .spawn()
        };
        let both = ["a", "b"].map(|name| (name, submitter(name)));
        let ends = both.map(|(name, submitter)| (name, submitter.wait(PATIENCE)));
        let won: Vec<&str> = ends
            .iter()
            .filter(|(_, end)| end.code == Some(0))
            .map(|(name, _)| *name)
            .collect();
        let [winner] = won[..] else {
            panic!("{ends:#?}");
        };
        let (_, loser) = ends.iter().find(|(name, _)| *name != winner).unwrap();
        let loser = loser.clone().expect_code(2);
        assert!(loser.stderr.contains(&format!("'{KEY}' already")));
        assert!(loser.stderr.contains("\nhint: "), "{loser:#?}");
        assert_eq!(server.list("rrrspec:active_taskset"), [KEY]);
        let command = server.hget(KEY, "slave_command").unwrap();
        assert_eq!(command, format!("rrr-slave -- {winner} '{{}}'"));
        for list in ["tasks", "tasks_left", "task_queue"] {
            assert_eq!(owners(&server, list), [winner; 1500], "{list}");
        }
    }
}

#[test]
fn f4_a_submission_does_not_take_the_lock_of_another_under_its_own_key_for_its_own() {
    let server = Server::new();
    let mut store = connect(&server);
    let (first, second) = (submission(), submission());
    let mut lock = |of: &Submission| taskset::lock_rsync_name(&mut store, of, "me").unwrap();
    assert_eq!(lock(&first), None);
    assert_eq!(lock(&second).as_deref(), Some(KEY));
    assert_eq!(lock(&first), None);
    let mut store = connect(&server);
    let tasks = tasks("a", 1);
    taskset::unlock_rsync_name(&mut store, &second, "me").unwrap();
    taskset::stage(&mut store, &first, &fields("one"), &tasks).unwrap();
    taskset::activate(&mut store, &first, "me", 1, true).unwrap();
    let while_active = taskset::lock_rsync_name(&mut store, &second, "me").unwrap();
    assert_eq!(while_active.as_deref(), Some(KEY));
}
