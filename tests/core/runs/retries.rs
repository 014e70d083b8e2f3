//! Retries and second copies, and which trial a verdict stops.

use crate::harness::*;
use rrr::entity::reservation::{self, Next};
use rrr::entity::slave;

#[test]
fn a_retry_goes_to_a_slave_that_has_not_tried_the_task() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["a"]).running();
    let mut store = rrr::cli::redis_args::RedisArgs::at(server.url())
        .connect()
        .unwrap();
    let key = taskset.key.parse().unwrap();
    let [first, second] = ["1", "2"].map(|n| {
        let slave: rrr::protocol::key::SlaveKey =
            format!("rrrspec:worker:w:slave:{n}").parse().unwrap();
        let beat = rrr::entity::heartbeat::Heartbeat::default();
        slave::join(&mut store, &key, &slave, &beat).unwrap();
        slave
    });
    // One slave fails the task and requests it again before the other does.
    let mut reserve =
        |slave, spare| reservation::reserve(&mut store, &key, slave, 1, spare, false).unwrap();
    let Next::Run(jobs) = reserve(&first, true) else {
        panic!("the only task is free")
    };
    let [job] = &jobs[..] else { panic!("{jobs:?}") };
    server.hset(job.trial.as_str(), "status", "failed");
    server.tell_arbiter(format!("trial\t{}", job.trial));
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.list("task_queue"), ["a"]);
    let left = reserve(&first, true);
    assert!(matches!(left, Next::Skip), "{left:?}");
    let taken = reserve(&second, true);
    assert!(
        matches!(&taken, Next::Run(jobs) if jobs[0].attempt == 2),
        "{taken:?}"
    );
}

#[test]
fn a_retry_goes_to_the_same_slave_if_no_other_is_available() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 1, suite.path());
    suite.file("fails.sh", "exit 1");
    let done = submit(&server, &suite, &["--max-trials", "2"]).wait(PATIENCE);
    let started = done.expect_code(1).events_named("trial_started");
    assert_eq!(started.len(), 2);
    assert_eq!(started[0]["slave"], started[1]["slave"]);
}

#[test]
fn a_test_that_always_kills_its_slave_fails_alone() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let worker = fleet.worker("w", 2, suite.path());
    suite.file("kills.sh", "kill -9 $PPID").many(10, "exit 0");
    let done = submit(&server, &suite, &["--max-trials", "3"]).wait(PATIENCE);
    let done = done.expect_code(1);
    let receipt = done.receipt();
    assert_eq!((receipt.succeeded, receipt.failed), (10, 1));
    let finished = done.events_named("task_finished");
    let killer = finished
        .iter()
        .find(|event| event["spec_file"] == "kills.sh");
    assert_eq!(killer.unwrap()["trials"], 3);
    assert!(worker.is_running());
}

#[test]
fn c8_the_first_verdict_stops_the_other_copy_of_a_slow_task() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).arbiters(0).start();
    let _arbiter = Tool::new(&server, "rrr-arbiter")
        .args(["--speculate-after", "0"])
        .spawn();
    let _worker = fleet.worker("w", 2, suite.path());
    // The first trial hangs, the second passes at once.
    suite.file(
        "slow.sh",
        "echo $$ >pid.$$; ln pid.$$ pid || exit 0; exec sleep 1000",
    );
    let done = submit(&server, &suite, &[]).wait(PATIENCE).expect_code(0);
    assert_eq!(done.events_named("task_speculated").len(), 1);
    let finished = done.events_named("task_finished").remove(0);
    assert_eq!(finished["flaky"], false, "a stopped copy is not a failure");
    assert_eq!(finished["trials"], 2);
    let test = suite.lines("pid").remove(0);
    eventually(PATIENCE, "the end of the slower copy", || {
        (!std::path::Path::new(&format!("/proc/{test}")).exists()).then_some(())
    });
}

#[test]
fn c8_a_copy_needs_an_empty_queue_and_an_idle_slave() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).arbiters(0).start();
    let _arbiter = Tool::new(&server, "rrr-arbiter")
        .args(["--speculate-after", "0"])
        .spawn();
    let _worker = fleet.worker("w", 1, suite.path());
    suite.many(3, "sleep 0.7");
    let done = submit(&server, &suite, &[]).wait(PATIENCE).expect_code(0);
    assert!(done.events_named("task_speculated").is_empty());
    assert_eq!(done.events_named("trial_started").len(), 3);
}

#[test]
fn c8_a_task_that_may_have_one_trial_gets_no_copy() {
    let server = Server::new();
    let mut store = rrr::cli::redis_args::RedisArgs::at(server.url())
        .connect()
        .unwrap();
    for (most, copies) in [("1", 0), ("2", 1)] {
        let taskset = raw::taskset(&server, most, &["a"])
            .set("max_trials", most)
            .running();
        taskset.start_trial("a", "1", "rrrspec:worker:w:slave:1");
        let task = taskset.task("a").parse().unwrap();
        let _ = rrr::entity::taskset::speculate(&mut store, &taskset.key.parse().unwrap(), &[task])
            .unwrap();
        assert_eq!(
            taskset.list("task_queue").len(),
            copies,
            "max_trials {most}"
        );
    }
}

#[test]
fn a_cancelled_test_that_ignores_term_is_killed_after_the_grace() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 1, suite.path());
    suite.file(
        "deaf.sh",
        "trap '' TERM; echo $$ >pid; while :; do sleep 1; done",
    );
    let submitter = submit(&server, &suite, &[]);
    let test = eventually(PATIENCE, "the test", || suite.lines("pid").pop());
    // The test may have started before the submitter reports it.
    let submitted = submitter.wait_for_event("taskset_submitted", PATIENCE);
    let key = submitted["taskset"].as_str().unwrap().to_owned();
    let cancel = Tool::new(&server, "rrr-cancel").arg(&key).run();
    cancel.expect_code(0);
    submitter.wait(PATIENCE).expect_code(3);
    eventually(PATIENCE, "the end of the test", || {
        (!std::path::Path::new(&format!("/proc/{test}")).exists()).then_some(())
    });
}

#[test]
fn a_lost_redis_is_waited_for_and_reported_once() {
    let suite = Suite::new();
    let server = Server::options().append_only().start();
    let fleet = Fleet::start(&server);
    let worker = fleet.worker("w", 2, suite.path());
    suite.many(40, "echo $0 >>ran; sleep 0.1");
    let submitter = submit(&server, &suite, &[]);
    submitter.wait_for_event("task_finished", PATIENCE);
    server.shutdown();
    worker.wait_for_stderr(PATIENCE, |line| line.contains("waiting for it"));
    server.restart();
    let done = submitter.wait(PATIENCE).expect_code(0);
    assert_eq!(done.receipt().succeeded, 40);
    let stops = fleet.stop();
    for role in &stops {
        let said = role.stderr.matches("waiting for it").count();
        assert!(said <= 1, "{}", role.stderr);
    }
}

#[test]
fn a_submitter_exits_with_69_when_redis_stays_unreachable() {
    let (server, suite) = (Server::new(), Suite::new());
    let submitter = submit_tool(&server, &suite, ["x"], &[], &["true"]).spawn();
    submitter.wait_for_event("taskset_submitted", PATIENCE);
    server.kill();
    let done = submitter.wait(PATIENCE).expect_code(69);
    assert!(
        done.stderr.contains("hint: start redis-server"),
        "{}",
        done.stderr
    );
}
