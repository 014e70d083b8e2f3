//! The cost of a task in exact counts, which do not depend on the load of the machine.

use crate::harness::*;

mod instructions;
mod memory;

use std::time::Duration;

/// Maximum Redis command calls per task, by all roles, including calls inside scripts.
const CALLS_A_TASK: f64 = 20.0;

/// Maximum round trips per task, by all roles and the follower.
const ROUND_TRIPS_A_TASK: f64 = 3.0;

/// Maximum extra cost per task in a long taskset compared with a short one.
const GROWTH: f64 = 1.2;

/// The number of polls of a role or follower depends on time, not on tasks: on a slow machine, each
/// would handle less, more often. So polls are not counted, and the arbiter starts once every
/// message is in its queue.
const LOOKS: [&str; 3] = ["blmove", "xread", "llen"];

const LONG: Duration = Duration::from_secs(120);

/// Waits until the arbiter's queue has one message per task.
fn all_are_to_be_judged(server: &Server, tasks: usize) {
    eventually(LONG, "a message of each task", || {
        let waiting: usize = server.run(&["LLEN", "rrrspec:arbiter_queue"]);
        (waiting >= tasks).then_some(())
    });
}

/// The calls and round trips per task of a taskset of this size, from the submission to the
/// receipt.
fn cost_of_a_task(tasks: u32) -> (f64, f64) {
    let (server, suite) = (Server::new(), Suite::new());
    let proxy = Proxy::start(&server);
    let fleet = Fleet::plan(&proxy).without_persister().start();
    let _worker = fleet.worker("w", 2, suite.path());
    let mut conn = server.conn();
    let before = Counts::take(&mut conn);
    let files: String = (0..tasks).map(|n| format!("t{n}\n")).collect();
    let args = ["--files-from", "-"];
    fleet.arbiters[0].stop();
    let follower = submit_tool(&proxy, &suite, [""; 0], &args, &["true"])
        .stdin(files)
        .spawn();
    all_are_to_be_judged(&server, tasks as usize);
    fleet.arbiters[0].cont();
    let done = follower.wait(LONG).expect_code(0);
    assert_eq!(done.receipt().succeeded, u64::from(tasks));
    let counts = Counts::take(&mut conn).since(&before);
    for (command, calls) in counts.iter() {
        println!("{tasks} tasks: {command} {calls}");
    }
    let calls: u64 = counts
        .iter()
        .filter(|(command, _)| !LOOKS.contains(command))
        .map(|(_, calls)| calls)
        .sum();
    let each = |count: u64| count as f64 / f64::from(tasks);
    (each(calls), each(proxy.all_round_trips()))
}

#[test]
fn a_task_costs_few_commands_however_many_tasks_there_are() {
    let (few, many) = (cost_of_a_task(200), cost_of_a_task(2000));
    println!("a task's commands and round trips: {few:.2?} of 200, {many:.2?} of 2000");
    assert!(many.0 <= CALLS_A_TASK, "{many:.2?} a task");
    assert!(many.1 <= ROUND_TRIPS_A_TASK, "{many:.2?} a task");
    assert!(many.0 <= GROWTH * few.0, "{few:.2?} became {many:.2?}");
}

#[test]
fn the_bench_prints_a_valid_line_for_each_row() {
    let server = Server::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/bench");
    let done = Tool::program(&server, script)
        .arg("--quick")
        .env("RRR_LOCAL", bin("rrr-local"))
        .bound(10 * PATIENCE)
        .run()
        .expect_code(0);
    let lines: Vec<serde_json::Value> = done
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect();
    let rows: Vec<_> = lines
        .iter()
        .map(|line| line["row"].as_str().unwrap())
        .collect();
    assert_eq!(
        rows,
        [
            "true-xargs",
            "true-parallel",
            "history",
            "serve",
            "submit",
            "growth",
            "rspec-none",
            "rspec-fork",
            "pytest-none",
            "pytest-fork",
            "cargo-test",
            "nextest",
            "memory"
        ]
    );
    for line in &lines {
        if let Some(why) = line["skipped"].as_str() {
            skipped(&format!("bench row {}: {why}", line["row"]));
            continue;
        }
        let (ours, peer) = (line["ours"].as_f64(), line["peer"].as_f64());
        assert!(ours.unwrap() > 0.0 && peer.unwrap() > 0.0, "{line}");
        assert!(line["ratio"].is_number(), "{line}");
        assert_eq!(line["spread"].as_array().unwrap().len(), 2, "{line}");
        assert!(
            line["budget"].is_null() || line["met"].is_boolean(),
            "{line}"
        );
    }
}
