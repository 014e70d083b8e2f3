//! The submitter's policy: which trial decides, and how many failures end a run.

use crate::harness::*;

/// A running taskset with this policy, in which each task may have `max_trials` trials.
fn with_policy<'a>(
    server: &'a Server,
    files: &[&str],
    max_trials: &str,
    policy: &str,
) -> raw::Taskset<'a> {
    raw::taskset(server, "t", files)
        .set("max_trials", max_trials)
        .set("policy", policy)
        .running()
}

/// Ends a trial of `file` with `status` and notifies the arbiter.
fn end(server: &Server, taskset: &raw::Taskset, file: &str, id: &str, status: &str) -> String {
    let trial = taskset.finish_trial(file, id, status);
    server.tell_arbiter(format!("trial\t{trial}"));
    trial
}

/// The taskset's events of this name.
fn events(server: &Server, taskset: &raw::Taskset, name: &str) -> Vec<serde_json::Value> {
    let key = taskset.list_key("events");
    let entries: Vec<(String, Vec<String>)> = server.run(&["XRANGE", &key, "-", "+"]);
    let texts = entries.into_iter().flat_map(|(_, fields)| fields);
    texts
        .filter_map(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
        .filter(|event| event["event"] == name)
        .collect()
}

#[test]
fn the_run_ends_at_the_last_failure_that_max_fail_allows() {
    let server = Server::new();
    let files = ["a", "b", "c", "d", "e", "f"];
    let taskset = with_policy(&server, &files, "1", r#"{"max_fail":2}"#);
    // One call of the arbiter reads all of them: the third failure comes too late, and so does the
    // pass.
    for (file, status) in [
        ("a", "failed"),
        ("b", "passed"),
        ("c", "timeout"),
        ("d", "error"),
        ("e", "passed"),
    ] {
        end(&server, &taskset, file, "1", status);
    }
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.status().as_deref(), Some("failed"));
    assert_eq!(taskset.counts(), (1, 2));
    let reason = taskset.get("fail_reason");
    assert_eq!(reason.as_deref(), Some("--max-fail: 2 tasks failed"));
    let receipt = events(&server, &taskset, "taskset_finished");
    assert_eq!(receipt.len(), 1);
    assert_eq!(receipt[0]["not_run"], 3);
    let finished = server.list("rrrspec:persister_queue");
    assert_eq!(finished, [&*taskset.key]);
    assert!(taskset.list("task_queue").is_empty());
    // Keys of a slave written by hand have no expiry.
    server.run::<i64>(&["EXPIRE", "rrrspec:worker:w:slave:1:trial", "3600"]);
    Tool::new(&server, "rrr-fsck").run().expect_code(0);
}

#[test]
fn failures_of_earlier_calls_count_for_max_fail() {
    let server = Server::new();
    let taskset = with_policy(&server, &["a", "b", "c"], "1", r#"{"max_fail":2}"#);
    end(&server, &taskset, "a", "1", "failed");
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.status().as_deref(), Some("running"));
    end(&server, &taskset, "b", "1", "failed");
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.status().as_deref(), Some("failed"));
    assert_eq!(taskset.counts(), (0, 2));
}

#[test]
fn a_failure_that_is_tried_again_is_none_for_max_fail() {
    let server = Server::new();
    let taskset = with_policy(&server, &["a", "b"], "2", r#"{"max_fail":1}"#);
    end(&server, &taskset, "a", "1", "failed");
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.status().as_deref(), Some("running"));
    end(&server, &taskset, "a", "2", "failed");
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.status().as_deref(), Some("failed"));
    let reason = taskset.get("fail_reason");
    assert_eq!(reason.as_deref(), Some("--max-fail: 1 task failed"));
}

#[test]
fn the_last_task_of_a_run_needs_no_max_fail_to_end_it() {
    let server = Server::new();
    let taskset = with_policy(&server, &["a"], "1", r#"{"max_fail":1}"#);
    end(&server, &taskset, "a", "1", "failed");
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.status().as_deref(), Some("failed"));
    assert_eq!(taskset.get("fail_reason"), None);
    assert_eq!(
        events(&server, &taskset, "taskset_finished")[0]["not_run"],
        0
    );
}

#[test]
fn max_fail_stops_the_tests_that_still_run() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 2, suite.path());
    suite
        .file("sleeps.sh", "echo $$ >pid; exec sleep 1000")
        .file(
            "fails.sh",
            "while [ ! -s pid ]; do sleep 0.01; done; exit 1",
        )
        .many(20, "while [ ! -s pid ]; do sleep 0.01; done; exit 1");
    let args = ["--fail-fast", "--max-trials", "1"];
    let done = submit(&server, &suite, &args).wait(PATIENCE).expect_code(1);
    let receipt = done.receipt();
    assert_eq!(receipt.failed, 1);
    assert_eq!(receipt.succeeded + receipt.failed + receipt.not_run, 22);
    assert_eq!(
        receipt.fail_reason.as_deref(),
        Some("--max-fail: 1 task failed")
    );
    let test = suite.lines("pid").remove(0);
    eventually(PATIENCE, "the end of the test that slept", || {
        (!std::path::Path::new(&format!("/proc/{test}")).exists()).then_some(())
    });
}

