//! A suite end to end, through the real roles on a real Redis.

mod common;
use common::{Bench, by_hand, field, receipt, stderr, until};

#[test]
fn a_run_ends_with_exact_counts_under_two_arbiters_and_two_dispatchers() {
    let mut bench = Bench::new();
    bench.roles("2");
    bench.start("rrr-arbiter", &[]);
    bench.start("rrr-dispatch", &[]);
    let list = bench.path("list");
    let files: String = (0..500).map(|n| format!("file {n}\n")).collect();
    std::fs::write(&list, files).unwrap();
    let output = bench.submit(&["--files-from", list.to_str().unwrap(), "--", "true"]);
    let last = receipt(&output);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        (last["succeeded"].as_u64(), last["tasks"].as_u64()),
        (Some(500), Some(500))
    );
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.matches("\"event\":\"task_finished\"").count(), 500);
}

#[test]
fn passing_failing_pending_and_flaky_files_get_their_verdicts() {
    let mut bench = Bench::new();
    let suite = bench.suite(&[
        ("pass.sh", "exit 0"),
        ("fail.sh", "exit 1"),
        ("pend.sh", "exit 77"),
        ("flaky.sh", "[ -e seen ] && exit 0; touch seen; exit 1"),
        ("it's \"ü\" x.sh", "exit 0"),
    ]);
    assert!(suite.join("it's \"ü\" x.sh").exists());
    bench.roles("2");
    let output = bench.submit(&[
        "--packaging-dir",
        suite.to_str().unwrap(),
        "pass.sh",
        "fail.sh",
        "pend.sh",
        "flaky.sh",
        "it's \"ü\" x.sh",
        "--",
        "sh",
        "{}",
    ]);
    let last = receipt(&output);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(last["succeeded"], 4);
    assert_eq!(last["failed"], 1);
    assert_eq!(last["flaky"], 1);
}

