//! Tasksets and daemons that would hang.

use crate::harness::*;

#[test]
fn l1_a_failing_task_of_a_single_slave_ends() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 1, suite.path());
    let done = submit_tool(&server, &suite, ["x"], &[], &["false"]).run();
    assert_eq!(done.expect_code(1).receipt().failed, 1);
}

#[test]
fn l2_copies_of_a_finished_task_are_dropped_from_the_queue() {
    let (server, suite) = (Server::new(), Suite::new());
    let taskset = raw::taskset(&server, "t", &["a", "b"])
        .set("slave_command", "rrr-slave -- touch")
        .running();
    let passed = taskset.finish_trial("a", "1", "passed");
    server.tell_arbiter(format!("trial\t{passed}"));
    drain(&server, "rrr-arbiter");
    for _ in 0..3 {
        server.push(&taskset.list_key("task_queue"), taskset.task("a"));
    }
    let fleet = Fleet::plan(&server).without_persister().start();
    let _worker = fleet.worker("w", 1, suite.path());
    eventually(PATIENCE, "a success", || {
        (taskset.status()? == "succeeded").then_some(())
    });
    assert!(suite.path().join("b").exists());
    assert!(
        !suite.path().join("a").exists(),
        "the finished task was run again"
    );
}

#[test]
fn l5_a_wait_for_a_worker_says_so_and_ends() {
    let (server, suite) = (Server::new(), Suite::new());
    let _fleet = Fleet::start(&server);
    let args = ["--worker-type", "gpu", "--timeout", "4"];
    let done = submit_tool(&server, &suite, ["x"], &args, &["true"]).run();
    let done = done.expect_code(124);
    assert!(done.stderr.contains("waiting for a worker of type 'gpu'"));
    assert!(done.stderr.contains("hint: "), "{done:#?}");
}

#[test]
fn l5_work_of_a_dead_slave_is_found_without_a_requested_check() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["a", "b"]).running();
    let slave = "rrrspec:worker:w:slave:1";
    taskset.join_slave(slave, false);
    taskset.start_trial("a", "1", slave);
    taskset.start_trial("b", "1", "rrrspec:worker:w:slave:2");
    let _arbiter = Tool::new(&server, "rrr-arbiter").spawn();
    eventually(PATIENCE, "both tasks are queued again", || {
        let mut queue = taskset.list("task_queue");
        queue.sort();
        (queue == ["a", "b"]).then_some(())
    });
}

#[test]
fn l8_an_invalid_message_is_dead_lettered_and_the_next_handled() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["a"]).running();
    for message in [&b"bogus"[..], b"\xff\xfe", b"trial\tx", b"cancel\tx", b""] {
        server.tell_arbiter(message);
    }
    server.tell_arbiter(format!("cancel\t{}", taskset.key));
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.status().as_deref(), Some("cancelled"));
    assert_eq!(server.list("rrrspec:arbiter_queue:dead").len(), 5);
}

#[test]
fn l8_invalid_entries_in_any_queue_stop_no_daemon() {
    let (server, suite) = (Server::new(), Suite::new());
    let queues = [
        "rrrspec:arbiter_queue",
        "rrrspec:dispatcher_queue",
        "rrrspec:persister_queue",
        "rrrspec:worker:w:worker_queue",
        "rrrspec:active_taskset",
    ];
    for queue in queues {
        for nonsense in [&b"bogus"[..], b"", b"\xff\xfe\0", &[b'x'; 100_000]] {
            server.push(queue, nonsense);
        }
    }
    server.run::<()>(&["SADD", "rrrspec:worker", "bogus"]);
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 1, suite.path());
    let done = submit_tool(&server, &suite, ["x"], &[], &["true"]).run();
    assert_eq!(done.expect_code(0).receipt().succeeded, 1);
    eventually(PATIENCE, "the queues are empty", || {
        let left = |queue| server.run::<usize>(&["LLEN", queue]);
        queues[..4]
            .iter()
            .all(|queue| left(queue) == 0)
            .then_some(())
    });
    for daemon in fleet.stop() {
        daemon.expect_code(0);
    }
}

#[test]
fn l8_invalid_utf8_stops_no_role() {
    // Below the rrr prefix, which the roles' users may read.
    const NO_TEXT: &[u8] = b"rrrspec:taskset:t:\xff";
    let (server, suite) = (Server::new(), Suite::new());
    let taskset = raw::taskset(&server, "t", &["a", "b"]).submitted();
    let dead = "rrrspec:worker:w:slave:dead";
    taskset.join_slave(dead, false);
    let log = format!("{}:worker_log:x", taskset.key);
    server.push(&taskset.list_key("worker_log"), &log);
    for list in ["slave", "worker_log", "task_queue"] {
        server.push(&taskset.list_key(list), NO_TEXT);
    }
    server.push(&format!("{}:trial", taskset.task("a")), NO_TEXT);
    server.push(&format!("{dead}:trial"), NO_TEXT);
    let mut redis = server.conn();
    let hashes = [
        taskset.key.as_str(),
        &log,
        "rrrspec:estimate_sec:default",
        "rrrspec:rsync_info",
        "rrrspec:totals",
        "rrrspec:worker:gone",
    ];
    for hash in hashes {
        for field in [&b"worker"[..], b"\xfe"] {
            let mut command = redis::cmd("HSET");
            command.arg(hash).arg(field).arg(b"\xff");
            command.exec(&mut redis).unwrap();
        }
    }
    for member in [&b"rrrspec:worker:gone"[..], b"rrrspec:worker:\xff"] {
        let mut command = redis::cmd("SADD");
        command.arg("rrrspec:worker").arg(member);
        command.exec(&mut redis).unwrap();
    }
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 1, suite.path());
    for (tool, arguments) in [
        ("rrr-wait", &["--timeout", "30", &taskset.key][..]),
        ("rrr-show", &[&taskset.key]),
        ("rrr-list", &["tasksets"]),
        ("rrr-list", &["workers"]),
        ("rrr-stat", &[]),
    ] {
        Tool::new(&server, tool)
            .args(arguments)
            .run()
            .expect_code(0);
    }
    assert_eq!(taskset.counts(), (2, 0));
    eventually(PATIENCE, "the record is durable", || {
        let queued: usize = server.run(&["LLEN", "rrrspec:persister_queue"]);
        (queued == 0).then_some(())
    });
    for daemon in fleet.stop() {
        daemon.expect_code(0);
    }
}

