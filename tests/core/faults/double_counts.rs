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
    assert_eq!(done.receipt().status, "cancelled");
    eventually(PATIENCE, "the worker is idle", || {
        let busy = server.hget("rrrspec:worker:w", "taskset").is_some();
        let family = worker.family();
        let testing = family.iter().any(|member| member.command.contains("a.sh"));
        (!busy && !testing).then_some(())
    });
    drain(&server, "rrr-dispatch");
    assert!(server.list("rrrspec:active_taskset").is_empty());
    let taskset = done.receipt().taskset.as_str().to_owned();
    assert_eq!(server.hget(&taskset, "status").unwrap(), "cancelled");
}

#[test]
fn c1_a_dispatcher_never_sets_a_cancelled_taskset_running() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["a"])
        .set("status", "cancelled")
        .submitted();
    let worker = server.add_worker("w");
    drain(&server, "rrr-dispatch");
    assert_eq!(taskset.status().as_deref(), Some("cancelled"));
    let queue = format!("{worker}:worker_queue");
    assert!(server.list(&queue).is_empty());
}

#[test]
fn c2_a_crash_between_verdict_and_tasks_left_counts_once() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["a"]).running();
    let passed = taskset.finish_trial("a", "1", "passed");
    // Another implementation's arbiter wrote status and count, and died before the LREM.
    server.hset(&taskset.task("a"), "status", "passed");
    let taskset = taskset.set("succeeded_count", "1");
    server.tell_arbiter(format!("trial\t{passed}"));
    server.tell_arbiter(format!("check\t{}", taskset.key));
    let _arbiter = Tool::new(&server, "rrr-arbiter").spawn();
    eventually(PATIENCE, "a success", || {
        (taskset.status()? == "succeeded").then_some(())
    });
    assert_eq!(taskset.counts(), (1, 0));
    assert!(taskset.list("tasks_left").is_empty());
}

#[test]
fn c3_two_arbiters_on_one_queue_count_each_trial_once() {
    let server = Server::new();
    let files: Vec<String> = (0..300).map(|n| format!("f{n}")).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let taskset = raw::taskset(&server, "t", &files).running();
    let trials: Vec<String> = files
        .iter()
        .map(|file| taskset.finish_trial(file, "1", "passed"))
        .collect();
    for trial in trials.iter().chain(&trials) {
        server.tell_arbiter(format!("trial\t{trial}"));
    }
    let arbiter = || Tool::new(&server, "rrr-arbiter").arg("--drain").spawn();
    let arbiters = [arbiter(), arbiter()];
    for arbiter in &arbiters {
        arbiter.wait(PATIENCE).expect_code(0);
    }
    assert_eq!(taskset.status().as_deref(), Some("succeeded"));
    assert_eq!(taskset.counts(), (300, 0));
    assert!(server.list("rrrspec:arbiter_queue:dead").is_empty());
}

#[test]
fn c3_a_trial_announced_three_times_counts_once() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["a", "b"]).running();
    let passed = taskset.finish_trial("a", "1", "passed");
    let failed = taskset.finish_trial("b", "1", "failed");
    for _ in 0..3 {
        server.tell_arbiter(format!("trial\t{passed}"));
        server.tell_arbiter(format!("trial\t{failed}"));
    }
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.counts(), (1, 0));
    assert_eq!(taskset.list("task_queue"), ["b"], "requeued once");
}

#[test]
fn c4_dispatch_keeps_one_taskset_per_worker_and_max_workers() {
    let server = Server::new();
    let workers = ["w1", "w2", "w3"].map(|id| server.add_worker(id));
    let first = raw::taskset(&server, "first", &["a"])
        .set("max_workers", "2")
        .submitted();
    let second = raw::taskset(&server, "second", &["a"])
        .set("max_workers", "2")
        .submitted();
    for _ in 0..3 {
        drain(&server, "rrr-dispatch");
    }
    let mut given = Vec::new();
    for worker in &workers {
        let queue = server.list(&format!("{worker}:worker_queue"));
        assert_eq!(queue.len(), 1, "{worker}: {queue:?}");
        given.extend(queue);
    }
    given.sort();
    // First come, first served.
    assert_eq!(given, [&*first.key, &first.key, &second.key]);
}

#[test]
fn c5_the_late_result_of_a_stalled_slave_changes_no_verdict() {
    assert_eq!(late_result_of_a_stalled_slave("true"), "passed");
}

#[test]
fn c5_a_late_result_is_late_even_if_it_agrees_with_the_verdict() {
    assert_eq!(late_result_of_a_stalled_slave("kill -9 $$"), "error");
}

