//! Workers that cannot run their tasksets.

use crate::faults::lost_messages::connect;
use crate::harness::*;

use rrr::entity::taskset::fail_unrunnable;

/// Waits until the workers are registered: others do not count as alternatives.
fn registered(server: &Server, workers: &[&str]) {
    for id in workers {
        eventually(PATIENCE, "a worker registers", || {
            server.hget(&format!("rrrspec:worker:{id}"), "instance")
        });
    }
}

#[test]
fn l9_another_worker_runs_a_taskset_whose_setup_failed_on_one() {
    let (server, sick, well) = (Server::new(), Suite::new(), Suite::new());
    let fleet = Fleet::start(&server);
    well.file("ready", "").file("a.sh", "");
    let _sick = fleet.worker("a-sick", 1, sick.path());
    let _well = fleet.worker("b-well", 1, well.path());
    registered(&server, &["a-sick", "b-well"]);
    let setup = ["--setup", "test -e ready", "--max-workers", "1"];
    let done = submit_tool(&server, &well, ["a.sh"], &setup, &["sh", "{}"]).run();
    assert_eq!(done.expect_code(0).receipt().succeeded, 1);
}

#[test]
fn l9_a_taskset_fails_when_setup_has_failed_on_every_worker() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _workers = ["a", "b", "c"].map(|id| fleet.worker(id, 1, suite.path()));
    registered(&server, &["a", "b", "c"]);
    let setup = ["--setup", "echo started >>setups; false"];
    let done = submit_tool(&server, &suite, ["x"], &setup, &["true"]).run();
    let receipt = done.expect_code(1).receipt();
    let reason = receipt.fail_reason.as_deref().unwrap();
    assert!(
        reason.contains("setup_command failed (exit code 1)"),
        "{reason}"
    );
    assert!(
        suite.lines("setups").len() >= 2,
        "one failed worker is not enough"
    );
}

#[test]
fn l9_a_taskset_fails_when_the_last_worker_for_its_setup_dies() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let busy = server.add_worker("busy");
    server.hset(&busy, "taskset", "rrrspec:taskset:other");
    server.run::<()>(&["PERSIST", &format!("{busy}:heartbeat")]);
    let _sick = fleet.worker("sick", 1, suite.path());
    registered(&server, &["sick"]);
    let setup = ["--setup", "exit 7"];
    let follower = submit_tool(&server, &suite, ["x"], &setup, &["true"]).spawn();
    let taskset = eventually(PATIENCE, "the taskset", || {
        server.list("rrrspec:active_taskset").pop()
    });
    eventually(PATIENCE, "the failed setup", || {
        server.hget(
            &format!("{taskset}:worker_log:rrrspec:worker:sick"),
            "failure",
        )
    });
    let status = server.hget(&taskset, "status");
    assert_eq!(
        status.as_deref(),
        Some("running"),
        "the other worker might set it up"
    );
    server.end_heartbeat(&busy);
    let receipt = follower.wait(PATIENCE).expect_code(1).receipt();
    assert_eq!(receipt.status, "failed");
    let reason = receipt.fail_reason.as_deref().unwrap();
    assert!(reason.contains("exit code 7"), "{reason}");
}

#[test]
fn l9_a_taskset_waits_while_a_worker_may_run_it_or_none_lives() {
    let server = Server::new();
    let mut store = connect(&server);
    let taskset = raw::taskset(&server, "t", &["x"]).running();
    let key = taskset.key.parse().unwrap();
    let mut is_given_up = |fail| fail_unrunnable(&mut store, &key, fail).unwrap().value;
    let sick = server.add_worker("sick");
    let log = format!("{}:worker_log:{sick}", taskset.key);
    server.push(&taskset.list_key("worker_log"), &log);
    server.hset(&log, "worker", &sick);
    assert!(!is_given_up(true), "no worker has failed it");
    server.hset(&log, "failure", "its setup failed");
    assert!(is_given_up(false));
    let other = server.add_worker("other");
    assert!(!is_given_up(true), "the other has not tried it");
    server.hset(&other, "benched", "for a while");
    server.hset(&other, "taskset", "rrrspec:taskset:another");
    assert!(!is_given_up(true), "the other may come back to it");
    server.hset(&other, "worker_type", "gpu");
    assert!(is_given_up(false));
    server.hset(&other, "taskset", &taskset.key);
    assert!(!is_given_up(true), "a worker is running it");
    server.hset(&other, "taskset", "");
    server.push(&format!("{other}:worker_queue"), &taskset.key);
    assert!(!is_given_up(true), "it is assigned to a worker");
    server.end_heartbeat(&other);
    server.end_heartbeat(&sick);
    assert!(!is_given_up(true), "a worker may come");
    assert_eq!(taskset.status().as_deref(), Some("running"));
    server.set_heartbeat(&sick);
    assert!(is_given_up(true));
    assert_eq!(
        taskset.get("fail_reason").as_deref(),
        Some("its setup failed")
    );
    assert!(!is_given_up(true), "it was closed, and once");
    assert_eq!(server.list("rrrspec:persister_queue"), [&*taskset.key]);
}

