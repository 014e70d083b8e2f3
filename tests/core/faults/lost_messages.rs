//! Work and messages that a crash would lose.

use crate::harness::*;
use rrr::entity::heartbeat::Heartbeat;
use rrr::entity::reservation::{self, Next};
use rrr::entity::slave;
use rrr::store::Store;
use rrr::store::address::{Address, Tls};

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
fn q2_a_popped_task_without_a_trial_is_requeued() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["a"]).running();
    server.run::<String>(&["LPOP", &taskset.list_key("task_queue")]);
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.list("task_queue"), ["a"]);
}

pub fn connect(server: &Server) -> Store {
    let address = Address::parse(&server.url(), None, Tls::default());
    Store::connect(address.expect("a URL")).expect("a connection")
}

#[test]
fn q2_a_repeated_call_reserves_and_reports_nothing_twice() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["a", "b", "c"]).running();
    let mut store = connect(&server);
    let key = taskset.key.parse().unwrap();
    let slave = "rrrspec:worker:w:slave:1".parse().unwrap();
    slave::join(&mut store, &key, &slave, &Heartbeat::default()).unwrap();
    // A stalled network delivers a call that the slave has already timed out and repeated.
    let mut reserve =
        || match reservation::reserve(&mut store, &key, &slave, 1, true, true).unwrap() {
            Next::Run(mut jobs) => jobs.remove(0),
            other => panic!("{other:?}"),
        };
    let (job, again) = (reserve(), reserve());
    assert_eq!(job.trial, again.trial);
    assert_eq!(taskset.list("task_queue"), ["b", "c"]);
    let message = format!("trial\t{}", job.trial);
    let done = [passed(&slave, job)];
    let mut finish = || reservation::finish(&mut store, &key, &slave, &done, 1).unwrap();
    let ((recorded, next), (repeated, same)) = (finish(), finish());
    assert_eq!((recorded, repeated), (vec![true], vec![true]));
    assert_eq!(format!("{next:?}"), format!("{same:?}"));
    assert_eq!(taskset.list("task_queue"), ["c"]);
    assert_eq!(server.list("rrrspec:arbiter_queue"), [message]);
    let keys = server.dump_keys();
    let events = invariants::events(&keys, &taskset.key);
    let finished = events.iter().filter(|e| e["event"] == "trial_finished");
    assert_eq!(finished.count(), 1);
}

#[test]
fn q3_a_finished_trial_whose_message_was_lost_is_judged() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["a"]).running();
    taskset.finish_trial("a", "1", "passed");
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.status().as_deref(), Some("succeeded"));
}

#[test]
fn q4_stale_entries_of_a_worker_queue_are_skipped() {
    let (server, suite) = (Server::new(), Suite::new());
    let over = raw::taskset(&server, "over", &["a"]).set("status", "failed");
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
fn q4_the_queue_of_a_dead_worker_is_deleted() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["a"]).submitted();
    server.run::<()>(&["SADD", "rrrspec:worker", "rrrspec:worker:dead"]);
    server.push("rrrspec:worker:dead:worker_queue", &taskset.key);
    let _dispatcher = Tool::new(&server, "rrr-dispatch").spawn();
    eventually(PATIENCE, "the dead worker is off the books", || {
        let books: Vec<String> = server.run(&["SMEMBERS", "rrrspec:worker"]);
        books.is_empty().then_some(())
    });
    assert!(server.list("rrrspec:worker:dead:worker_queue").is_empty());
}

/// Kills an arbiter at every command while it handles `message`, which must take effect.
fn survives_every_death(message: &str, crash: Crash, status: &str) {
    let server = Server::new();
    for number in 1.. {
        server.run::<()>(&["FLUSHALL"]);
        let taskset = raw::taskset(&server, "t", &["a"]).running();
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
fn q1_no_cancel_or_failure_is_lost_when_the_arbiter_dies() {
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

#[test]
fn q2_a_worker_keeps_its_taskset_if_the_accept_reply_is_lost() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["a"]).running();
    let mut store = rrr::cli::redis_args::RedisArgs::at(server.url())
        .connect()
        .unwrap();
    let card = rrr::entity::worker::Registration {
        key: "rrrspec:worker:w".parse().unwrap(),
        worker_type: "default".into(),
        slaves: 1,
        instance: rrr::entity::worker::instance(),
        heartbeat: rrr::entity::heartbeat::Heartbeat::default(),
    };
    rrr::entity::worker::register(&mut store, &card).unwrap();
    server.push(&card.key.queue(), &taskset.key);
    let mut accept = || {
        let key = taskset.key.parse().unwrap();
        match rrr::entity::worker::accept(&mut store, &card, &key, taskset.key.as_bytes())
            .unwrap()
            .value
        {
            rrr::entity::worker::Accepted::Yes(log) => Some(log),
            _ => None,
        }
    };
    let first = accept();
    assert!(first.is_some());
    assert_eq!(accept(), first, "the same call again");
    assert_eq!(taskset.list("worker_log").len(), 1);
}

#[test]
fn a_trial_of_a_silent_slave_does_not_count() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["a"])
        .set("max_trials", "1")
        .running();
    let slave = "rrrspec:worker:w:slave:1";
    taskset.join_slave(slave, false);
    let trial = taskset.start_trial("a", "1", slave);
    let _arbiter = Tool::new(&server, "rrr-arbiter").spawn();
    eventually(PATIENCE, "the task is queued again", || {
        (taskset.list("task_queue") == ["a"]).then_some(())
    });
    assert_eq!(server.hget(&trial, "status").as_deref(), Some("error"));
    assert_eq!(taskset.status().as_deref(), Some("running"));
}

#[test]
fn a_slave_whose_call_to_join_is_repeated_joins_once() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["a"]).running();
    let mut store = rrr::cli::redis_args::RedisArgs::at(server.url())
        .connect()
        .unwrap();
    let key = taskset.key.parse().unwrap();
    let slave = "rrrspec:worker:w:slave:1".parse().unwrap();
    for _ in 0..2 {
        let over = rrr::entity::slave::join(&mut store, &key, &slave, &Default::default());
        assert_eq!(over.unwrap(), None);
    }
    assert_eq!(taskset.list("slave").len(), 1);
}
