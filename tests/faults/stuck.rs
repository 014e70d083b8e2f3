//! Tasksets and daemons that would never end.

use crate::harness::*;

#[test]
fn l1_a_failing_task_of_a_single_slave_ends() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 1, suite.path());
    let done = submit_tool(&server, &suite, ["x"], &[], &["false"]).run();
    assert_eq!(done.expect_code(1).receipt()["failed"], 1);
}

#[test]
fn l2_copies_of_a_finished_task_are_dropped_from_the_queue() {
    let (server, suite) = (Server::new(), Suite::new());
    let taskset = hand::taskset(&server, "t", &["a", "b"])
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
        "the finished one was run again"
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
fn l5_work_of_a_dead_slave_is_found_though_nobody_asks_for_a_check() {
    let server = Server::new();
    let taskset = hand::taskset(&server, "t", &["a", "b"]).running();
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
fn l8_nonsense_goes_to_the_dead_list_and_the_next_message_is_handled() {
    let server = Server::new();
    let taskset = hand::taskset(&server, "t", &["a"]).running();
    for message in [&b"bogus"[..], b"\xff\xfe", b"trial\tx", b"cancel\tx", b""] {
        server.tell_arbiter(message);
    }
    server.tell_arbiter(format!("cancel\t{}", taskset.key));
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.status().as_deref(), Some("cancelled"));
    assert_eq!(server.list("rrrspec:arbiter_queue:dead").len(), 5);
}

#[test]
fn l8_nonsense_in_any_queue_stops_no_daemon() {
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
    assert_eq!(done.expect_code(0).receipt()["succeeded"], 1);
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
fn l8_bytes_that_are_no_text_stop_no_role() {
    let (server, suite) = (Server::new(), Suite::new());
    let taskset = hand::taskset(&server, "t", &["a", "b"]).submitted();
    let dead = "rrrspec:worker:w:slave:dead";
    taskset.join_slave(dead, false);
    let log = format!("{}:worker_log:x", taskset.key);
    server.push(&taskset.list_key("worker_log"), &log);
    for list in ["slave", "worker_log", "task_queue"] {
        server.push(&taskset.list_key(list), b"\xff");
    }
    server.push(&format!("{}:trial", taskset.task("a")), b"\xff");
    server.push(&format!("{dead}:trial"), b"\xff");
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
    for member in [&b"rrrspec:worker:gone"[..], b"\xff"] {
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
