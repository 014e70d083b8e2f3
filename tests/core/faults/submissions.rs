//! Repeated submissions, several under one key, and several into one tree.

use crate::faults::lost_messages::connect;
use crate::harness::*;

use rrr::entity::taskset::{self, Submission};
use rrr::process::exit::{Failure, USAGE};
use rrr::protocol::policy::Policy;
use rrr::protocol::request::Request;
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
        tree_stamp: String::new(),
        policy: Policy::default(),
    };
    request.fields(1)
}

fn tasks(name: &str, number: u64) -> Vec<(String, Option<u64>)> {
    (0..number)
        .map(|n| (format!("{name}{n}"), Some(n)))
        .collect()
}

/// The remaining tasks, by the first letter of their names.
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
fn q2_a_repeated_submission_after_handover_changes_nothing() {
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
fn q2_a_lost_handover_reply_is_recovered_after_the_run_ended() {
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
fn c13_a_second_submission_under_the_same_key_is_refused() {
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
fn c13_tasks_of_a_dead_submitter_do_not_join_the_next_run() {
    let server = Server::new();
    let mut store = connect(&server);
    let (a, b) = (tasks("a", 500), tasks("b", 500));
    taskset::stage(&mut store, &submission(), &fields("one"), &a).unwrap();
    // Simulates an hour later.
    server.run::<()>(&["DEL", KEY]);
    let next = submission();
    taskset::stage(&mut store, &next, &fields("two"), &b).unwrap();
    taskset::activate(&mut store, &next, "me", b.len(), false).unwrap();
    for list in ["tasks", "tasks_left", "task_queue"] {
        assert_eq!(owners(&server, list), ["b"; 500], "{list}");
    }
}

#[test]
fn c13_of_concurrent_submitters_of_one_key_exactly_one_wins() {
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
fn f4_a_submitter_does_not_mistake_anothers_lock_for_its_own() {
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

/// An rsync with a helper process that ignores SIGTERM and never finishes.
const STUBBORN: &str = "trap '' TERM; (sleep 600); exit 0";

/// Submits from `suite` under this rsync name by an rsync that is the `script`, and waits until
/// that runs.
fn sending(server: &Server, suite: &Suite, name: &str, script: &str) -> Running {
    use std::os::unix::fs::PermissionsExt;
    let began = format!("began-{name}");
    let rsync = format!("tools-{name}/rsync");
    suite
        .file("a.sh", "exit 0")
        .file(&rsync, &format!("#!/bin/sh\ntouch {began}; {script}\n"));
    let rsync = suite.path().join(rsync);
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&rsync, mode).unwrap();
    let path = std::env::var("PATH").unwrap();
    let submitter = Tool::new(server, "rrr-submit")
        .args(["--rsync-name", name, "--rsync-remote-path", "trees"])
        .arg("--mkpath")
        .args(["a.sh", "--", "sh", "{}"])
        .env(
            "PATH",
            format!("{}:{path}", rsync.parent().unwrap().display()),
        )
        .dir(suite.path())
        .spawn();
    eventually(PATIENCE, "rsync runs", || {
        suite.path().join(&began).exists().then_some(())
    });
    submitter
}

#[test]
fn f4_a_submitter_that_lost_its_lock_exits_and_kills_its_rsync() {
    let (server, suite) = (Server::new(), Suite::new());
    let taken = sending(&server, &suite, "taken", STUBBORN);
    let expired = sending(&server, &suite, "expired", STUBBORN);
    let other = "rrrspec:taskset:other";
    server.run::<()>(&["SET", "rrrspec:rsync_lock:taken", &format!("{other} word")]);
    server.run::<()>(&["DEL", "rrrspec:rsync_lock:expired"]);
    let done = [taken.wait(PATIENCE), expired.wait(PATIENCE)].map(|done| done.expect_code(2));
    assert_eq!((taken.family(), expired.family()), (vec![], vec![]));
    for done in &done {
        assert!(done.stderr.contains("lost the lock"), "{done:#?}");
        assert!(done.stderr.contains("\nhint: "), "{done:#?}");
    }
    assert!(done[0].stderr.contains(other), "{done:#?}");
    let keys: Vec<_> = server.dump_keys().into_keys().collect();
    assert_eq!(keys, ["rrrspec:rsync_lock:taken"]);
}

#[test]
fn f4_a_stalled_submitter_stops_rsync_if_the_tree_was_taken() {
    let (server, suite) = (Server::new(), Suite::new());
    let late = sending(&server, &suite, "me", STUBBORN);
    late.stop();
    server.run::<()>(&["DEL", "rrrspec:rsync_lock:me"]);
    let next = sending(&server, &suite, "me", "exit 0");
    next.wait(PATIENCE).expect_code(0);
    let active = server.list("rrrspec:active_taskset");
    late.cont();
    let done = late.wait(PATIENCE).expect_code(2);
    assert!(done.stderr.contains(&active[0]), "{done:#?}");
    assert_eq!(late.family(), []);
    assert_eq!(server.list("rrrspec:active_taskset"), active);
}

#[test]
fn f4_no_rsync_outlives_its_submitter_however_it_dies() {
    let (server, suite) = (Server::new(), Suite::new());
    let asked = sending(&server, &suite, "asked", STUBBORN);
    asked.term();
    asked.wait(PATIENCE).expect_code(143);
    assert_eq!(asked.family(), []);
    let killed = sending(&server, &suite, "killed", "exec sleep 600");
    killed.kill();
    eventually(PATIENCE, "its rsync ends", || {
        killed.family().is_empty().then_some(())
    });
    let alone = sending(&server, &suite, "alone", STUBBORN);
    server.kill();
    alone.wait(PATIENCE).expect_code(69);
    assert_eq!(alone.family(), []);
}
