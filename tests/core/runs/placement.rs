//! Placement of retries: on another machine, or at least by another slave.

use crate::harness::*;
use rrr::entity::reservation::{self, Next};
use rrr::entity::slave;
use rrr::protocol::key::{SlaveKey, TasksetKey};
use rrr::store::Store;

/// The slaves of one taskset, driven step by step.
struct Crew<'a> {
    server: &'a Server,
    store: Store,
    key: TasksetKey,
}

impl<'a> Crew<'a> {
    fn of(server: &'a Server, taskset: &raw::Taskset) -> Self {
        Self {
            server,
            store: rrr::cli::redis_args::RedisArgs::at(server.url())
                .connect()
                .unwrap(),
            key: taskset.key.parse().unwrap(),
        }
    }

    fn join(&mut self, name: &str) {
        let beat = rrr::entity::heartbeat::Heartbeat::default();
        slave::join(&mut self.store, &self.key, &slave_key(name), &beat).unwrap();
    }

    fn die(&self, name: &str) {
        let heartbeat = slave_key(name).heartbeat();
        self.server.run::<i64>(&["DEL", &heartbeat]);
    }

    /// The task that the slave reserves, 'skip' if it leaves all tasks to others, or ''.
    fn ask(&mut self, name: &str, patient: bool) -> String {
        let key = slave_key(name);
        match reservation::reserve(&mut self.store, &self.key, &key, 1, patient, false).unwrap() {
            Next::Run(jobs) => jobs[0].trial.to_string(),
            Next::Skip => "skip".to_owned(),
            _ => String::new(),
        }
    }

    /// Lets the slave reserve the next task, `file`, and fail it; the arbiter requeues it.
    fn fail(&mut self, name: &str, file: &str) {
        let trial = self.ask(name, true);
        assert!(
            trial.contains(&format!(":task:{file}:trial:")),
            "{name}: {trial}"
        );
        self.server.hset(&trial, "status", "failed");
        self.server.tell_arbiter(format!("trial\t{trial}"));
        let _ = rrr::entity::taskset::judge(&mut self.store, 100).unwrap();
    }
}

/// The name of a slave, `worker/number`.
fn slave_key(name: &str) -> SlaveKey {
    let (worker, number) = name.split_once('/').unwrap();
    format!("rrrspec:worker:{worker}:slave:{number}")
        .parse()
        .unwrap()
}

#[test]
fn a_retry_prefers_a_living_slave_of_another_worker() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["long", "a", "b"])
        .set("max_trials", "3")
        .running();
    let mut crew = Crew::of(&server, &taskset);
    crew.join("sick/1");
    crew.join("sick/2");
    crew.join("good/1");
    assert!(crew.ask("good/1", true).contains(":task:long:"));
    crew.fail("sick/1", "a");
    // Tasks that it has tried are skipped and keep their places.
    crew.fail("sick/1", "b");
    assert_eq!(taskset.list("task_queue"), ["b", "a"]);
    for name in ["sick/1", "sick/2"] {
        // The good slave is busy indefinitely.
        assert_eq!(crew.ask(name, true), "skip", "{name}");
        assert_eq!(crew.ask(name, false), "skip", "{name}");
    }
    crew.die("good/1");
    // The other slave belongs to the same worker but has not tried it.
    assert_eq!(crew.ask("sick/1", true), "skip");
    crew.fail("sick/2", "b");
    crew.die("sick/2");
    crew.fail("sick/1", "b");
    assert_eq!(taskset.counts(), (0, 1));
    crew.fail("sick/1", "a");
}

#[test]
fn a_retry_waits_briefly_for_an_idle_slave_or_a_worker_in_setup() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["a"])
        .set("max_trials", "9")
        .running();
    let mut crew = Crew::of(&server, &taskset);
    crew.join("sick/1");
    crew.fail("sick/1", "a");
    crew.fail("sick/1", "a");
    // Another worker runs its setup, which then fails.
    let log = taskset.list_key("worker_log:rrrspec:worker:good");
    server.push(&taskset.list_key("worker_log"), &log);
    server.hset(&log, "worker", "rrrspec:worker:good");
    crew.fail("sick/1", "a");
    server.set_heartbeat("rrrspec:worker:good");
    assert_eq!(crew.ask("sick/1", true), "skip");
    server.hset(&log, "failure", "rsync failed");
    crew.fail("sick/1", "a");
    // A slave that joins late.
    crew.join("good/1");
    assert_eq!(crew.ask("sick/1", true), "skip");
    assert!(crew.ask("sick/1", false).contains(":task:a:"));
}

#[test]
fn a_slave_that_failed_many_tasks_still_gets_new_ones() {
    let server = Server::new();
    let files: Vec<String> = (0..70).map(|n| format!("t{n:02}")).collect();
    let names: Vec<&str> = files.iter().map(String::as_str).collect();
    let taskset = raw::taskset(&server, "t", &names).running();
    let mut crew = Crew::of(&server, &taskset);
    crew.join("sick/1");
    crew.join("good/1");
    let mut skips = 0;
    let mut failed = 0;
    while failed < 69 {
        match crew.ask("sick/1", true) {
            skip if skip == "skip" => skips += 1,
            trial => {
                server.hset(&trial, "status", "failed");
                server.tell_arbiter(format!("trial\t{trial}"));
                let _ = rrr::entity::taskset::judge(&mut crew.store, 100).unwrap();
                failed += 1;
            }
        }
        assert!(skips < 300, "{failed} failed");
    }
    let tried = names.iter().filter(|file| {
        let trials = server.list(&format!("{}:trial", taskset.task(file)));
        trials.len() == 1
    });
    assert_eq!(tried.count(), 69, "each of them once");
    assert_eq!(taskset.list("task_queue").len(), 70);
}

#[test]
fn a_sick_worker_does_not_use_up_the_retries_of_a_suite() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    // The sick one begins only when the good one is busy, and for as long as it has anything to
    // fail.
    let sick = "[ -n \"$SICK\" ] && { until [ -e good ]; do sleep 0.05; done; exit 1; }";
    suite.many(12, &format!("{sick}; touch good; sleep 0.1"));
    let _sick = fleet
        .worker_tool("sick", 2, suite.path())
        .env("SICK", "1")
        .spawn();
    let _good = fleet.worker("good", 1, suite.path());
    for id in ["sick", "good"] {
        eventually(PATIENCE, "a worker registers", || {
            server.hget(&format!("rrrspec:worker:{id}"), "instance")
        });
    }
    let done = submit(&server, &suite, &["--max-trials", "2"])
        .wait(PATIENCE)
        .expect_code(0);
    let finished = done.events_named("trial_finished");
    let failed = finished.iter().filter(|event| event["status"] == "failed");
    let receipt = done.receipt();
    assert_eq!(receipt.succeeded, 12);
    assert_eq!(receipt.flaky as usize, failed.count());
}