/// Stops a slave until it is declared dead and another slave has failed its task. Then ends its
/// test with `ending`, resumes the slave, and returns the status that it reports.
fn late_result_of_a_stalled_slave(ending: &str) -> String {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let worker = fleet.worker("w", 1, suite.path());
    let wait = "mkdir began || exit 1; until [ -e go ]; do sleep 0.05; done";
    suite.file("a.sh", &format!("{wait}; {ending}"));
    let follower = submit(&server, &suite, &["--max-trials", "1"]);
    let trial = follower.wait_for_event("trial_started", PATIENCE);
    eventually(PATIENCE, "the test begins", || {
        suite.path().join("began").exists().then_some(())
    });
    let family = worker.family();
    let slave = family.iter().find(|member| member.is("rrr-slave"));
    let slave = slave.expect("a slave");
    slave.signal(Signal::STOP);
    let (trial, slave_key) = (&trial["trial"], &trial["slave"]);
    let heartbeat = format!("{}:heartbeat", slave_key.as_str().unwrap());
    server.run::<()>(&["DEL", &heartbeat]);
    // The test ends while its slave is stopped; the slave is declared dead.
    suite.file("go", "");
    let _other = fleet.worker("other", 1, suite.path());
    let done = follower.wait(PATIENCE).expect_code(1);
    assert_eq!(done.receipt().failed, 1);
    slave.signal(Signal::CONT);
    let trial = trial.as_str().unwrap();
    let late = eventually(PATIENCE, "the late result", || {
        server.hget(trial, "late_status")
    });
    assert_eq!(server.hget(trial, "status").unwrap(), "error");
    drain(&server, "rrr-arbiter");
    let taskset = done.receipt().taskset.as_str().to_owned();
    assert_eq!(server.hget(&taskset, "status").unwrap(), "failed");
    let task = format!("{taskset}:task:a.sh");
    assert_eq!(server.hget(&task, "status").unwrap(), "failed");
    late
}

#[test]
fn c7_a_task_that_is_queued_twice_is_settled_once() {
    let (server, suite) = (Server::new(), Suite::new());
    for (id, command, counts) in [("good", "true", (2, 0)), ("bad", "false", (0, 2))] {
        let taskset = raw::taskset(&server, id, &["a", "b"])
            .set("slave_command", &format!("rrr-slave -- {command}"));
        for file in ["a", "a", "b"] {
            server.push(&taskset.list_key("task_queue"), taskset.task(file));
        }
        let taskset = taskset.submitted();
        let fleet = Fleet::plan(&server).without_persister().start();
        let _worker = fleet.worker("w", 2, suite.path());
        eventually(PATIENCE, "a verdict", || {
            taskset.status().filter(|status| status != "running")
        });
        assert_eq!(taskset.counts(), counts, "{id}");
        assert!(taskset.list("tasks_left").is_empty());
    }
}

#[test]
fn c6_a_slave_has_a_heartbeat_before_it_reserves_a_task() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["a"]).running();
    let mut store = rrr::cli::redis_args::RedisArgs::at(server.url())
        .connect()
        .unwrap();
    let beat = rrr::entity::heartbeat::Heartbeat::default();
    let (key, slave) = (
        taskset.key.parse().unwrap(),
        "rrrspec:worker:w:slave:1".parse().unwrap(),
    );
    assert_eq!(
        rrr::entity::slave::join(&mut store, &key, &slave, &beat).unwrap(),
        None
    );
    assert_eq!(taskset.list("slave"), [slave.to_string()]);
    let beats = server.run::<i64>(&["EXISTS", &slave.heartbeat()]);
    assert_eq!((beats, taskset.list("task_queue").len()), (1, 1));
    // An arbiter that checks before the first trial finds the slave alive.
    drain(&server, "rrr-arbiter");
    assert_eq!(server.hget(slave.as_str(), "status"), None);
}

#[test]
fn c10_a_worker_that_joins_twice_keeps_both_of_its_logs() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    suite.file("a.sh", "touch ran; until [ -e go ]; do sleep 0.05; done");
    let first = fleet.worker("w", 1, suite.path());
    let follower = submit(&server, &suite, &["--max-trials", "9"]);
    eventually(PATIENCE, "the test", || {
        suite.path().join("ran").exists().then_some(())
    });
    first.kill();
    first.wait(PATIENCE);
    let _second = fleet.worker("w", 1, suite.path());
    follower.wait_for_event_where("trial_started", PATIENCE, |event| event["attempt"] == 2);
    suite.file("go", "");
    let receipt = follower.wait(PATIENCE).expect_code(0).receipt();
    let taskset = receipt.taskset.as_str();
    let logs = server.list(&format!("{taskset}:worker_log"));
    assert_eq!(logs.len(), 2, "{logs:?}");
    assert_ne!(logs[0], logs[1]);
    for log in &logs {
        assert_eq!(server.hget(log, "worker").unwrap(), "rrrspec:worker:w");
        assert!(server.hget(log, "started_at").is_some());
    }
}

