//! Many tasks, with several processes of each role.

use crate::harness::*;

use std::collections::HashSet;
use std::time::Duration;

#[test]
fn counts_are_exact_with_two_arbiters_and_two_dispatchers() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).arbiters(2).dispatchers(2).start();
    let _worker = fleet.worker("w", 2, suite.path());
    let files = (0..500).map(|n| format!("file {n}"));
    let done = submit_tool(&server, &suite, files, &[], &["true"]).run();
    let receipt = done.clone().expect_code(0).receipt();
    assert_eq!(receipt.succeeded, 500);
    assert_eq!(receipt.tasks, 500);
    assert_eq!(done.events_named("task_finished").len(), 500);
}

/// Five thousand names of tasks.
fn five_thousand() -> String {
    (0..5000).map(|n| format!("t{n}\n")).collect()
}

#[test]
fn five_thousand_tasks_succeed_with_rrr_local() {
    let suite = Suite::new();
    let done = Tool::new("unused", "rrr-local")
        .args(["-j2", "--files-from", "-", "--", "true"])
        .stdin(five_thousand())
        .dir(suite.path())
        .bound(Duration::from_secs(300))
        .run()
        .expect_code(0);
    let receipt = done.receipt();
    assert_eq!((receipt.tasks, receipt.succeeded), (5000, 5000));
}

#[test]
fn five_thousand_tasks_succeed_with_separately_started_roles() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 2, suite.path());
    let args = ["--files-from", "-"];
    let done = submit_tool(&server, &suite, [""; 0], &args, &["true"])
        .stdin(five_thousand())
        .bound(Duration::from_secs(300))
        .run()
        .expect_code(0);
    let receipt = done.receipt();
    assert_eq!((receipt.tasks, receipt.succeeded), (5000, 5000));
    let finished = done.events_named("task_finished");
    let files: HashSet<&str> = finished
        .iter()
        .filter_map(|e| e["spec_file"].as_str())
        .collect();
    assert_eq!((finished.len(), files.len()), (5000, 5000));
}

/// The commands and round trips of a slave's main connection for this number of tasks. Calls after
/// the last result are excluded: their number depends on how long the arbiter takes.
fn cost_of(tasks: usize, adapter: &[&str]) -> (usize, u64) {
    let (server, suite) = (Server::new(), Suite::new());
    let files: Vec<String> = (0..tasks).map(|n| format!("t{n}")).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let taskset = raw::taskset(&server, "t", &files).running();
    let proxy = Proxy::start(&server);
    let _arbiter = Tool::new(&server, "rrr-arbiter").spawn();
    Tool::new(&proxy, "rrr-slave")
        .args(["--taskset", &taskset.key, "--worker-id", "w"])
        .args(adapter)
        .dir(suite.path())
        .run()
        .expect_code(0);
    assert_eq!(taskset.counts(), (tasks as u64, 0));
    let transcript = proxy.transcript();
    let main: Vec<_> = transcript.iter().filter(|seen| seen.link == 0).collect();
    let is_result = |seen: &&proxy::Seen| seen.args.iter().any(|arg| arg == "passed");
    let last = main.iter().rposition(is_result).expect("a result") + 1;
    let waiting = (main.len() - last) as u64;
    (last, proxy.round_trips(0) - waiting)
}

#[test]
fn a_slave_costs_one_command_and_round_trip_per_task() {
    let adapter = ["--", "sh", "-c", "sleep 0.01"];
    let (few, many) = (cost_of(20, &adapter), cost_of(120, &adapter));
    assert_eq!(many.0 - few.0, 100, "commands: {few:?} and {many:?}");
    assert_eq!(many.1 - few.1, 100, "round trips: {few:?} and {many:?}");
}

#[test]
fn very_short_trials_cost_less_than_one_round_trip_per_task() {
    let runner = r#"
import json, os
for line in os.fdopen(3):
    asked = json.loads(line)
    if asked["type"] == "hello":
        answer = {"type": "hello", "version": 1}
    else:
        answer = {"type": "result", "trial": asked["trial"], "status": "passed"}
    os.write(4, json.dumps(answer).encode() + b"\n")
"#;
    let adapter = ["--adapter", "serve", "--", "python3", "-c", runner];
    let (commands, round_trips) = cost_of(600, &adapter);
    println!("600 tasks: {commands} commands, {round_trips} round trips");
    assert!(commands < 300 && round_trips < 300);
}
