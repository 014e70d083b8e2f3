//! Suite ends that are lost, late, repeated or killed: the taskset finishes, never falsely green.

use crate::faults::lost_messages::connect;
use crate::harness::*;
use rrr::entity::heartbeat::Heartbeat;
use rrr::entity::reservation::{self, Next};
use rrr::entity::wake::{self, Wake};
use rrr::entity::{slave, suite_end, taskset};
use rrr::protocol::key::{SlaveKey, TasksetKey};
use rrr::protocol::result::SuiteEnd;
use rrr::protocol::status::SlaveStatus;
use rrr::store::Store;

/// A taskset whose only task has passed in the slave `a`, with these slaves and open runners.
struct Scene<'a> {
    taskset: raw::Taskset<'a>,
    store: Store,
    key: TasksetKey,
}

impl<'a> Scene<'a> {
    fn new(server: &'a Server, slaves: &[&str]) -> Self {
        let taskset = raw::taskset(server, "t", &["a"]).running();
        let (store, key) = (connect(server), taskset.key.parse().unwrap());
        let mut scene = Self {
            taskset,
            store,
            key,
        };
        for name in slaves {
            let slave = slave(name);
            slave::join(&mut scene.store, &scene.key, &slave, &Heartbeat::default()).unwrap();
            scene.open(name, 1);
        }
        scene
    }

    fn open(&mut self, name: &str, number: u32) {
        suite_end::open(&mut self.store, &self.key, &slave(name), number).unwrap();
    }

    fn end(&mut self, name: &str, number: u32, end: &SuiteEnd) {
        suite_end::tell(&mut self.store, &self.key, &slave(name), number, end).unwrap();
    }

    fn pass(&mut self, name: &str) {
        let slave = slave(name);
        let next =
            reservation::reserve(&mut self.store, &self.key, &slave, 1, true, false).unwrap();
        let Next::Run(mut jobs) = next else {
            panic!("{next:?}");
        };
        let done = [passed(&slave, jobs.remove(0))];
        reservation::finish(&mut self.store, &self.key, &slave, &done, 0).unwrap();
        let _ = taskset::judge(&mut self.store, 10).unwrap();
    }

    /// The status and failure reason after a check by the arbiter.
    fn look(&mut self) -> (String, Option<String>) {
        let _ = taskset::recover(&mut self.store, &self.key, &[]).unwrap();
        let status = self.taskset.status().unwrap();
        (status, self.taskset.get("fail_reason"))
    }

    fn is_told_to_end(&mut self) -> bool {
        let mut after = "0".to_owned();
        let wakes = wake::wakes(&mut self.store, &self.key, &mut after, 1).unwrap();
        wakes.contains(&Wake::End)
    }
}

fn slave(name: &str) -> SlaveKey {
    format!("rrrspec:worker:w:slave:{name}").parse().unwrap()
}

fn bad(why: &str) -> SuiteEnd {
    SuiteEnd::Bad(why.to_owned())
}

fn running() -> (String, Option<String>) {
    ("running".to_owned(), None)
}

fn succeeded() -> (String, Option<String>) {
    ("succeeded".to_owned(), None)
}

fn failed(why: &str) -> (String, Option<String>) {
    ("failed".to_owned(), Some(why.to_owned()))
}

#[test]
fn a_taskset_waits_exactly_for_the_pending_suite_ends() {
    let server = Server::new();
    let mut scene = Scene::new(&server, &["1", "2"]);
    assert!(!scene.is_told_to_end());
    scene.pass("1");
    assert_eq!(scene.look(), running());
    assert!(scene.is_told_to_end());
    scene.end("1", 1, &SuiteEnd::Good);
    assert_eq!(scene.look(), running());
    scene.end("2", 1, &SuiteEnd::Good);
    assert_eq!(server.list("rrrspec:arbiter_queue").len(), 1);
    assert_eq!(scene.look(), succeeded());
    assert!(
        !server
            .dump_keys()
            .contains_key(&scene.taskset.list_key("ends"))
    );
}

#[test]
fn a_late_or_repeated_suite_end_message_counts_once() {
    let server = Server::new();
    let mut scene = Scene::new(&server, &["1"]);
    // The runner was replaced; then both calls about the first one are repeated.
    scene.end("1", 1, &SuiteEnd::Good);
    scene.open("1", 2);
    scene.open("1", 1);
    scene.end("1", 1, &bad("too late"));
    scene.pass("1");
    assert_eq!(scene.look(), running());
    scene.end("1", 2, &SuiteEnd::Good);
    // Delayed until now: nothing else would end it.
    scene.open("1", 2);
    scene.end("1", 3, &SuiteEnd::Good);
    scene.open("1", 3);
    assert_eq!(scene.look(), succeeded());
    scene.open("1", 4);
    scene.end("1", 4, &bad("after all is over"));
    assert_eq!(scene.look(), succeeded());
    assert!(
        !server
            .dump_keys()
            .contains_key(&scene.taskset.list_key("ends"))
    );
}

#[test]
fn a_failed_suite_end_mid_run_is_kept_until_the_last_task() {
    let server = Server::new();
    let mut scene = Scene::new(&server, &["1", "2"]);
    scene.end("1", 1, &bad("exit code 7"));
    scene.open("1", 2);
    scene.end("1", 2, &bad("another one"));
    // Interrupted while others continue: its result is unknown and not needed.
    scene.end("2", 1, &SuiteEnd::BrokenOff("it was asked to stop".into()));
    assert_eq!(scene.look(), running());
    scene.pass("1");
    assert_eq!(scene.look(), failed("exit code 7"));
    assert_eq!(scene.taskset.counts(), (1, 0));
}

