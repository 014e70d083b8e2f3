//! rrr-fsck finds every seeded fault, and nothing in consistent runs.

use crate::harness::*;

/// The invariants that rrr-fsck reports as violated.
fn findings(server: &Server, args: &[&str]) -> Vec<String> {
    let tool = Tool::new(server, "rrr-fsck").args(["--pause", "0.1"]);
    let done = tool.args(args).run();
    let found: Vec<String> = done
        .events()
        .iter()
        .map(|finding| finding["invariant"].as_str().unwrap().to_owned())
        .collect();
    done.expect_code(i32::from(!found.is_empty()));
    found
}

/// A succeeded taskset of two tasks, queued for persisting.
fn succeeded(server: &Server) -> raw::Taskset<'_> {
    let taskset = raw::taskset(server, "t", &["a", "b"]).running();
    taskset.join_slave("rrrspec:worker:w:slave:1", true);
    for file in ["a", "b"] {
        let trial = taskset.finish_trial(file, "1", "passed");
        server.tell_arbiter(format!("trial\t{trial}"));
    }
    drain(server, "rrr-arbiter");
    assert_eq!(taskset.status().as_deref(), Some("succeeded"));
    taskset
}

/// Seeds a fault into a good taskset and expects it to be found, checked alone and among all.
fn is_found(invariant: &str, seed: impl Fn(&Server, &raw::Taskset<'_>)) {
    let server = Server::new();
    let taskset = succeeded(&server);
    assert_eq!(findings(&server, &[]), [""; 0], "before the seed");
    seed(&server, &taskset);
    let found = findings(&server, &["--all"]);
    assert!(found.iter().any(|name| name == invariant), "{found:?}");
    let found = findings(&server, &[&taskset.key]);
    assert!(found.iter().any(|name| name == invariant), "{found:?}");
}

#[test]
fn i1_a_second_ending_is_found() {
    is_found("I1", |server, taskset| {
        let events = taskset.list_key("events");
        let again = r#"{"event":"taskset_finished","status":"succeeded","tasks":2,"succeeded":2,"failed":0,"flaky":0}"#;
        server.run::<String>(&["XADD", &events, "*", "1", again]);
    });
    is_found("I1", |server, taskset| {
        let events = taskset.list_key("events");
        let again = r#"{"event":"task_finished","spec_file":"a","status":"passed","trials":1,"flaky":false}"#;
        server.run::<String>(&["XADD", &events, "*", "1", again]);
    });
}

#[test]
fn i2_wrong_counts_are_found() {
    is_found("I2", |server, taskset| {
        server.hset(&taskset.key, "succeeded_count", "3")
    });
    is_found("I2", |server, taskset| {
        server.hset(&taskset.task("a"), "status", "failed")
    });
}

#[test]
fn i3_a_pass_without_a_passing_trial_is_found() {
    is_found("I3", |server, taskset| {
        let trial = format!("{}:trial:1", taskset.task("a"));
        server.hset(&trial, "status", "failed");
    });
}

#[test]
fn i4_a_wrong_tasks_left_is_found() {
    is_found("I4", |server, taskset| {
        server.push(&taskset.list_key("tasks_left"), taskset.task("a"))
    });
    is_found("I4", |server, taskset| {
        server.run::<i64>(&["HDEL", &taskset.task("a"), "status"]);
    });
}

#[test]
fn i5_a_lost_task_is_found() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["queued", "tried", "reported", "lost"]).running();
    taskset.join_slave("rrrspec:worker:w:slave:2", true);
    taskset.start_trial("tried", "1", "rrrspec:worker:w:slave:2");
    let reported = taskset.finish_trial("reported", "1", "passed");
    server.tell_arbiter(format!("trial\t{reported}"));
    let queue = taskset.list_key("task_queue");
    server.run::<i64>(&["LREM", &queue, "1", &taskset.task("lost")]);
    assert_eq!(findings(&server, &[&taskset.key]), ["I5"]);
    // A dead slave's task counts as lost too, until an arbiter has handled it.
    server.run::<i64>(&["DEL", "rrrspec:worker:w:slave:2:heartbeat"]);
    assert_eq!(findings(&server, &[&taskset.key]), ["I5", "I5"]);
}

