//! Campaign 4: processes that are stopped (SIGSTOP) and resumed (SIGCONT), for shorter and longer
//! than their heartbeat's expiry.

use crate::harness::*;

use std::time::Duration;

const STALLS: usize = 12;

const BEATS: [&str; 2] = ["--heartbeat", "3"];
const TTL: Duration = Duration::from_secs(3);

fn slave_of(worker: &Running) -> process_tree::Member {
    let mut family = worker.family().into_iter();
    family
        .find(|member| member.is("rrr-slave"))
        .expect("a slave")
}

#[test]
fn c5_a_slave_that_stalls_longer_than_its_heartbeat_is_fenced() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let stalled = fleet.worker("stalled", 1, suite.path());
    suite.file(
        "a.sh",
        "echo $$ >>pids; until [ -e go ]; do sleep 0.05; done",
    );
    let follower = submit(&server, &suite, &[]);
    let first = follower.wait_for_event("trial_started", PATIENCE);
    let test = eventually(PATIENCE, "the first test", || {
        suite.lines("pids").first().cloned()
    });
    let slave = slave_of(&stalled);
    slave.signal(Signal::STOP);
    server.end_heartbeat(first["slave"].as_str().unwrap());
    let _other = fleet.worker("other", 1, suite.path());
    follower.wait_for_event_where("trial_started", PATIENCE, |event| event["attempt"] == 2);
    suite.file("go", "");
    let receipt = follower.wait(PATIENCE).expect_code(0).receipt();
    // The stalled trial does not count, so nothing was flaky.
    assert_eq!((receipt.succeeded, receipt.flaky), (1, 0));
    // Otherwise the slave would find it running and stop it.
    eventually(PATIENCE, "the first test has ended", || {
        let stat = std::fs::read_to_string(format!("/proc/{test}/stat"));
        stat.unwrap().contains(") Z ").then_some(())
    });
    slave.signal(Signal::CONT);
    let trial = first["trial"].as_str().unwrap();
    let late = eventually(PATIENCE, "the late result", || {
        server.hget(trial, "late_status")
    });
    assert_eq!(late, "passed");
    assert_eq!(server.hget(trial, "status").unwrap(), "error");
    let wrong = invariants::violations(&server.dump_keys(), receipt.taskset.as_str());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_worker_that_stalls_longer_than_its_heartbeat_comes_back() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let worker = fleet.worker("w", 1, suite.path());
    suite.file("a.sh", "until [ -e go ]; do sleep 0.05; done");
    let follower = submit(&server, &suite, &[]);
    follower.wait_for_event("trial_started", PATIENCE);
    worker.stop();
    server.end_heartbeat("rrrspec:worker:w");
    eventually(PATIENCE, "it is off the books", || {
        let books: Vec<String> = server.run(&["SMEMBERS", "rrrspec:worker"]);
        books.is_empty().then_some(())
    });
    // Its slave is alive and continues.
    suite.file("go", "");
    let receipt = follower.wait(PATIENCE).expect_code(0).receipt();
    assert_eq!((receipt.succeeded, receipt.flaky), (1, 0));
    worker.cont();
    let again = submit_tool(&server, &suite, ["x"], &[], &["true"]).run();
    assert_eq!(again.expect_code(0).receipt().succeeded, 1);
    worker.term();
    worker.wait(PATIENCE).expect_code(0);
}

#[test]
fn any_process_may_be_stopped_for_a_while() {
    let mut random = random::random();
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server)
        .arbiters(2)
        .dispatchers(2)
        .without_persister()
        .start();
    let workers = ["v", "w"].map(|id| fleet.worker_tool(id, 2, suite.path()).args(BEATS).spawn());
    suite
        .many(40, "sleep 0.2")
        .file("wait.sh", "until [ -e go ]; do sleep 0.05; done")
        .file("flaky.sh", "[ -e seen ] && exit 0; touch seen; exit 1");
    // A stalled slave loses its trial, so there must be more trials than stalls.
    let follower = submit(&server, &suite, &["--max-trials", "99"]);
    follower.wait_for_event("task_finished", PATIENCE);
    for _ in 0..STALLS {
        let slaves = workers.iter().flat_map(Running::family);
        let slaves = slaves.filter(|member| member.is("rrr-slave"));
        let daemons = fleet.arbiters.iter().chain(&fleet.dispatchers);
        let mut pids: Vec<u32> = daemons.chain(&workers).map(Running::pid).collect();
        pids.extend(slaves.map(|slave| slave.pid));
        let victim = process_tree::Member::of(pids[random.usize(..pids.len())]);
        victim.signal(Signal::STOP);
        // From a tenth of a heartbeat's expiry to three times it; most stalls are short.
        let stall = TTL.mul_f64(0.1 + 2.9 * random.f64().powi(4));
        wait::within(stall, || (!follower.is_running()).then_some(()));
        victim.signal(Signal::CONT);
    }
    suite.file("go", "");
    let receipt = follower.wait(PATIENCE).expect_code(0).receipt();
    assert_eq!(receipt.succeeded, 42);
    for worker in &workers {
        worker.term();
        worker.wait(PATIENCE).expect_code(0);
    }
    let wrong = invariants::violations(&server.dump_keys(), receipt.taskset.as_str());
    assert!(wrong.is_empty(), "{wrong:#?}");
}