#[test]
fn max_fail_may_be_a_share_of_the_tasks() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 1, suite.path());
    suite.many(10, "exit 1");
    let args = ["--max-fail", "25%", "--max-trials", "1"];
    let done = submit(&server, &suite, &args).wait(PATIENCE).expect_code(1);
    let receipt = done.receipt();
    assert_eq!((receipt.failed, receipt.not_run), (3, 7));
}

#[test]
fn a_spent_retry_budget_makes_every_further_failure_final() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 2, suite.path());
    suite.many(5, "exit 1");
    let args = ["--retry-budget", "3", "--max-trials", "3"];
    let done = submit(&server, &suite, &args).wait(PATIENCE).expect_code(1);
    assert_eq!(done.receipt().failed, 5);
    assert_eq!(done.events_named("trial_finished").len(), 5 + 3);
    let spent = done.events_named("retry_budget_spent");
    assert_eq!(spent.len(), 1);
    assert_eq!(spent[0]["budget"], 3);
}

#[test]
fn a_lost_trial_costs_no_retry_and_is_always_tried_again() {
    let server = Server::new();
    let policy = r#"{"retry_budget":0,"retry_on":["failed"]}"#;
    let taskset = with_policy(&server, &["a"], "2", policy);
    let lost = taskset.finish_trial("a", "1", "error");
    server.hset(&lost, "stopped", "the slave's heartbeat stopped");
    server.tell_arbiter(format!("trial\t{lost}"));
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.list("task_queue"), ["a"]);
    assert!(events(&server, &taskset, "retry_budget_spent").is_empty());
    end(&server, &taskset, "a", "2", "failed");
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.status().as_deref(), Some("failed"));
    assert_eq!(events(&server, &taskset, "retry_budget_spent").len(), 1);
}

#[test]
fn only_the_statuses_of_retry_on_are_tried_again() {
    for (status, again) in [("failed", true), ("timeout", true), ("error", false)] {
        let server = Server::new();
        let policy = r#"{"retry_on":["failed","timeout"]}"#;
        let taskset = with_policy(&server, &["a", "b"], "3", policy);
        end(&server, &taskset, "a", "1", status);
        drain(&server, "rrr-arbiter");
        let is_queued = taskset.list("task_queue").contains(&"a".to_owned());
        assert_eq!(is_queued, again, "{status}");
        assert_eq!(taskset.counts(), (0, u64::from(!again)), "{status}");
    }
}

#[test]
fn a_runner_may_refuse_a_retry() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["a", "b"]).running();
    let trial = taskset.finish_trial("a", "1", "failed");
    server.hset(&trial, "retry", "0");
    server.tell_arbiter(format!("trial\t{trial}"));
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.counts(), (0, 1));
    assert_eq!(taskset.list("task_queue"), ["b"]);
}

#[test]
fn a_flaky_task_fails_the_taskset_if_the_policy_says_so() {
    for (verdict, code) in [("pass", 0), ("fail", 1)] {
        let (server, suite) = (Server::new(), Suite::new());
        let fleet = Fleet::start(&server);
        let _worker = fleet.worker("w", 1, suite.path());
        suite
            .file("flaky.sh", "[ -e seen ] && exit 0; touch seen; exit 1")
            .file("pass.sh", "exit 0");
        let done = submit(&server, &suite, &["--flaky", verdict]);
        let done = done.wait(PATIENCE).expect_code(code);
        let receipt = done.receipt();
        assert_eq!((receipt.succeeded, receipt.flaky), (2, 1));
        if code == 1 {
            assert_eq!(receipt.fail_reason.as_deref(), Some("1 flaky"));
        }
    }
}

#[test]
fn a_policy_that_cannot_be_read_changes_no_verdict() {
    let policies = [
        "",
        "{",
        "[]",
        "3",
        "null",
        "\"x\"",
        r#"{"max_fail":"x","retry_budget":[],"retry_on":7}"#,
        r#"{"max_fail":null,"retry_budget":null,"retry_on":null,"flaky":null}"#,
    ];
    for policy in policies {
        let server = Server::new();
        let taskset = with_policy(&server, &["a", "b"], "2", policy).set("retry_count", "many");
        end(&server, &taskset, "a", "1", "failed");
        drain(&server, "rrr-arbiter");
        assert!(
            taskset.list("task_queue").contains(&"a".to_owned()),
            "{policy}"
        );
        end(&server, &taskset, "a", "2", "passed");
        end(&server, &taskset, "b", "1", "passed");
        drain(&server, "rrr-arbiter");
        assert_eq!(taskset.status().as_deref(), Some("succeeded"), "{policy}");
    }
}

#[test]
fn a_nonsensical_policy_is_refused_before_anything_is_submitted() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("a.sh", "exit 0");
    for args in [
        ["--max-fail", "0"],
        ["--max-fail", "101%"],
        ["--max-fail", "x"],
        ["--retry-budget", "-1"],
        ["--retry-on", "passed"],
        ["--flaky", "maybe"],
        ["--fail-fast", "--max-fail=2"],
    ] {
        let done = submit(&server, &suite, &args).wait(PATIENCE).expect_code(2);
        assert!(done.stderr.contains("hint: "), "{args:?}: {}", done.stderr);
    }
    assert!(server.list("rrrspec:active_taskset").is_empty());
}
