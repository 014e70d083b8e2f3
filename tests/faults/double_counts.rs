//! Races whose loser must change nothing.

use crate::harness::*;

#[test]
fn c1_a_cancelled_taskset_stays_cancelled_and_its_tests_end() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let worker = fleet.worker("w", 1, suite.path());
    suite.file("a.sh", "touch began; sleep 60");
    let follower = submit(&server, &suite, &[]);
    eventually(PATIENCE, "the test begins", || {
        suite.path().join("began").exists().then_some(())
    });
    Tool::new(&server, "rrr-cancel")
        .arg("--all")
        .run()
        .expect_code(0);
    let done = follower.wait(PATIENCE).expect_code(3);
    assert_eq!(done.receipt()["status"], "cancelled");
    eventually(PATIENCE, "the worker is idle", || {
        let busy = server.hget("rrrspec:worker:w", "taskset").is_some();
        let family = worker.family();
        let testing = family.iter().any(|member| member.command.contains("a.sh"));
        (!busy && !testing).then_some(())
    });
    drain(&server, "rrr-dispatch");
    assert!(server.list("rrrspec:active_taskset").is_empty());
    let taskset = done.receipt()["taskset"].as_str().unwrap().to_owned();
    assert_eq!(server.hget(&taskset, "status").unwrap(), "cancelled");
}

#[test]
fn c3_a_trial_announced_three_times_counts_once() {
    let server = Server::new();
    let taskset = hand::taskset(&server, "t", &["a", "b"]).running();
    let passed = taskset.finish_trial("a", "1", "passed");
    let failed = taskset.finish_trial("b", "1", "failed");
    for _ in 0..3 {
        server.tell_arbiter(format!("trial\t{passed}"));
        server.tell_arbiter(format!("trial\t{failed}"));
    }
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.counts(), (1, 0));
    assert_eq!(taskset.list("task_queue"), ["b"], "put back once");
}
