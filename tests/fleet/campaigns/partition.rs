//! Campaign 5: the network between the roles and Redis drops, stalls, delays or loses replies.
//!
//! All roles connect through one proxy. Whatever it does, the run finishes with the right verdict.

use crate::harness::*;

use std::time::Duration;

/// A system behind a proxy, running a suite whose last file waits for the file `go`.
struct Bench {
    server: Server,
    proxy: Proxy,
    suite: Suite,
    fleet: Fleet,
    worker: Running,
    follower: Running,
}

impl Bench {
    fn start(files: usize) -> Self {
        let server = Server::new();
        let (proxy, suite) = (Proxy::start(&server), Suite::new());
        suite
            .many(files, "sleep 0.05")
            .file("flaky.sh", "[ -e seen ] && exit 0; touch seen; exit 1")
            .file(
                "wait.sh",
                "touch waits; until [ -e go ]; do sleep 0.05; done",
            );
        let fleet = Fleet::plan(&proxy).without_persister().start();
        let worker = fleet.worker("w", 2, suite.path());
        // A slave that stalls longer than its heartbeat loses a trial.
        let follower = submit(&proxy, &suite, &["--max-trials", "9"]);
        Self {
            server,
            proxy,
            suite,
            fleet,
            worker,
            follower,
        }
    }

    /// Waits until the last file is running and only waits for `go`.
    fn wait_for_the_last(&self) {
        eventually(PATIENCE, "the last file", || {
            self.suite.path().join("waits").exists().then_some(())
        });
    }

    /// Lets the run finish and checks the result.
    fn end(self) {
        self.suite.file("go", "");
        let receipt = self.follower.wait(PATIENCE).expect_code(0).receipt();
        assert_eq!(receipt.succeeded, receipt.tasks);
        let taskset = receipt.taskset.as_str();
        self.worker.term();
        self.worker.wait(PATIENCE).expect_code(0);
        let mut wrong = invariants::violations(&self.server.dump_keys(), taskset);
        wrong.extend(invariants::findings(&self.server));
        assert!(wrong.is_empty(), "{wrong:#?}");
        self.fleet.stop().into_iter().for_each(|end| {
            end.expect_code(0);
        });
    }
}

#[test]
fn repeatedly_dropped_connections_change_nothing() {
    let mut random = random::random();
    let bench = Bench::start(40);
    for _ in 0..30 {
        // After this number of commands, at any point of the run.
        let target = bench.proxy.count() + random.u64(1..20);
        wait::within(Duration::from_millis(500), || {
            (bench.proxy.count() >= target).then_some(())
        });
        bench.proxy.cut();
    }
    bench.end();
}

#[test]
fn silent_connections_are_detected_and_replaced() {
    let bench = Bench::start(4);
    bench.wait_for_the_last();
    bench.proxy.silence();
    bench.end();
}

#[test]
fn lost_replies_repeat_no_effect() {
    let bench = Bench::start(10);
    bench.follower.wait_for_event("task_finished", PATIENCE);
    // Commands are applied, but their replies are lost.
    bench.proxy.blackhole(true);
    let before = bench.proxy.count();
    eventually(PATIENCE, "something is swallowed", || {
        (bench.proxy.count() > before + 2).then_some(())
    });
    bench.proxy.blackhole(false);
    bench.end();
}

#[test]
fn a_network_that_stalls_and_heals_loses_nothing() {
    let bench = Bench::start(10);
    bench.follower.wait_for_event("task_finished", PATIENCE);
    bench.proxy.freeze(true);
    // The running tests finish while results cannot be reported.
    bench.suite.file("go", "");
    bench
        .worker
        .wait_for_stderr(PATIENCE, |line| line.contains("lost Redis"));
    bench.proxy.freeze(false);
    bench.end();
}

#[test]
fn a_slow_network_changes_no_verdict() {
    let bench = Bench::start(6);
    bench.proxy.delay(Duration::from_millis(50));
    bench.end();
}

#[test]
fn a_redis_that_refuses_connections_is_waited_for() {
    let bench = Bench::start(10);
    bench.follower.wait_for_event("task_finished", PATIENCE);
    bench.proxy.refuse(true);
    bench.proxy.cut();
    bench.suite.file("go", "");
    eventually(PATIENCE, "each reports it", || {
        let daemons = [
            &bench.fleet.arbiters[0],
            &bench.fleet.dispatchers[0],
            &bench.worker,
        ];
        let reported = |daemon: &&Running| daemon.stderr().contains("lost Redis");
        daemons.iter().all(reported).then_some(())
    });
    bench.proxy.refuse(false);
    bench.end();
}

#[test]
fn a_worker_cut_off_past_its_heartbeat_is_replaced_and_fenced() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let proxy = Proxy::start(&server);
    let lost = Fleet::plan(&proxy)
        .arbiters(0)
        .dispatchers(0)
        .without_persister()
        .start();
    let lost = lost.worker("lost", 1, suite.path());
    suite.file(
        "a.sh",
        "echo ran >>trace; until [ -e go ]; do sleep 0.05; done",
    );
    let follower = submit(&server, &suite, &[]);
    let first = follower.wait_for_event("trial_started", PATIENCE);
    proxy.freeze(true);
    for silent in ["rrrspec:worker:lost", first["slave"].as_str().unwrap()] {
        server.end_heartbeat(silent);
    }
    let _other = fleet.worker("other", 1, suite.path());
    let second =
        follower.wait_for_event_where("trial_started", PATIENCE, |event| event["attempt"] == 2);
    assert!(second["slave"].as_str().unwrap().contains("worker:other:"));
    suite.file("go", "");
    let done = follower.wait(PATIENCE).expect_code(0);
    // The first copy has passed too, and reports it when the network heals.
    proxy.freeze(false);
    let trial = first["trial"].as_str().unwrap();
    let late = eventually(PATIENCE, "the late result", || {
        server.hget(trial, "late_status")
    });
    assert!(["passed", "error"].contains(&&*late), "{late}");
    assert_eq!(server.hget(trial, "status").unwrap(), "error");
    let receipt = done.receipt();
    let wrong = invariants::violations(&server.dump_keys(), receipt.taskset.as_str());
    assert!(wrong.is_empty(), "{wrong:#?}");
    lost.term();
    lost.wait(PATIENCE);
}
