//! A worker that trusts signed tasksets only, end to end.

use super::harness::*;

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
fn s1_a_signed_taskset_runs_and_no_other_does_and_the_reason_is_told() {
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
        let reason = receipt["fail_reason"].as_str().unwrap();
        assert!(reason.contains("not trusted"), "{reason}");
    }
    assert_eq!(suite.lines("ran").len(), 0, "nothing of theirs was run");
    let done = submit(&server, &suite, &["--sign-key", &key])
        .wait(PATIENCE)
        .expect_code(0);
    assert_eq!(done.receipt()["succeeded"], 6);
}

#[test]
fn a_task_that_is_slipped_into_the_queue_is_not_run() {
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
    assert_eq!(
        (&receipt["succeeded"], &receipt["failed"]),
        (&1.into(), &1.into())
    );
    assert_eq!(suite.lines("ran"), ["begun"]);
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
    let reason = done.receipt()["fail_reason"].to_string();
    assert!(reason.contains("not trusted"), "{reason}");
}

#[test]
fn the_limits_of_time_that_were_signed_hold_whatever_is_written_to_redis_later() {
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