#[test]
fn l8_arbiters_survive_keys_of_the_wrong_type() {
    let server = Server::new();
    let evil = "rrrspec:taskset:evil";
    server.run::<()>(&["SET", evil, "x"]);
    server.push("rrrspec:active_taskset", evil);
    let taskset = raw::taskset(&server, "t", &["a", "b", "c"]).running();
    let [first, broken, last] =
        ["a", "b", "c"].map(|file| taskset.finish_trial(file, "1", "passed"));
    let healthy = server.run::<Vec<String>>(&["HGETALL", &broken]);
    server.run::<()>(&["SET", &broken, "x"]);
    let nonsense = [
        format!("trial\t{evil}:task:t:trial:1"),
        format!("trial\t{broken}"),
        format!("cancel\t{evil}"),
        format!("check\t{evil}"),
        format!("fail\t{evil}"),
    ];
    server.tell_arbiter(format!("trial\t{first}"));
    nonsense
        .iter()
        .for_each(|message| server.tell_arbiter(message));
    server.tell_arbiter(format!("trial\t{last}"));
    drain(&server, "rrr-arbiter");
    assert_eq!(
        (taskset.status(), taskset.counts()),
        (Some("running".into()), (2, 0))
    );
    let dead = server.list("rrrspec:arbiter_queue:dead");
    assert_eq!(dead.len(), nonsense.len());
    assert!(
        dead.iter().all(|entry| entry.contains("WRONGTYPE")),
        "{dead:?}"
    );
    // Once repaired, it is judged although its message is gone.
    server.run::<()>(&["DEL", &broken]);
    let words = [vec!["HSET".to_owned(), broken], healthy].concat();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    server.run::<()>(&words);
    let arbiter = Tool::new(&server, "rrr-arbiter").spawn();
    eventually(PATIENCE, "a success", || {
        (taskset.status()? == "succeeded").then_some(())
    });
    arbiter.term();
    let done = arbiter.wait(PATIENCE).expect_code(0);
    // A key that was read at least twice is reported once.
    assert_eq!(done.stderr.matches("skipping").count(), 1, "{done:#?}");
}

#[test]
fn l8_non_numeric_counts_do_not_affect_other_tasksets() {
    let server = Server::new();
    let odd = raw::taskset(&server, "odd", &["a"])
        .set("succeeded_count", "x")
        .running();
    let good = raw::taskset(&server, "good", &["a"]).running();
    for taskset in [&odd, &good] {
        let passed = taskset.finish_trial("a", "1", "passed");
        server.tell_arbiter(format!("trial\t{passed}"));
    }
    drain(&server, "rrr-arbiter");
    assert_eq!(good.status().as_deref(), Some("succeeded"));
    // Its own count is recomputed from its tasks.
    assert_eq!(odd.status().as_deref(), Some("succeeded"));
    assert_eq!(odd.counts(), (1, 0));
    assert_eq!(server.list("rrrspec:arbiter_queue:dead").len(), 1);
}

#[test]
fn l8_redis_out_of_memory_does_not_make_a_message_invalid() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["a"]).running();
    let failed = taskset.finish_trial("a", "1", "failed");
    server.tell_arbiter(format!("trial\t{failed}"));
    server.run::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    let arbiter = Tool::new(&server, "rrr-arbiter").spawn();
    arbiter.wait_for_stderr(PATIENCE, |line| line.contains("lost Redis"));
    assert_eq!(server.list("rrrspec:arbiter_queue").len(), 1);
    server.run::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    eventually(PATIENCE, "the task is queued again", || {
        (taskset.list("task_queue") == ["a"]).then_some(())
    });
    assert!(server.list("rrrspec:arbiter_queue:dead").is_empty());
}

#[test]
fn l8_dispatchers_survive_keys_of_the_wrong_type() {
    let server = Server::new();
    let evil = "rrrspec:taskset:evil";
    server.run::<()>(&["SET", evil, "x"]);
    server.push("rrrspec:active_taskset", evil);
    let broken = server.add_worker("a-broken");
    server.run::<()>(&["SET", &broken, "x"]);
    let queueless = server.add_worker("b-queueless");
    server.run::<()>(&["SET", &format!("{queueless}:worker_queue"), "x"]);
    let well = server.add_worker("c-well");
    let taskset = raw::taskset(&server, "t", &["a"]).submitted();
    let done = drain(&server, "rrr-dispatch");
    assert!(done.stderr.contains(&format!("skipping {evil}")));
    assert_eq!(taskset.status().as_deref(), Some("running"));
    assert_eq!(server.list(&format!("{well}:worker_queue")), [taskset.key]);
}