#[test]
fn i6_too_many_trials_are_found() {
    is_found("I6", |_, taskset| {
        for id in ["2", "3", "4"] {
            taskset.finish_trial("a", id, "passed");
        }
    });
}

#[test]
fn i7_a_final_status_that_changed_is_found() {
    is_found("I7", |server, taskset| {
        server.hset(&taskset.key, "status", "cancelled")
    });
    is_found("I7", |server, taskset| {
        server.hset(&taskset.task("b"), "status", "pending")
    });
}

#[test]
fn i8_a_wrong_active_list_is_found() {
    is_found("I8", |server, taskset| {
        server.push("rrrspec:active_taskset", &taskset.key)
    });
    let server = Server::new();
    let twice = raw::taskset(&server, "t", &["a"]).running().submitted();
    assert_eq!(findings(&server, &[&twice.key]), ["I8"]);
    server.push("rrrspec:active_taskset", "rrrspec:taskset:gone");
    assert_eq!(findings(&server, &["rrrspec:taskset:gone"]), ["I8"]);
    is_found("I8", |server, taskset| {
        let ends = taskset.list_key("ends");
        server.hset(&ends, "rrrspec:worker:w:slave:1", "1 open");
        server.run::<i64>(&["EXPIRE", &ends, "60"]);
    });
}

#[test]
fn i9_a_key_without_an_expiry_is_found() {
    is_found("I9", |server, taskset| {
        server.run::<i64>(&["EXPIRE", &taskset.key, "60"]);
        server.run::<String>(&["SET", &taskset.list_key("log"), "late"]);
    });
    let server = Server::new();
    server.run::<String>(&["SET", "rrrspec:taskset:gone:log", "late"]);
    server.hset("rrrspec:forgotten", "a", "b");
    assert_eq!(findings(&server, &[]), ["I9", "I9"]);
}

#[test]
fn i12_an_unserved_wait_is_found() {
    let server = Server::new();
    let waiting = raw::taskset(&server, "t", &["a"]).submitted();
    assert_eq!(findings(&server, &[]), [""; 0], "no worker has joined yet");
    server.add_worker("w");
    server.run::<i64>(&["EXPIRE", "rrrspec:worker:w", "60"]);
    assert_eq!(findings(&server, &[]), ["I12"]);
    assert_eq!(findings(&server, &[&waiting.key]), ["I12"]);
    server.tell_arbiter(format!("cancel\t{}", waiting.key));
    assert_eq!(findings(&server, &[]), ["I12", "I12"]);
}

#[test]
fn i12_a_wait_for_the_end_of_a_dead_slave_is_found() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["a"]).running();
    let slave = "rrrspec:worker:w:slave:1";
    taskset.join_slave(slave, true);
    let trial = taskset.finish_trial("a", "1", "passed");
    let ends = taskset.list_key("ends");
    server.hset(&ends, slave, "1 open");
    server.run::<i64>(&["EXPIRE", &ends, "60"]);
    server.hset(&taskset.key, "ends", "1");
    server.tell_arbiter(format!("trial\t{trial}"));
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.status().as_deref(), Some("running"));
    assert_eq!(findings(&server, &[&taskset.key]), [""; 0]);
    server.hset(slave, "status", "failure_exit");
    assert_eq!(findings(&server, &[&taskset.key]), ["I12"]);
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.status().as_deref(), Some("succeeded"));
}

#[test]
fn i14_a_finished_taskset_not_queued_for_persisting_is_found() {
    is_found("I14", |server, _| {
        server.run::<i64>(&["DEL", "rrrspec:persister_queue"]);
    });
}

#[test]
fn i15_oversized_keys_are_found() {
    is_found("I15", |server, taskset| {
        let log = taskset.list_key("log");
        server.run::<i64>(&["SETRANGE", &log, "5000000", "x"]);
    });
    is_found("I15", |server, taskset| {
        let trial = format!("{}:trial:1", taskset.task("a"));
        server.hset(&trial, "stdout", &"x".repeat(5_000_000));
        server.hset(&trial, "duration_ms", "1");
    });
}

