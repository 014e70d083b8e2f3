//! Campaign 3: Redis itself dies, loses data, or refuses commands. No false green, and no hang.

use crate::harness::*;

/// A system in the middle of a run that continues until the file `go` exists.
struct Bench {
    server: Server,
    suite: Suite,
    _fleet: Fleet,
    worker: Running,
    follower: Running,
    /// Size of the append-only file, if any, right after the handover of the taskset.
    handed_over: u64,
}

impl Bench {
    fn start(server: Server) -> Self {
        let suite = Suite::new();
        suite
            .many(20, "sleep 0.05")
            .file("flaky.sh", "[ -e seen ] && exit 0; touch seen; exit 1")
            .file("wait.sh", "until [ -e go ]; do sleep 0.05; done");
        let fleet = Fleet::plan(&server).without_persister().start();
        let worker = fleet.worker("w", 2, suite.path());
        // A restart of Redis can end a slave and its trial.
        let follower = submit(&server, &suite, &["--max-trials", "9"]);
        follower.wait_for_event("taskset_submitted", PATIENCE);
        let handed_over = match server.run::<Vec<String>>(&["CONFIG", "GET", "appendonly"]) {
            setting if setting[1] == "yes" => server.append_only_length(),
            _ => 0,
        };
        follower.wait_for_event("task_finished", PATIENCE);
        Self {
            handed_over,
            server,
            suite,
            _fleet: fleet,
            worker,
            follower,
        }
    }

    /// Waits until one of the roles has been refused or disconnected.
    fn wait_until_it_is_felt(&self) {
        let felt = |line: &str| line.contains("lost Redis");
        self.worker.wait_for_stderr(PATIENCE, felt);
    }

    /// Lets the run finish, which must be a true success.
    fn succeeds(self) {
        self.suite.file("go", "");
        let receipt = self.follower.wait(PATIENCE).expect_code(0).receipt();
        assert_eq!(receipt.succeeded, 22);
        let taskset = receipt.taskset.as_str();
        self.worker.term();
        self.worker.wait(PATIENCE).expect_code(0);
        let mut wrong = invariants::violations(&self.server.dump_keys(), taskset);
        wrong.extend(invariants::findings(&self.server));
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

#[test]
fn a_redis_that_is_killed_and_comes_back_loses_nothing() {
    let bench = Bench::start(Server::options().append_only().start());
    for _ in 0..3 {
        let before = bench.follower.events_named("task_finished").len();
        bench.server.kill();
        bench.server.restart();
        eventually(PATIENCE, "it continues", || {
            let after = bench.follower.events_named("task_finished").len();
            (after > before || after == 21).then_some(())
        });
    }
    bench.succeeds();
}

#[test]
fn a_redis_that_loses_its_last_writes_is_no_false_green() {
    let mut random = random::random();
    for _ in 0..3 {
        let bench = Bench::start(Server::options().append_only().start());
        bench.server.kill();
        // Without its submission there would be no run.
        let written = bench.server.append_only_length() - bench.handed_over;
        let forgotten = random.u64(1..written.clamp(2, 4000));
        bench.server.cut_append_only_tail(forgotten);
        bench.server.restart();
        bench.suite.file("go", "");
        // Events may have been reported before they were lost: only the keys count.
        let taskset = bench.follower.wait_for_event("taskset_submitted", PATIENCE);
        let taskset = taskset["taskset"].as_str().unwrap();
        let server = &bench.server;
        let status = eventually(PATIENCE, "the end of the taskset", || {
            server
                .hget(taskset, "status")
                .filter(|status| status != "running")
        });
        bench.worker.term();
        bench.worker.wait(PATIENCE);
        if status == "succeeded" {
            let wrong = invariants::violations(&server.dump_keys(), taskset);
            assert!(wrong.is_empty(), "{wrong:#?}");
        }
        let code = bench.follower.wait(PATIENCE).code;
        assert!(
            code != Some(0) || status == "succeeded",
            "{code:?}, {status}"
        );
    }
}

#[test]
fn forgotten_scripts_are_sent_again() {
    let bench = Bench::start(Server::new());
    for _ in 0..20 {
        let before = bench.follower.events().len();
        bench.server.run::<()>(&["SCRIPT", "FLUSH"]);
        wait::within(std::time::Duration::from_millis(200), || {
            (bench.follower.events().len() > before).then_some(())
        });
    }
    bench.succeeds();
}

#[test]
fn a_redis_that_was_emptied_ends_the_run_and_the_next_one_works() {
    let bench = Bench::start(Server::new());
    bench.server.run::<()>(&["FLUSHALL"]);
    let done = bench.follower.wait(PATIENCE);
    let done = done.expect_code(70);
    assert!(done.stderr.contains("disappeared from Redis"), "{done:#?}");
    // The worker and its slaves have dropped the taskset on their own.
    let next = submit_tool(&bench.server, &bench.suite, ["x"], &[], &["true"]);
    assert_eq!(next.run().expect_code(0).receipt().succeeded, 1);
    bench.worker.term();
    bench.worker.wait(PATIENCE).expect_code(0);
}

#[test]
fn a_redis_that_became_a_replica_is_waited_for() {
    let bench = Bench::start(Server::new());
    bench.server.run::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    bench.wait_until_it_is_felt();
    bench.server.run::<()>(&["REPLICAOF", "NO", "ONE"]);
    bench.succeeds();
}

#[test]
fn a_redis_without_memory_is_waited_for() {
    let bench = Bench::start(Server::new());
    bench.server.run::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    bench.wait_until_it_is_felt();
    bench.server.run::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    bench.succeeds();
}

#[test]
fn a_redis_that_is_busy_with_an_endless_script_is_waited_for() {
    let server = Server::options().set("busy-reply-threshold", "50").start();
    let bench = Bench::start(server);
    let mut conn = bench.server.conn();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut script = redis::cmd("EVAL");
            let ended: Result<(), _> = script.arg("while true do end").arg(0).query(&mut conn);
            assert!(ended.is_err(), "it is killed");
        });
        bench.wait_until_it_is_felt();
        bench.server.run::<()>(&["SCRIPT", "KILL"]);
    });
    bench.succeeds();
}