#[test]
fn a_suite_end_interrupted_after_the_last_task_is_a_failure() {
    let server = Server::new();
    let mut scene = Scene::new(&server, &["1", "2", "3"]);
    scene.pass("1");
    // The slave ran no trial, so nothing of the suite is lost with it.
    scene.end("2", 1, &SuiteEnd::BrokenOff("its worker stops".into()));
    scene.end("3", 1, &bad("no"));
    scene.end("1", 1, &SuiteEnd::BrokenOff("it stops".into()));
    assert_eq!(scene.look(), failed("it stops (and on another slave)"));
}

#[test]
fn only_a_certain_death_in_the_suite_end_fails_the_suite() {
    for (certain, trials, expected) in [
        (
            true,
            true,
            failed("the end of the suite is not known: signal 9"),
        ),
        // The slave ran no trial, so nothing of the suite is lost with it.
        (true, false, succeeded()),
        // Perhaps its machine failed.
        (false, true, succeeded()),
    ] {
        let server = Server::new();
        let mut scene = Scene::new(&server, &["1", "2"]);
        let (dead, other) = if trials { ("1", "2") } else { ("2", "1") };
        scene.pass("1");
        scene.end(other, 1, &SuiteEnd::Good);
        assert_eq!(scene.look(), running());
        let dead = slave(dead);
        server.run::<()>(&["DEL", &dead.heartbeat()]);
        // Without a heartbeat, the slave is waited for until it is declared dead.
        assert_eq!(scene.look(), running());
        let _ = slave::reap(&mut scene.store, &scene.key, &dead, "signal 9", certain).unwrap();
        assert_eq!(scene.look(), expected);
    }
}

#[test]
fn a_slave_that_dies_mid_run_leaves_no_pending_suite_end() {
    let server = Server::new();
    let mut scene = Scene::new(&server, &["1", "2", "3"]);
    let _ = slave::reap(&mut scene.store, &scene.key, &slave("1"), "signal 9", true).unwrap();
    slave::exit(
        &mut scene.store,
        &scene.key,
        &slave("3"),
        SlaveStatus::NormalExit,
    )
    .unwrap();
    scene.pass("2");
    scene.end("2", 1, &SuiteEnd::Good);
    assert_eq!(scene.look(), succeeded());
}

#[test]
fn l8_invalid_suite_ends_block_nothing() {
    let server = Server::new();
    let mut scene = Scene::new(&server, &["1"]);
    let ends = scene.taskset.list_key("ends");
    let nobody = slave("nobody").to_string();
    for (field, value) in [
        ("", "1 open"),
        ("active_taskset", "1 open"),
        (nobody.as_str(), "1 open"),
        ("rrrspec:worker:w:slave:2", "open"),
        ("rrrspec:worker:w:slave:3", "x open"),
    ] {
        server.hset(&ends, field, value);
    }
    scene.pass("1");
    scene.end("1", 1, &SuiteEnd::Good);
    assert_eq!(scene.look(), succeeded());
    let server = Server::new();
    let mut scene = Scene::new(&server, &["1"]);
    server.run::<()>(&["SET", &scene.taskset.list_key("ends"), "x"]);
    scene.pass("1");
    let (status, reason) = scene.look();
    assert_eq!(status, "failed");
    assert!(reason.unwrap().contains("cannot be read"));
}

const RUNNER: &str = r#"
import json, os, time
orders, answers = os.fdopen(3), os.fdopen(4, "w")
def say(**line):
    answers.write(json.dumps(line) + "\n"); answers.flush()
orders.readline()
say(type="hello", version=1)
for line in orders:
    say(type="result", trial=json.loads(line)["trial"], status="passed")
open("ending", "w").close()
time.sleep(600)
"#;

/// Runs one file in a runner that hangs at its end, applies an event; returns the failure reason.
fn interrupted(what: impl FnOnce(&mut Fleet, &Running)) -> String {
    let (server, suite) = (Server::new(), Suite::new());
    let mut fleet = Fleet::start(&server);
    suite.file("runner.py", RUNNER);
    let worker = fleet.worker("w", 1, suite.path());
    let slave = "rrr-slave --adapter serve --end-timeout 500 -- python3 runner.py";
    let submit = Tool::new(&server, "rrr-submit")
        .args(["--no-rsync", "--follow", "--slave", slave, "runner.py"])
        .dir(suite.path())
        .spawn();
    eventually(PATIENCE, "the end of the suite", || {
        suite.path().join("ending").exists().then_some(())
    });
    what(&mut fleet, &worker);
    let receipt = submit.wait(PATIENCE).expect_code(1).receipt();
    assert_eq!(receipt.failed, 0, "{receipt:?}");
    receipt.fail_reason.as_deref().unwrap_or("none").to_owned()
}

#[test]
fn a_slave_killed_in_its_suite_end_fails_the_taskset() {
    let reason = interrupted(|fleet, worker| {
        // The arbiter keeps no state of it in memory.
        fleet.arbiters[0].kill();
        for slave in worker.family().iter().filter(|it| it.is("rrr-slave")) {
            slave.signal(rustix::process::Signal::KILL);
        }
        fleet.start_arbiter();
    });
    assert!(reason.contains("the slave died"), "{reason}");
}

#[test]
fn a_worker_that_stops_during_a_suite_end_does_not_pass_it() {
    let reason = interrupted(|_, worker| {
        worker.term();
        worker.wait(PATIENCE).expect_code(0);
    });
    assert!(reason.contains("interrupted"), "{reason}");
}