#[test]
fn l9_a_worker_whose_setups_fail_is_benched_until_it_restarts() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let worker = fleet.worker("w", 1, suite.path());
    for _ in 0..3 {
        let setup = ["--setup", "echo started >>setups; false"];
        let done = submit_tool(&server, &suite, ["x"], &setup, &["true"]).run();
        done.expect_code(1);
    }
    worker.wait_for_stderr(PATIENCE, |line| line.contains("trying again in 30 s"));
    let benched = eventually(PATIENCE, "the worker to be benched", || {
        server.hget("rrrspec:worker:w", "benched")
    });
    assert!(benched.contains("3 tasksets in a row"), "{benched}");
    let waiting = raw::taskset(&server, "t", &["x"]).submitted();
    drain(&server, "rrr-dispatch");
    assert_eq!(waiting.status(), None, "it was given to a benched worker");
    // A new process with the same id is another worker: the machine may have been repaired.
    worker.term();
    worker.wait(PATIENCE).expect_code(0);
    let _repaired = fleet.worker("w", 1, suite.path());
    eventually(PATIENCE, "the taskset to be run", || {
        (waiting.status()? == "succeeded").then_some(())
    });
}

#[test]
fn l9_a_slave_command_that_never_joins_fails_the_taskset() {
    for command in ["true", "exit 3"] {
        let suite = Suite::new();
        suite.file("a", "");
        let done = Tool::new("unused", "rrr-local")
            .args(["-j1", "a", "--slave", command])
            .dir(suite.path())
            .run();
        let why = done
            .expect_code(1)
            .receipt()
            .fail_reason
            .unwrap_or_default();
        assert!(
            why.contains(&format!("slave command '{command}' does not work")),
            "{why}"
        );
    }
}

#[test]
fn a_worker_for_one_taskset_exits_nonzero_if_it_cannot_run_it() {
    let (server, suite) = (Server::new(), Suite::new());
    let taskset = raw::taskset(&server, "t", &["x"])
        .set("setup_command", "exit 7")
        .submitted();
    let worker = fleet_of_none(&server, &suite).args(["--once", "--taskset", &taskset.key]);
    let done = worker.run().expect_code(1);
    assert!(done.stderr.contains("exit code 7"), "{}", done.stderr);
}

fn fleet_of_none(server: &Server, suite: &Suite) -> Tool {
    Fleet::plan(server)
        .arbiters(0)
        .dispatchers(0)
        .without_persister()
        .start()
        .worker_tool("w", 1, suite.path())
}

#[test]
fn l9_a_slave_that_cannot_start_does_not_affect_the_others() {
    let suite = Suite::new();
    suite.many(4, "sleep 0.5");
    let done = Tool::new("unused", "rrr-local")
        .args(["-j2", "--max-trials", "1", "--slave"])
        .arg("[ $SLAVE_NUMBER = 0 ] || exit 9; exec rrr-slave -- sh {}")
        .args(suite.files())
        .dir(suite.path())
        .run();
    assert_eq!(done.expect_code(0).receipt().succeeded, 4);
}

#[test]
fn an_unread_worker_log_fails_no_test() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.many(6, "exit 0");
    let _fleet = Fleet::start(&server);
    let worker = bin("rrr-worker").display().to_string();
    let script = format!("'{worker}' --slaves 1 --in-place . | head -n 3");
    let _worker = Tool::program(&server, "sh")
        .args(["-c", &script])
        .dir(suite.path())
        .spawn();
    let done = submit(&server, &suite, &["--max-trials", "1"]).wait(PATIENCE);
    assert_eq!(done.expect_code(0).receipt().succeeded, 6);
}

#[test]
fn l9_a_worker_survives_removal_of_its_temporary_folder() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let temporary = tempfile::tempdir().unwrap();
    let worker = fleet.worker_tool("w", 1, suite.path());
    let _worker = worker.env("TMPDIR", temporary.path()).spawn();
    let folder = eventually(PATIENCE, "its folder", || {
        let mut all = std::fs::read_dir(temporary.path()).unwrap().flatten();
        server.hget("rrrspec:worker:w", "worker_type")?;
        Some(all.next()?.path())
    });
    std::fs::remove_dir_all(folder).unwrap();
    suite.file("a", "");
    let done = submit_tool(&server, &suite, ["a"], &["--setup", "true"], &["true"]).run();
    done.expect_code(0);
}