#[test]
fn i15_is_no_promise_of_another_implementation() {
    let server = Server::new();
    let taskset = succeeded(&server);
    let large = "x".repeat(5_000_000);
    let trial = format!("{}:trial:1", taskset.task("a"));
    server.hset(&trial, "stdout", &large);
    let worker = server.add_worker("w");
    let log = taskset.list_key("worker_log:w");
    server.hset(&log, "worker", &worker);
    server.push(&taskset.list_key("worker_log"), &*log);
    for log in [format!("{log}:log"), format!("{worker}:slave:1:log")] {
        server.run::<()>(&["SET", &log, &large]);
    }
    assert_eq!(findings(&server, &["--all"]), [""; 0]);
    // The same worker as one of ours.
    server.hset(&worker, "instance", "of ours");
    server.run::<i64>(&["EXPIRE", &worker, "600"]);
    assert_eq!(findings(&server, &["--all"]), ["I15"]);
}

#[test]
fn a_run_in_progress_and_its_end_are_clean() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 2, suite.path());
    suite
        .many(60, "sleep 0.02")
        .file("fails.sh", "exit 1")
        .file("flaky.sh", "mkdir once 2>/dev/null && exit 1; exit 0")
        .file("kills.sh", "kill -9 $PPID");
    let submitter = submit(&server, &suite, &[]);
    submitter.wait_for_event("task_finished", PATIENCE);
    // With the usual pause: a role that waits for CPU on a busy machine is not dead.
    while submitter.is_running() {
        assert_eq!(invariants::findings(&server), [""; 0]);
    }
    submitter.wait(PATIENCE).expect_code(1);
    assert_eq!(invariants::findings(&server), [""; 0]);
}

#[test]
fn a_busy_consistent_system_is_clean_at_every_check() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _workers = ["v", "w"].map(|id| fleet.worker(id, 2, suite.path()));
    // Many tasks between two trials, and workers between two tasksets.
    suite
        .many(20, "exit 0")
        .file("bad.sh", "sleep 0.05; exit 1")
        .file("worse.sh", "exit 1");
    let mut runs: Vec<Running> = Vec::new();
    let mut looks = 0;
    while looks < 8 || !runs.is_empty() {
        runs.retain(Running::is_running);
        while looks < 8 && runs.len() < 4 {
            runs.push(submit(&server, &suite, &["--max-trials", "9"]));
        }
        // Long enough for a role that waits for CPU, short enough that the system stays busy.
        let fsck = Tool::new(&server, "rrr-fsck").args(["--pause", "1.5"]);
        assert_eq!(fsck.run().stdout, "", "at look {looks}");
        looks += 1;
    }
}

#[test]
fn a_check_only_reads() {
    let server = Server::new();
    let taskset = succeeded(&server);
    server.push("rrrspec:active_taskset", &taskset.key);
    let mut conn = server.conn();
    let before = Counts::take(&mut conn);
    findings(&server, &[]);
    let used = Counts::take(&mut conn).since(&before);
    for (command, _) in used.iter() {
        let reads = [
            "ttl", "scan", "hgetall", "hget", "hmget", "lrange", "lindex", "llen", "xrange",
            "strlen", "hstrlen", "smembers", "exists", "info", "client",
        ];
        let name = command.split('|').next().unwrap();
        assert!(reads.contains(&name), "rrr-fsck used '{command}'");
    }
}

#[test]
fn a_taskset_key_does_not_match_ids_that_it_prefixes() {
    let server = Server::new();
    let _longer = raw::taskset(&server, "n10", &["a"]).running();
    let shorter = raw::taskset(&server, "n1", &["a"]).running();
    assert_eq!(findings(&server, &[&shorter.key]), [""; 0]);
    let _pattern = raw::taskset(&server, "n[1]", &["a"]).running();
    assert_eq!(findings(&server, &["rrrspec:taskset:n[1]"]), [""; 0]);
}

#[test]
fn a_missing_taskset_is_a_usage_error_and_no_redis_is_69() {
    let server = Server::new();
    let fsck = || Tool::new(&server, "rrr-fsck");
    let done = fsck().arg("rrrspec:taskset:none").run().expect_code(2);
    assert!(done.stderr.contains("does not exist"), "{done:?}");
    fsck().arg("bogus").run().expect_code(2);
    let elsewhere = fsck().args(["--redis", "unix:///nonexistent.sock"]);
    elsewhere.run().expect_code(69);
}
