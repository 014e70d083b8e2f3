//! Daemons run from cron: one `--drain` reaches the state that a daemon would.

use crate::harness::*;
use rrr::entity::reservation::{self, Next};
use rrr::entity::slave;
use rrr::protocol::key::SlaveKey;

/// Lets a new slave of `worker` reserve the next task; returns the keys of slave and trial.
fn at_work(server: &Server, taskset: &raw::Taskset, worker: &str) -> (SlaveKey, String) {
    let mut store = rrr::cli::redis_args::RedisArgs::at(server.url())
        .connect()
        .unwrap();
    let key = taskset.key.parse().unwrap();
    let slave: SlaveKey = format!("rrrspec:worker:{worker}:slave:1").parse().unwrap();
    slave::join(&mut store, &key, &slave, &Default::default()).unwrap();
    let next = reservation::reserve(&mut store, &key, &slave, 1, true, false).unwrap();
    let Next::Run(jobs) = next else {
        panic!("{next:?}")
    };
    (slave, jobs[0].trial.to_string())
}

fn fall_silent(server: &Server, key: &str) {
    server.run::<i64>(&["DEL", &format!("{key}:heartbeat")]);
}

#[test]
fn one_drain_of_the_arbiter_reaps_requeues_judges_and_ends() {
    let server = Server::new();
    let lost = raw::taskset(&server, "lost", &["a"])
        .set("max_trials", "1")
        .running();
    let (slave, trial) = at_work(&server, &lost, "w1");
    fall_silent(&server, slave.as_str());
    // Another trial has finished, and its message was lost with the slave.
    let untold = raw::taskset(&server, "untold", &["a"]).running();
    let (mute, ended) = at_work(&server, &untold, "w2");
    server.hset(&ended, "status", "passed");
    fall_silent(&server, mute.as_str());
    drain(&server, "rrr-arbiter");
    for key in [slave.as_str(), mute.as_str()] {
        let status = server.hget(key, "status");
        assert_eq!(status.as_deref(), Some("failure_exit"), "{key}");
    }
    assert_eq!(server.hget(&trial, "status").as_deref(), Some("error"));
    assert_eq!(lost.list("task_queue"), ["a"]);
    assert_eq!(server.list("rrrspec:arbiter_queue"), [""; 0]);
    assert_eq!(untold.status().as_deref(), Some("succeeded"));
    assert_eq!(invariants::findings(&server), [""; 0]);
}

#[test]
fn one_drain_of_the_arbiter_speculates_by_the_age_of_the_trial() {
    let server = Server::new();
    for (id, age_sec, copies) in [("old", 40, 1), ("young", 5, 0)] {
        let taskset = raw::taskset(&server, id, &["a"]).running();
        let (_, trial) = at_work(&server, &taskset, id);
        taskset.join_slave(&format!("rrrspec:worker:idle:slave:{id}"), true);
        let left = (rrr::store::KEY_TTL - age_sec).to_string();
        server.run::<i64>(&["EXPIRE", &trial, &left]);
        drain(&server, "rrr-arbiter");
        assert_eq!(taskset.list("task_queue").len(), copies, "{id}");
    }
}

#[test]
fn one_dispatcher_drain_evicts_a_worker_and_reassigns_its_work() {
    let server = Server::new();
    let dead = server.add_worker("dead");
    let taskset = raw::taskset(&server, "t", &["a"])
        .set("max_workers", "1")
        .submitted();
    drain(&server, "rrr-dispatch");
    assert_eq!(
        server.list(&format!("{dead}:worker_queue")),
        [&*taskset.key]
    );
    fall_silent(&server, &dead);
    let living = server.add_worker("living");
    drain(&server, "rrr-dispatch");
    let known: Vec<String> = server.run(&["SMEMBERS", "rrrspec:worker"]);
    assert_eq!(known, [&*living]);
    assert_eq!(
        server.list(&format!("{living}:worker_queue")),
        [&*taskset.key]
    );
    assert_eq!(server.list(&format!("{dead}:worker_queue")), [""; 0]);
}

#[test]
fn a_poll_costs_few_round_trips_with_many_waiting_tasksets() {
    let server = Server::new();
    for number in 0..100 {
        let taskset = raw::taskset(&server, &format!("t{number}"), &["a"]).submitted();
        if number % 2 == 0 {
            let slave = format!("rrrspec:worker:w:slave:{number}");
            taskset.set("status", "running").join_slave(&slave, true);
        }
    }
    for role in ["rrr-arbiter", "rrr-dispatch"] {
        let proxy = Proxy::start(&server);
        drain(&proxy, role);
        let trips = proxy.all_round_trips();
        assert!(trips < 25, "{role}: {trips} round trips");
    }
}

#[test]
fn a_dispatcher_polls_two_thousand_workers_without_a_script() {
    let server = Server::new();
    let mut pipe = redis::pipe();
    for number in 0..2000 {
        let worker = format!("rrrspec:worker:w{number}");
        let taskset = if number == 7 {
            ""
        } else {
            "rrrspec:taskset:else"
        };
        pipe.cmd("HSET")
            .arg(&worker)
            .arg("worker_type")
            .arg("default");
        pipe.arg("taskset").arg(taskset);
        pipe.cmd("SADD").arg("rrrspec:worker").arg(&worker);
        pipe.cmd("SET")
            .arg(format!("{worker}:heartbeat"))
            .arg("alive");
    }
    pipe.exec(&mut server.conn()).unwrap();
    let tasksets: Vec<_> = (0..50)
        .map(|number| raw::taskset(&server, &format!("t{number}"), &["a"]).submitted())
        .collect();
    let before = Counts::take(&mut server.conn());
    drain(&server, "rrr-dispatch");
    let counts = Counts::take(&mut server.conn()).since(&before);
    let scripts = counts.get("evalsha") + counts.get("eval");
    assert!(scripts <= 4, "{scripts} scripts for one idle worker");
    assert_eq!(
        server.list("rrrspec:worker:w7:worker_queue"),
        [&*tasksets[0].key]
    );
    assert_eq!(tasksets[1].status(), None);
}

#[test]
fn c4_two_dispatchers_at_once_keep_to_max_workers() {
    let server = Server::new();
    for round in 0..5 {
        let workers: Vec<String> = (0..8)
            .map(|number| server.add_worker(&format!("w{round}x{number}")))
            .collect();
        let taskset = raw::taskset(&server, &format!("t{round}"), &["a"])
            .set("max_workers", "5")
            .submitted();
        let dispatch = || Tool::new(&server, "rrr-dispatch").arg("--drain").spawn();
        let both = [dispatch(), dispatch(), dispatch()];
        for one in &both {
            one.wait(PATIENCE).expect_code(0);
        }
        let given = workers
            .iter()
            .filter(|worker| server.list(&format!("{worker}:worker_queue")) == [&*taskset.key]);
        assert_eq!(given.count(), 5, "round {round}");
        server.run::<i64>(&["DEL", "rrrspec:worker", "rrrspec:active_taskset"]);
    }
}
