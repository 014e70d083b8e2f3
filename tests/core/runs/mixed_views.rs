//! What our tools tell of a run that other implementations' roles have made.

use crate::harness::*;
use serde_json::Value;

/// Ends a taskset as an arbiter by the protocol alone does: no event tells of it.
fn ended(server: &Server) -> raw::Taskset<'_> {
    let taskset = raw::taskset(server, "foreign", &["good", "flaky", "bad", "open"]).running();
    let tries: [(&str, &[&str], &str); 3] = [
        ("good", &["passed"], "passed"),
        ("flaky", &["failed", "passed"], "passed"),
        ("bad", &["failed", "timeout"], "failed"),
    ];
    for (file, trials, status) in tries {
        for (at, trial) in trials.iter().enumerate() {
            let key = taskset.finish_trial(file, &at.to_string(), trial);
            server.hset(&key, "finished_at", "2013-07-11 15:43:39 +0900");
        }
        server.hset(&taskset.task(file), "status", status);
        server.run::<i64>(&[
            "LREM",
            &taskset.list_key("tasks_left"),
            "1",
            &taskset.task(file),
        ]);
    }
    server.hset(&taskset.key, "succeeded_count", "2");
    server.hset(&taskset.key, "failed_count", "1");
    taskset
}

#[test]
fn a_summary_in_words_has_what_no_event_told() {
    let server = Server::new();
    let taskset = ended(&server).set("status", "cancelled");
    let watched = Tool::new(&server, "rrr-watch")
        .args(["--output", "plain", &taskset.key])
        .run();
    let text = &watched.stdout;
    for part in [
        "3/4 done, 1 failed",
        "  bad: timeout in 2 trials\n",
        "  flaky in trial 2\n",
        "    3.0s  ",
        "cancelled: 4 tasks = 2 passed + 1 failed + 0 pending + 1 not finished; 1 flaky",
    ] {
        assert!(text.contains(part), "'{part}' is not in\n{text}");
    }
}

#[test]
fn a_role_that_another_implementation_fills_is_not_missing() {
    let server = Server::new();
    let stat = |args: &[&str]| Tool::new(&server, "rrr-stat").args(args).run();
    let look = || serde_json::from_str::<Value>(&stat(&[]).expect_code(0).stdout).unwrap();
    let waits = raw::taskset(&server, "waits", &["a"]).submitted();
    assert_eq!(stat(&["--check"]).expect_code(1).stdout.lines().count(), 3);
    assert_eq!(look()["foreign"], false);
    server.run::<i64>(&["DEL", &waits.key]);
    server.run::<i64>(&["DEL", "rrrspec:active_taskset"]);

    let taskset = ended(&server);
    stat(&["--check"]).expect_code(0);
    assert_eq!(look()["foreign"], true);
    // A verdict and a hand-over of ours prove nothing.
    server.hset(&taskset.key, "given", "1");
    let told =
        r#"{"event":"task_finished","spec_file":"a","status":"passed","trials":1,"flaky":false}"#;
    server.run::<String>(&["XADD", &taskset.list_key("events"), "*", "1", told]);
    stat(&["--check"]).expect_code(1);
    assert_eq!(look()["foreign"], false);
}
