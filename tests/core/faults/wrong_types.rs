//! Keys of the wrong type, and names that are not ours: each costs only itself.

use crate::harness::*;

const WORKER: &str = "rrrspec:worker:w";

/// Replaces a key with one of the wrong type.
fn spoil(server: &Server, key: &str) {
    server.run::<()>(&["SET", key, "a string"]);
}

fn is_registered(server: &Server) -> Option<()> {
    let kind: String = server.run(&["TYPE", WORKER]);
    (kind == "hash").then_some(())
}

fn runs_a_suite(server: &Server, suite: &Suite) {
    suite.file("a.sh", "true");
    submit(server, suite, &[]).wait(PATIENCE).expect_code(0);
}

#[test]
fn l8_a_worker_names_what_keeps_it_from_registering() {
    let (server, suite) = (Server::new(), Suite::new());
    for key in [WORKER, "rrrspec:worker", "rrrspec:dispatcher_queue"] {
        spoil(&server, key);
        let ended = Fleet::plan(&server)
            .arbiters(0)
            .dispatchers(0)
            .without_persister()
            .start()
            .worker_tool("w", 1, suite.path())
            .run()
            .expect_code(2);
        let remedy = format!("redis-cli DEL {key}");
        assert!(ended.stderr.contains(&remedy), "{ended:#?}");
        server.run::<i64>(&["DEL", key]);
    }
}

#[test]
fn l8_a_worker_outlives_the_loss_of_its_own_hash() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let tool = fleet.worker_tool("w", 1, suite.path());
    let worker = tool.args(["--heartbeat", "3"]).spawn();
    eventually(PATIENCE, "the worker", || is_registered(&server));
    // What is in its queue then is not at fault, and is not thrown away.
    let waits = raw::taskset(&server, "waits", &["x"]).running();
    spoil(&server, WORKER);
    server.push(&format!("{WORKER}:worker_queue"), &*waits.key);
    let heartbeat = format!("{WORKER}:heartbeat");
    server.run::<i64>(&["DEL", &heartbeat]);
    eventually(PATIENCE, "its next heartbeat", || {
        (server.run::<i64>(&["EXISTS", &heartbeat]) == 1).then_some(())
    });
    server.run::<i64>(&["DEL", WORKER]);
    eventually(PATIENCE, "its return", || is_registered(&server));
    eventually(PATIENCE, "the verdict", || {
        (waits.status()? == "succeeded").then_some(())
    });
    let refused: i64 = server.run(&["LLEN", &format!("{WORKER}:worker_queue:dead")]);
    assert_eq!(refused, 0);
    runs_a_suite(&server, &suite);
    worker.term();
    let ended = worker.wait(PATIENCE).expect_code(0);
    let named = format!("skipping {WORKER}: ");
    assert_eq!(ended.stderr.matches(&named).count(), 1, "{ended:#?}");
}

#[test]
fn l8_a_worker_goes_on_with_the_next_taskset() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let worker = fleet.worker("w", 1, suite.path());
    eventually(PATIENCE, "the worker", || is_registered(&server));
    let queue = format!("{WORKER}:worker_queue");
    spoil(&server, &queue);
    server.run::<i64>(&["DEL", &queue]);
    for list in ["worker_log", "events", "slave"] {
        let bad = raw::taskset(&server, list, &["x"]).running();
        spoil(&server, &bad.list_key(list));
        server.push(&queue, &*bad.key);
    }
    // Active in name only, and a hash of the wrong type.
    server.push("rrrspec:active_taskset", "rrrspec:taskset:none");
    spoil(&server, "rrrspec:taskset:none");
    server.push(&queue, "rrrspec:taskset:none");
    // Those that it did take wait for what is spoiled.
    for list in ["worker_log", "events", "slave"] {
        Tool::new(&server, "rrr-cancel")
            .arg(format!("rrrspec:taskset:{list}"))
            .run();
    }
    runs_a_suite(&server, &suite);
    worker.term();
    worker.wait(PATIENCE).expect_code(0);
}

#[test]
fn l8_rsync_info_of_the_wrong_type_is_named() {
    let (server, suite) = (Server::new(), Suite::new());
    spoil(&server, "rrrspec:rsync_info");
    suite.file("a.sh", "true");
    let trees = tempfile::tempdir().unwrap();
    let submit = |args: &[&str]| {
        let tool = Tool::new(&server, "rrr-submit").args(["a.sh", "--rsync-name", "me"]);
        let tool = tool.args(args).dir(suite.path());
        tool.args(["--", "true"]).run()
    };
    let refused = submit(&[]).expect_code(2);
    for part in ["'rrrspec:rsync_info'", "--rsync-remote-path"] {
        assert!(refused.stderr.contains(part), "{refused:#?}");
    }
    let path = trees.path().to_str().unwrap();
    let sent = submit(&["--rsync-remote-path", path]).expect_code(0);
    assert!(sent.stderr.contains("skipping rrrspec:rsync_info"));
    let named = |args: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let worker = Tool::new(&server, "rrr-worker").args(["--worker-id", "w", "--once"]);
        let worker = worker.arg("--working-dir").arg(folder.path()).args(args);
        let fleet = Fleet::plan(&server).arbiters(0).without_persister().start();
        let ended = worker.bound(PATIENCE).run();
        fleet.stop();
        ended
    };
    let failed = named(&[]).expect_code(1);
    assert!(
        failed.stderr.contains("'rrrspec:rsync_info'"),
        "{failed:#?}"
    );
}

#[test]
fn l8_a_trial_with_foreign_names_does_not_end_the_arbiter() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["a", "b", "c"]).running();
    taskset.join_slave("other:slave:1", false);
    for (file, field) in [("a", "slave"), ("b", "task")] {
        let trial = taskset.finish_trial(file, "1", "failed");
        server.hset(&trial, field, "other:key:1");
        server.tell_arbiter(format!("trial\t{trial}"));
    }
    server.push(&format!("{}:trial", taskset.task("c")), "other:trial:1");
    server.tell_arbiter("trial\tother:taskset:t:task:a:trial:1");
    let good = taskset.finish_trial("c", "1", "passed");
    server.tell_arbiter(format!("trial\t{good}"));
    drain(&server, "rrr-arbiter").expect_code(0);
    assert_eq!(taskset.counts().0, 1);
    assert_eq!(server.list("rrrspec:arbiter_queue"), [""; 0]);
}

#[test]
fn k6_text_whose_append_was_answered_to_nobody_stays_single() {
    let server = Server::new();
    let proxy = Proxy::start(&server);
    let taskset = raw::taskset(&server, "t", &["a"]).running();
    let key = taskset.key.parse().unwrap();
    let mut store = rrr::cli::redis_args::RedisArgs::at(proxy.url())
        .connect()
        .unwrap();
    let log = "rrrspec:worker:w:slave:1:log";
    let mut append = |text: &str| {
        rrr::entity::worker_log::append(&mut store, &key, log, text.as_bytes()).unwrap();
    };
    append("zero\n");
    let mut wanted = "zero\n".to_owned();
    for (number, text) in [(1, "one\n"), (2, "two\n")] {
        let before = proxy.count();
        proxy.crash_at(before + number, Crash::ReplyLost);
        append(text);
        wanted += text;
        let sent = proxy.count() - before;
        assert!(sent > 2, "the call was repeated: {sent} commands");
    }
    assert_eq!(server.run::<String>(&["GET", log]), wanted);
}
