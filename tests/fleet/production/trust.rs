//! A worker that trusts only signed tasksets, end to end.

use crate::harness::*;

struct Keys(tempfile::TempDir);

impl Keys {
    fn new(server: &Server) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["key", "other"] {
            let path = folder.path().join(name);
            Tool::new(server, "rrr-keygen")
                .arg(path)
                .run()
                .expect_code(0);
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

fn wary(server: &Server, suite: &Suite, keys: &Keys) -> (Fleet, Running) {
    let fleet = Fleet::start(server);
    let worker = fleet.worker_tool("w", 2, suite.path());
    let worker = worker.args(["--trust", &keys.path("key.pub")]).spawn();
    (fleet, worker)
}

#[test]
fn s1_only_a_signed_taskset_runs_and_others_fail_with_a_reason() {
    let (server, suite) = (Server::new(), Suite::new());
    let keys = Keys::new(&server);
    suite.many(6, "echo x >> ran");
    let _running = wary(&server, &suite, &keys);
    let (key, other) = (keys.path("key"), keys.path("other"));
    for args in [&["--sign-key", &other][..], &[]] {
        let receipt = submit(&server, &suite, args)
            .wait(PATIENCE)
            .expect_code(1)
            .receipt();
        let reason = receipt.fail_reason.as_deref().unwrap();
        assert!(reason.contains("not trusted"), "{reason}");
    }
    assert_eq!(suite.lines("ran").len(), 0, "none of their tasks was run");
    let done = submit(&server, &suite, &["--sign-key", &key])
        .wait(PATIENCE)
        .expect_code(0);
    assert_eq!(done.receipt().succeeded, 6);
}

#[test]
fn a_policy_that_was_changed_after_signing_is_not_followed() {
    let (server, suite) = (Server::new(), Suite::new());
    let keys = Keys::new(&server);
    suite.file("a.sh", "echo x >> ran; exit 1");
    let (key, policy) = (keys.path("key"), r#"{"flaky":"fail"}"#);
    for changed in [policy, r#"{"flaky":"pass"}"#, ""] {
        let args = ["--sign-key", &key, "--flaky", "fail", "--max-trials", "1"];
        let run = submit(&server, &suite, &args);
        run.wait_for_event("taskset_submitted", PATIENCE);
        let taskset = server.list("rrrspec:active_taskset").remove(0);
        assert_eq!(server.hget(&taskset, "policy").as_deref(), Some(policy));
        server.hset(&taskset, "policy", changed);
        let _running = wary(&server, &suite, &keys);
        let receipt = run.wait(PATIENCE).expect_code(1).receipt();
        let reason = receipt.fail_reason.as_deref().unwrap_or_default();
        assert_eq!(
            reason.contains("changed after it was signed"),
            changed != policy,
            "{reason}"
        );
    }
    assert_eq!(suite.lines("ran").len(), 1);
}

#[test]
fn a_task_injected_into_the_queue_is_not_run() {
    let (server, suite) = (Server::new(), Suite::new());
    let keys = Keys::new(&server);
    suite.file(
        "a.sh",
        "echo begun >> ran; until [ -e go ]; do sleep 0.05; done",
    );
    suite.file("evil.sh", "echo evil >> ran");
    let fleet = Fleet::start(&server);
    let worker = fleet.worker_tool("w", 1, suite.path());
    let _worker = worker.args(["--trust", &keys.path("key.pub")]).spawn();
    let args = [
        "--sign-key",
        &keys.path("key"),
        "--taskset",
        "rrrspec:taskset:signed",
    ];
    let run = submit_tool(&server, &suite, ["a.sh"], &args, &["sh", "{}"]).spawn();
    eventually(PATIENCE, "the signed task runs", || {
        (!suite.lines("ran").is_empty()).then_some(())
    });
    let evil = "rrrspec:taskset:signed:task:evil.sh";
    let _: i64 = server.run(&[
        "HSET",
        evil,
        "taskset",
        "rrrspec:taskset:signed",
        "spec_file",
        "evil.sh",
    ]);
    for list in ["tasks", "tasks_left", "task_queue"] {
        let list = format!("rrrspec:taskset:signed:{list}");
        let _: i64 = server.run(&["RPUSH", &list, evil]);
    }
    suite.file("go", "");
    let receipt = run.wait(PATIENCE).expect_code(1).receipt();
    assert_eq!((receipt.succeeded, receipt.failed), (1, 1));
    assert_eq!(suite.lines("ran"), ["begun"]);
}

#[test]
fn a_task_that_names_another_signed_file_is_not_run() {
    let (server, suite) = (Server::new(), Suite::new());
    let keys = Keys::new(&server);
    suite.file("a.sh", "exit 1").file("b.sh", "echo b >>ran");
    let _running = wary(&server, &suite, &keys);
    let (key, setup) = (keys.path("key"), "until [ -e go ]; do sleep 0.05; done");
    let taskset = "rrrspec:taskset:renamed";
    let args = ["--sign-key", &key, "--taskset", taskset, "--setup", setup];
    let run = submit(&server, &suite, &args);
    run.wait_for_event("worker_joined", PATIENCE);
    let task = format!("{taskset}:task:a.sh");
    server.hset(&task, "spec_file", "b.sh");
    suite.file("go", "");
    let receipt = run.wait(PATIENCE).expect_code(1).receipt();
    assert_eq!(receipt.failed, 1, "a.sh has not passed as b.sh");
    assert_eq!(suite.lines("ran"), ["b"]);
}

#[test]
fn a_signed_run_that_has_ended_is_not_run_again() {
    let (server, suite) = (Server::new(), Suite::new());
    let keys = Keys::new(&server);
    suite.file("a.sh", "echo a >>ran; until [ -e go ]; do sleep 0.05; done");
    let fleet = Fleet::plan(&server).without_persister().start();
    let start = || {
        let worker = fleet.worker_tool("w", 1, suite.path());
        worker.args(["--trust", &keys.path("key.pub")]).spawn()
    };
    let worker = start();
    let (key, taskset) = (keys.path("key"), "rrrspec:taskset:once");
    let run = submit(&server, &suite, &["--sign-key", &key, "--taskset", taskset]);
    let ran = |times| {
        eventually(PATIENCE, "it runs", || {
            (suite.lines("ran").len() >= times).then_some(())
        });
    };
    ran(1);
    // A restart in the middle of a run does not end it.
    worker.kill();
    drop(worker);
    let worker = start();
    ran(2);
    suite.file("go", "");
    run.wait(PATIENCE).expect_code(0);
    let idle = || {
        eventually(PATIENCE, "the worker is idle", || {
            let on_hand = server.hget("rrrspec:worker:w", "taskset");
            on_hand.is_none().then_some(())
        });
    };
    idle();
    let replay = || {
        let task = format!("{taskset}:task:a.sh");
        server.run::<i64>(&["HDEL", taskset, "status", "finished_at", "succeeded_count"]);
        server.run::<i64>(&["HDEL", &task, "status"]);
        server.run::<i64>(&["DEL", &format!("{taskset}:worker_log:rrrspec:worker:w")]);
        for list in ["tasks_left", "task_queue"] {
            server.push(&format!("{taskset}:{list}"), &task);
        }
        server.push("rrrspec:active_taskset", taskset);
        server.push("rrrspec:worker:w:worker_queue", taskset);
        let reason = eventually(PATIENCE, "its end", || {
            server.hget(taskset, "finished_at")?;
            server.hget(taskset, "fail_reason")
        });
        assert!(reason.contains("seen it finish"), "{reason}");
        server.run::<i64>(&["HDEL", taskset, "fail_reason"]);
        idle();
    };
    replay();
    worker.kill();
    drop(worker);
    let _worker = start();
    replay();
    assert_eq!(suite.lines("ran").len(), 2);
}

#[test]
fn a_rerun_is_signed_only_if_the_same_key_signed_the_first() {
    let (server, suite) = (Server::new(), Suite::new());
    let keys = Keys::new(&server);
    suite.file("a.sh", "exit 1").file("b.sh", "");
    suite.file("c.sh", "exit 1");
    let fleet = Fleet::start(&server);
    let worker = fleet.worker_tool("w", 2, suite.path());
    let _worker = worker.env_remove("RRR_TRUST").spawn();
    let submit = |args: &[&str]| {
        let taskset = format!("rrrspec:taskset:{}", args[1].rsplit('/').next().unwrap());
        let args = [args, &["--max-trials", "1", "--taskset", &taskset]].concat();
        submit_tool(&server, &suite, suite.files(), &args, &["sh", "{}"])
            .env_remove("RRR_SIGN_KEY")
            .run()
            .expect_code(1);
        taskset
    };
    let (key, other) = (keys.path("key"), keys.path("other"));
    let (signed, of_other) = (
        submit(&["--sign-key", &key]),
        submit(&["--sign-key", &other]),
    );
    let unsigned = submit(&["--taskset-class", "unsigned"]);
    let again = |earlier: &str| {
        Tool::new(&server, "rrr-submit")
            .args(["--no-rsync", "--rerun-failed", earlier, "--sign-key", &key])
            .args(["--db", &fleet.db()])
            .dir(suite.path())
            .run()
    };
    for earlier in [&unsigned, &of_other] {
        let refused = again(earlier).expect_code(2);
        assert!(refused.stderr.contains("refusing to sign"), "{refused:?}");
    }
    // From Redis, and from the database.
    assert_eq!(again(&signed).expect_code(0).events()[0]["tasks"], 2);
    eventually(PATIENCE, "it is persisted", || {
        (server.run::<i64>(&["TTL", &signed]) >= 0).then_some(())
    });
    let task = format!("{signed}:task:a.sh");
    for (hash, field) in [(&signed, "slave_command"), (&task, "spec_file")] {
        let before = server.hget(hash, field).unwrap();
        server.hset(hash, field, "c.sh");
        let refused = again(&signed).expect_code(2);
        assert!(refused.stderr.contains("refusing to sign"), "{refused:?}");
        server.hset(hash, field, &before);
    }
    server.run::<String>(&["FLUSHALL"]);
    assert_eq!(again(&signed).expect_code(0).events()[0]["tasks"], 2);
}

#[test]
fn a_signed_taskset_runs_on_workers_of_its_type_alone() {
    let (server, suite) = (Server::new(), Suite::new());
    let keys = Keys::new(&server);
    suite.file("a.sh", "echo a >>ran");
    let _running = wary(&server, &suite, &keys);
    let (key, taskset) = (keys.path("key"), "rrrspec:taskset:gpu");
    let args = [
        "--sign-key",
        &key,
        "--taskset",
        taskset,
        "--worker-type",
        "gpu",
    ];
    let run = submit(&server, &suite, &args);
    run.wait_for_event("taskset_submitted", PATIENCE);
    server.push("rrrspec:worker:w:worker_queue", taskset);
    let receipt = run.wait(PATIENCE).expect_code(1).receipt();
    let reason = receipt.fail_reason.as_deref().unwrap();
    assert!(reason.contains("of type 'gpu'"), "{reason}");
    assert_eq!(suite.lines("ran"), [""; 0]);
}

#[test]
fn a_worker_with_trust_takes_no_tree_source_from_redis() {
    let server = Server::new();
    let keys = Keys::new(&server);
    let (remote, evil, work) = (Suite::new(), Suite::new(), Suite::new());
    remote.file("me/a.sh", "echo good >>\"$RAN\"");
    evil.file("me/a.sh", "echo evil >>\"$RAN\"");
    let info = |field, value: &str| server.hset("rrrspec:rsync_info", field, value);
    info("rsync_remote_path", evil.path().to_str().unwrap());
    info("rsync_options", "--archive --exclude=*.sh");
    let worker = || {
        Tool::new(&server, "rrr-worker")
            .args(["--worker-id", "w", "--trust", &keys.path("key.pub")])
            .env_remove("RRR_RSYNC_REMOTE_PATH")
            .env("RAN", work.path().join("ran"))
            .arg("--working-dir")
            .arg(work.path().join("trees"))
    };
    let refused = worker().run().expect_code(2);
    assert!(
        refused.stderr.contains("--rsync-remote-path"),
        "{refused:?}"
    );
    let _fleet = Fleet::start(&server);
    let path = remote.path().to_str().unwrap();
    let _worker = worker().args(["--rsync-remote-path", path]).spawn();
    let tree = Suite::new();
    tree.file("a.sh", "echo good >>\"$RAN\"");
    let done = Tool::new(&server, "rrr-submit")
        .args([
            "--follow",
            "--rsync-name",
            "me",
            "--sign-key",
            &keys.path("key"),
        ])
        .args(["--rsync-options", "-a", "--rsync-remote-path", path])
        .args(["a.sh", "--", "sh", "{}"])
        .dir(tree.path())
        .run();
    done.expect_code(0);
    assert_eq!(work.lines("ran"), ["good"]);
}

#[test]
fn tasksets_that_are_not_trusted_do_not_bench_a_worker() {
    let (server, suite) = (Server::new(), Suite::new());
    let keys = Keys::new(&server);
    suite.file("a.sh", "exit 0");
    let _running = wary(&server, &suite, &keys);
    for _ in 0..4 {
        submit_unsigned(&server, &suite);
    }
    assert_eq!(server.hget("rrrspec:worker:w", "benched"), None);
    let args = ["--sign-key", &keys.path("key")];
    submit(&server, &suite, &args).wait(PATIENCE).expect_code(0);
}

fn submit_unsigned(server: &Server, suite: &Suite) {
    let tool = submit_tool(server, suite, suite.files(), &[], &["sh", "{}"]);
    let done = tool.env_remove("RRR_SIGN_KEY").run().expect_code(1);
    let reason = done.receipt().fail_reason.unwrap_or_default();
    assert!(reason.contains("not trusted"), "{reason}");
}

#[test]
fn signed_time_limits_hold_whatever_is_later_written_to_redis() {
    let (server, suite) = (Server::new(), Suite::new());
    let keys = Keys::new(&server);
    suite.file("hangs.sh", "exec sleep 1000");
    let _running = wary(&server, &suite, &keys);
    let taskset = "rrrspec:taskset:limited";
    let (key, setup) = (keys.path("key"), "until [ -e go ]; do sleep 0.05; done");
    let args = [
        &["--sign-key", &key, "--taskset", taskset, "--setup", setup][..],
        &["--unknown-spec-timeout", "1", "--least-timeout", "1"],
        &["--max-trials", "1"],
    ];
    let run = submit(&server, &suite, &args.concat());
    run.wait_for_event("worker_joined", PATIENCE);
    for field in ["unknown_spec_timeout_sec", "least_timeout_sec"] {
        server.hset(taskset, field, "900");
    }
    suite.file("go", "");
    let done = run.wait(PATIENCE).expect_code(1);
    let ended = done.events_named("trial_finished");
    assert_eq!(ended[0]["status"], "timeout", "{ended:?}");
}
