//! Work and messages that a crash would lose.

use crate::harness::*;

#[test]
fn q1_work_of_a_killed_worker_is_done_by_another() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let worker = fleet.worker("w", 1, suite.path());
    suite.file("a.sh", "[ -e seen ] && exit 0; touch seen; sleep 60");
    let follower = submit(&server, &suite, &[]);
    eventually(PATIENCE, "the first trial", || {
        suite.path().join("seen").exists().then_some(())
    });
    worker.kill();
    let _other = fleet.worker("v", 1, suite.path());
    follower.wait(PATIENCE).expect_code(0);
}

#[test]
fn q2_a_popped_task_without_a_trial_is_put_back() {
    let server = Server::new();
    let taskset = hand::taskset(&server, "t", &["a"]).running();
    server.run::<String>(&["LPOP", &taskset.list_key("task_queue")]);
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.list("task_queue"), ["a"]);
}

#[test]
fn q3_a_finished_trial_whose_message_was_lost_is_judged() {
    let server = Server::new();
    let taskset = hand::taskset(&server, "t", &["a"]).running();
    taskset.finish_trial("a", "1", "passed");
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.status().as_deref(), Some("succeeded"));
}

#[test]
fn q4_stale_entries_of_a_worker_queue_are_passed_over() {
    let (server, suite) = (Server::new(), Suite::new());
    let over = hand::taskset(&server, "over", &["a"]).set("status", "failed");
    let queue = "rrrspec:worker:w:worker_queue";
    for stale in [&over.key, "rrrspec:taskset:gone"] {
        server.push(queue, stale);
    }
    let fleet = Fleet::start(&server);
    let worker = fleet.worker("w", 1, suite.path());
    let done = submit_tool(&server, &suite, ["x"], &[], &["true"]).run();
    done.expect_code(0);
    assert!(worker.is_running());
    assert!(server.list(queue).is_empty());
    assert!(over.list("worker_log").is_empty());
    assert_eq!(over.status().as_deref(), Some("failed"));
}

#[test]
fn q4_the_queue_of_a_dead_worker_goes_with_it() {
    let server = Server::new();
    let taskset = hand::taskset(&server, "t", &["a"]).submitted();
    server.run::<()>(&["SADD", "rrrspec:worker", "rrrspec:worker:dead"]);
    server.push("rrrspec:worker:dead:worker_queue", &taskset.key);
    let _dispatcher = Tool::new(&server, "rrr-dispatch").spawn();
    eventually(PATIENCE, "the dead worker is off the books", || {
        let books: Vec<String> = server.run(&["SMEMBERS", "rrrspec:worker"]);
        books.is_empty().then_some(())
    });
    assert!(server.list("rrrspec:worker:dead:worker_queue").is_empty());
}

/// Lets an arbiter die at every command while it handles `message`, which must have its effect.
fn survives_every_death(message: &str, crash: Crash, status: &str) {
    let server = Server::new();
    for number in 1.. {
        server.run::<()>(&["FLUSHALL"]);
        let taskset = hand::taskset(&server, "t", &["a"]).running();
        server.tell_arbiter(message);
        let proxy = Proxy::start(&server);
        proxy.crash_at(number, crash);
        Tool::new(&proxy, "rrr-arbiter").arg("--drain").run();
        drain(&server, "rrr-arbiter");
        let point = format!("'{message}', command {number}, {crash:?}");
        assert_eq!(taskset.status().as_deref(), Some(status), "{point}");
        let list = |name| server.list(name);
        assert_eq!(list("rrrspec:persister_queue"), [&*taskset.key], "{point}");
        assert!(list("rrrspec:arbiter_queue").is_empty(), "{point}");
        assert!(list("rrrspec:active_taskset").is_empty(), "{point}");
        if proxy.crashes() == 0 {
            assert!(number > 5, "only {number} commands were seen");
            return;
        }
    }
}

#[test]
fn q1_no_cancel_and_no_fail_is_lost_when_the_arbiter_dies_at_any_command() {
    let messages = [
        ("cancel\trrrspec:taskset:t", "cancelled"),
        ("cancel", "cancelled"),
        ("fail\trrrspec:taskset:t", "failed"),
    ];
    std::thread::scope(|scope| {
        for (message, status) in messages {
            for crash in [Crash::Before, Crash::After] {
                scope.spawn(move || survives_every_death(message, crash, status));
            }
        }
    });
}
