//! What a task costs in counts, which the load of the machine cannot change.

#[path = "../harness/mod.rs"]
mod harness;
use harness::*;

use std::time::Duration;

/// Most calls of Redis commands for a task: those of all roles, inside scripts too. What they are
/// today; the budget is 20, which is not reached yet.
const CALLS_A_TASK: f64 = 33.0;

/// What a task may cost more in a long taskset than in a short one.
const GROWTH: f64 = 1.2;

/// The calls for each task of a taskset of so many, from the submission to the receipt.
fn calls_a_task(tasks: u32) -> f64 {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let _worker = fleet.worker("w", 2, suite.path());
    let mut conn = server.conn();
    let before = Counts::take(&mut conn);
    let files: String = (0..tasks).map(|n| format!("t{n}\n")).collect();
    let args = ["--files-from", "-"];
    let done = submit_tool(&server, &suite, [""; 0], &args, &["true"])
        .stdin(files)
        .bound(Duration::from_secs(300))
        .run()
        .expect_code(0);
    assert_eq!(done.receipt()["succeeded"], tasks);
    let counts = Counts::take(&mut conn).since(&before);
    for (command, calls) in counts.iter() {
        println!("{tasks} tasks: {command} {calls}");
    }
    let calls: u64 = counts.iter().map(|(_, calls)| calls).sum();
    calls as f64 / f64::from(tasks)
}

#[test]
fn a_task_costs_few_commands_however_many_tasks_there_are() {
    let (few, many) = (calls_a_task(200), calls_a_task(2000));
    println!("commands a task: {few:.2} of 200, {many:.2} of 2000");
    assert!(many <= CALLS_A_TASK, "{many:.2} commands a task");
    assert!(many <= GROWTH * few, "{few:.2} became {many:.2}");
}

#[test]
fn the_bench_prints_a_valid_line_for_each_row() {
    let server = Server::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/bench");
    let done = Tool::program(&server, script)
        .arg("--quick")
        .env("RRR_LOCAL", bin("rrr-local"))
        .run()
        .expect_code(0);
    let lines: Vec<serde_json::Value> = done
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect();
    let rows: Vec<_> = lines.iter().map(|line| &line["row"]).collect();
    assert_eq!(rows, ["true-xargs", "true-parallel"]);
    for line in &lines {
        let (ours, peer) = (line["ours"].as_f64(), line["peer"].as_f64());
        assert!(ours.unwrap() > 0.0 && peer.unwrap() > 0.0, "{line}");
        assert!(
            line["met"].is_boolean() && line["ratio"].is_number(),
            "{line}"
        );
        assert_eq!(line["spread"].as_array().unwrap().len(), 2, "{line}");
    }
}