#[test]
fn l1_a_failing_task_of_a_single_slave_ends() {
    let mut bench = Bench::new();
    bench.roles("1");
    let output = bench.submit(&["x", "--", "false"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(receipt(&output)["failed"], 1);
}

#[test]
fn a_tree_travels_by_rsync_and_is_set_up_once() {
    let mut bench = Bench::new();
    let suite = bench.suite(&[(
        "a.sh",
        "test -e made && test \"$RRRSPEC_WORKING_DIR\" = \"$PWD\"",
    )]);
    let (remote, work) = (bench.path("remote"), bench.path("work"));
    bench.start("rrr-arbiter", &[]);
    bench.start("rrr-dispatch", &[]);
    bench.start(
        "rrr-worker",
        &[
            "--worker-id",
            "w",
            "--slaves",
            "1",
            "--working-dir",
            work.to_str().unwrap(),
            "--rsync-remote-path",
            remote.to_str().unwrap(),
        ],
    );
    let args = [
        "--follow",
        "--rsync-name",
        "me",
        "--packaging-dir",
        suite.to_str().unwrap(),
        "--rsync-remote-path",
        remote.to_str().unwrap(),
    ];
    let setup = ["--setup", "touch made; cat", "a.sh", "--", "sh", "{}"];
    let output = bench.run("rrr-submit", &[&args[..], &setup[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn f3_a_failing_setup_runs_no_test_and_fails_the_taskset() {
    let mut bench = Bench::new();
    bench.roles("1");
    let output = bench.submit(&["--setup", "false; true", "x", "--", "touch", "ran"]);
    assert_eq!(output.status.code(), Some(1));
    let last = receipt(&output);
    assert!(
        last["fail_reason"]
            .as_str()
            .unwrap()
            .contains("setup_command failed"),
        "{last}"
    );
    assert!(!bench.path("suite/ran").exists());
}

#[test]
fn a_missing_command_fails_the_taskset_and_names_it() {
    let mut bench = Bench::new();
    bench.roles("1");
    let output = bench.submit(&["x", "--", "no-such-command"]);
    assert_eq!(output.status.code(), Some(1));
    let last = receipt(&output);
    assert!(
        last["fail_reason"]
            .as_str()
            .unwrap()
            .contains("no-such-command"),
        "{last}"
    );
}

#[test]
fn a_taskset_by_the_protocol_alone_is_run_judged_and_persisted() {
    let mut bench = Bench::new();
    let log = bench.path("log");
    bench.roles("2");
    bench.start("rrr-persist", &["--log-dir", log.to_str().unwrap()]);
    let mut conn = bench.conn();
    by_hand(&mut conn, "hand", &["a", "b", "c"], "rrr-slave -- true", "");
    let record = until("the record", || {
        let entry = std::fs::read_dir(&log)
            .ok()?
            .flatten()
            .find(|e| e.path().extension().is_some_and(|x| x == "json"))?;
        serde_json::from_slice::<serde_json::Value>(&std::fs::read(entry.path()).ok()?).ok()
    });
    assert_eq!(record["taskset"]["status"], "succeeded");
    assert_eq!(record["taskset"]["succeeded_count"], "3");
    assert_eq!(record["tasks"].as_array().unwrap().len(), 3);
    assert_eq!(record["tasks"][0]["trials"][0]["status"], "passed");
    until("all keys of the taskset to expire", || {
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg("rrrspec:taskset:*")
            .query(&mut conn)
            .unwrap();
        keys.iter()
            .all(|key| redis::cmd("TTL").arg(key).query::<i64>(&mut conn).unwrap() != -1)
            .then_some(())
    });
}

#[test]
fn a_killed_slave_costs_a_trial_and_not_the_task() {
    let mut bench = Bench::new();
    bench.suite(&[(
        "a.sh",
        "[ -e seen ] && exit 0; touch seen; kill -9 $PPID; sleep 60",
    )]);
    bench.roles("1");
    let output = bench.submit(&["--packaging-dir", "suite", "a.sh", "--", "sh", "{}"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(receipt(&output)["flaky"], 1);
}

#[test]
fn q1_work_of_a_killed_worker_is_done_by_another() {
    let mut bench = Bench::new();
    let suite = bench.suite(&[("a.sh", "[ -e seen ] && exit 0; touch seen; sleep 60")]);
    let worker = bench.roles("1");
    let command = bench.tool(
        "rrr-submit",
        &["--no-rsync", "--follow", "a.sh", "--", "sh", "{}"],
    );
    let follower = std::thread::spawn(move || common::finish(command));
    until("the first trial", || {
        suite.join("seen").exists().then_some(())
    });
    bench.kill(worker);
    bench.start(
        "rrr-worker",
        &[
            "--worker-id",
            "v",
            "--slaves",
            "1",
            "--in-place",
            suite.to_str().unwrap(),
        ],
    );
    let output = follower.join().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn c1_a_cancelled_taskset_stays_cancelled_and_its_tests_end() {
    let mut bench = Bench::new();
    bench.roles("1");
    let command = bench.tool(
        "rrr-submit",
        &[
            "--no-rsync",
            "--follow",
            "x",
            "--",
            "sh",
            "-c",
            "touch began; sleep 60",
        ],
    );
    let follower = std::thread::spawn(move || common::finish(command));
    until("the test to begin", || {
        bench.path("suite/began").exists().then_some(())
    });
    assert!(bench.run("rrr-cancel", &["--all"]).status.success());
    let output = follower.join().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(receipt(&output)["status"], "cancelled");
    let mut conn = bench.conn();
    until("the worker to be idle", || {
        field(&mut conn, "rrrspec:worker:w", "taskset")
            .is_none()
            .then_some(())
    });
    bench.run("rrr-dispatch", &["--drain"]);
    let queue: Vec<String> = redis::cmd("LRANGE")
        .arg("rrrspec:active_taskset")
        .arg(0)
        .arg(-1)
        .query(&mut conn)
        .unwrap();
    assert!(queue.is_empty());
}

#[test]
fn bad_input_is_refused_with_its_code_and_a_remedy() {
    let bench = Bench::new();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--no-rsync", "--", "true"], 4, "nothing to run"),
        (&["--bogus"], 2, "--bogus"),
        (&["--no-rsync", "x"], 2, "-- sh {}"),
        (&["--no-rsync", "/x", "--", "true"], 2, "absolute"),
        (&["--no-rsync", "../x", "--", "true"], 2, "'..'"),
        (
            &["--no-rsync", "--files-from", "no-such-list", "--", "true"],
            2,
            "no-such-list",
        ),
        (&["no-such-file", "--", "true"], 2, "no-such-file"),
        (
            &["--no-rsync", "--rsync-name", "..", "x", "--", "true"],
            2,
            "rsync name",
        ),
        (
            &[
                "--redis",
                "unix:///no/such.sock",
                "--no-rsync",
                "x",
                "--",
                "true",
            ],
            69,
            "redis-server",
        ),
        (
            &["--redis", "bogus", "--no-rsync", "x", "--", "true"],
            2,
            "redis://",
        ),
    ];
    for (args, code, says) in cases {
        let output = bench.run("rrr-submit", args);
        assert_eq!(output.status.code(), Some(*code), "{args:?}: {output:?}");
        assert!(stderr(&output).contains(says), "{args:?}: {output:?}");
    }
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query(&mut bench.conn())
        .unwrap();
    assert!(keys.is_empty(), "{keys:?}");
}

#[test]
fn a_redis_that_may_drop_keys_or_wants_a_password_is_refused() {
    let bench = Bench::with(&["--maxmemory-policy", "allkeys-lru"]);
    let output = bench.run("rrr-arbiter", &["--drain"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("noeviction"), "{output:?}");
    let output = Bench::with(&["--requirepass", "secret"]).run("rrr-arbiter", &["--drain"]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(stderr(&output).contains("password"), "{output:?}");
}

#[test]
fn rrr_local_runs_everything_and_leaves_nothing() {
    let bench = Bench::new();
    let mut command = bench.tool("rrr-local", &["-j2", "a", "b", "--", "true"]);
    command
        .env("TMPDIR", bench.suite(&[("a", ""), ("b", "")]))
        .current_dir(bench.path("suite"));
    let output = common::finish(command);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let left = std::fs::read_dir(bench.path("suite")).unwrap().count();
    assert_eq!(left, 2, "only the spec files are left");
}
