//! Instructions of a slave per task, counted by valgrind: the same on a busy machine as on an idle
//! one.

use crate::harness::*;

use std::time::Duration;

/// Maximum instructions of a slave for a task that runs `true`, with and without optimisation.
const INSTRUCTIONS_A_TASK: u64 = if cfg!(debug_assertions) {
    800_000
} else {
    250_000
};

/// Instructions of a slave from start to end, for this number of tasks.
///
/// Valgrind before 3.22 lacks pidfd_open: then the slave starts each test, cannot watch it, kills
/// it and reports an error. All else is unchanged.
fn instructions(tasks: usize) -> u64 {
    let (server, suite) = (Server::new(), Suite::new());
    let files: Vec<String> = (0..tasks).map(|n| format!("t{n:03}")).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let taskset = raw::taskset(&server, "t", &files)
        .set("max_trials", "1")
        .running();
    let _arbiter = Tool::new(&server, "rrr-arbiter").spawn();
    let done = Tool::program(&server, "valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(bin("rrr-slave"))
        .args(["--taskset", &taskset.key, "--worker-id", "w", "--", "true"])
        .dir(suite.path())
        .bound(Duration::from_secs(300))
        .run()
        .expect_code(0);
    let (succeeded, failed) = taskset.counts();
    assert_eq!(succeeded + failed, tasks as u64);
    let line = done
        .stderr
        .lines()
        .find(|line| line.contains("Collected : "));
    let (_, count) = line
        .and_then(|line| line.split_once(" : "))
        .expect("a count");
    count.trim().parse().expect("a number")
}

#[test]
fn a_task_takes_a_slave_few_instructions() {
    let (few, many) = (instructions(10), instructions(60));
    let each = (many - few) / 50;
    println!("instructions of a slave: {few} for 10 tasks, {many} for 60, {each} for each task");
    assert!(each <= INSTRUCTIONS_A_TASK, "{each} instructions a task");
}