#[test]
fn c12_nothing_depends_on_synchronized_clocks() {
    let (server, suite) = (Server::new(), Suite::new());
    let hour = |name: &str, id: &str, ahead: &str| {
        let tool = Tool::new(&server, name).env("RRR_CLOCK_AHEAD", ahead);
        match name {
            "rrr-worker" => tool
                .args(["--worker-id", id, "--slaves", "1"])
                .arg("--in-place")
                .arg(suite.path())
                .spawn(),
            _ => tool.spawn(),
        }
    };
    let _arbiters = [
        hour("rrr-arbiter", "", "-3600"),
        hour("rrr-arbiter", "", "0"),
    ];
    let _dispatcher = hour("rrr-dispatch", "", "3600");
    let ahead = hour("rrr-worker", "ahead", "3600");
    let right = hour("rrr-worker", "right", "0");
    suite
        .many(20, "sleep 0.02")
        .file("bad.sh", "exit 1")
        .file("flaky.sh", "mkdir once 2>/dev/null && exit 1; exit 0")
        .file("first.sh", "until [ -e go ]; do sleep 0.02; done")
        .file("second.sh", "until [ -e go ]; do sleep 0.02; done");
    let follower = submit(&server, &suite, &["--max-trials", "3"]);
    // Each worker has a trial and keeps sending its own and its slave's heartbeats.
    for id in ["ahead", "right"] {
        let worker = format!("rrrspec:worker:{id}");
        let slave = format!("{worker}:");
        let started = follower.wait_for_event_where("trial_started", PATIENCE, |event| {
            event["slave"].as_str().unwrap().starts_with(&slave)
        });
        for alive in [&worker, started["slave"].as_str().unwrap()] {
            let heartbeat = format!("{alive}:heartbeat");
            let life = || server.run::<i64>(&["PTTL", &heartbeat]);
            let mut last = life();
            eventually(PATIENCE, "one more heartbeat", || {
                let before = std::mem::replace(&mut last, life());
                assert!(last > 0, "{alive} is silent");
                (last > before).then_some(())
            });
        }
    }
    suite.file("go", "");
    let done = follower.wait(PATIENCE).expect_code(1);
    let receipt = done.receipt();
    let counts = [
        receipt.tasks,
        receipt.succeeded,
        receipt.failed,
        receipt.flaky,
    ];
    assert_eq!(counts, [24, 23, 1, 1], "{receipt:?}");

    // No process was declared dead, and no task was retried unnecessarily.
    let finished = done.events_named("trial_finished");
    let tries = |file: &str| {
        let of = finished.iter().filter(|event| event["spec_file"] == file);
        of.count()
    };
    assert_eq!(
        ["first.sh", "second.sh", "flaky.sh", "bad.sh"].map(tries),
        [1, 1, 2, 3]
    );

    // Order and times of the events come from one clock, that of Redis.
    let events = done.events();
    let times: Vec<&str> = events
        .iter()
        .map(|event| event["time"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    let at = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap();
    let span = at(times[times.len() - 1]) - at(times[0]);
    assert!(span < chrono::TimeDelta::minutes(10), "{span}");
    let place = |name: &str, event: &serde_json::Value| {
        let same =
            |other: &&serde_json::Value| other["event"] == name && other["trial"] == event["trial"];
        events.iter().position(|other| same(&other)).unwrap()
    };
    for event in &finished {
        assert!(place("trial_started", event) < place("trial_finished", event));
    }

    // The worker's clock was indeed ahead.
    let slave_of =
        |event: &&serde_json::Value| event["slave"].as_str().unwrap().contains(":ahead:");
    let trial = finished.iter().find(slave_of).unwrap()["trial"]
        .as_str()
        .unwrap();
    let started = server.hget(trial, "started_at").unwrap();
    let started = rrr::protocol::time::parse(&started).unwrap();
    let early = at(times[0]) + chrono::TimeDelta::minutes(50);
    assert!(started > early, "{started}");

    for worker in [ahead, right] {
        worker.term();
        worker.wait(PATIENCE).expect_code(0);
    }
    let taskset = receipt.taskset.as_str();
    let mut wrong = invariants::violations(&server.dump_keys(), taskset);
    wrong.extend(invariants::findings(&server));
    assert!(wrong.is_empty(), "{wrong:#?}");
}
