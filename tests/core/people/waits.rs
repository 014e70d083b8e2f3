//! rrr-wait: the verdict as an exit code, in bounded time; and reruns of failed files.

use crate::harness::*;

fn key_of(server: &Server, suite: &Suite, test: &str) -> String {
    let done = Tool::new(server, "rrr-submit")
        .args(["--no-rsync", "--key-only", "--max-trials", "1"])
        .args(suite.files())
        .args(["--", "sh", "-c", test])
        .dir(suite.path())
        .run()
        .expect_code(0);
    done.stdout.trim().to_owned()
}

#[test]
fn waiting_ends_with_the_verdict() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("a.sh", "");
    let fleet = Fleet::plan(&server).without_persister().start();
    let _worker = fleet.worker("box", 1, suite.path());
    for (test, code) in [("true", 0), ("false", 1)] {
        let key = key_of(&server, &suite, test);
        let wait = || {
            Tool::new(&server, "rrr-wait")
                .arg(&key)
                .run()
                .expect_code(code)
        };
        // On a slow machine, the first may print the reason for waiting.
        assert_eq!(wait().stdout, "");
        let again = wait();
        assert_eq!((again.stdout.as_str(), again.stderr.as_str()), ("", ""));
    }
}

#[test]
fn waiting_is_bounded_and_names_its_reason() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("a.sh", "");
    let _fleet = Fleet::start(&server);
    let key = key_of(&server, &suite, "true");
    let args = ["--timeout", "1", key.as_str()];
    let done = Tool::new(&server, "rrr-wait")
        .args(args)
        .run()
        .expect_code(124);
    let wanted = "waiting for a worker of type 'default' (0 alive)";
    assert!(done.stderr.contains(wanted), "{}", done.stderr);
    assert!(
        done.stderr.contains("hint: the taskset continues"),
        "{}",
        done.stderr
    );
    let wait = Tool::new(&server, "rrr-wait").arg(&key).spawn();
    wait.wait_for_stderr(PATIENCE, |text| text.contains(wanted));
    Tool::new(&server, "rrr-cancel")
        .arg(&key)
        .run()
        .expect_code(0);
    wait.wait(PATIENCE).expect_code(3);
}

#[test]
fn ctrl_c_ends_the_wait_and_not_the_taskset() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("a.sh", "");
    let key = key_of(&server, &suite, "true");
    for tool in ["rrr-wait", "rrr-watch"] {
        let wait = Tool::new(&server, tool).arg(&key).spawn();
        wait.wait_for_stderr(PATIENCE, |text| text.contains("waiting for"));
        wait.int();
        wait.wait(PATIENCE).expect_code(130);
    }
    let open = Tool::new(&server, "rrr-list")
        .arg("tasksets")
        .run()
        .events();
    assert_eq!(open[0]["taskset"], key.as_str());
    assert_eq!(open[0]["status"], "waiting");
    assert_eq!(
        server.run::<i64>(&["LLEN", "rrrspec:arbiter_queue"]),
        0,
        "no cancel"
    );
}

#[test]
fn a_missing_taskset_is_refused_with_a_hint() {
    let server = Server::new();
    for tool in ["rrr-wait", "rrr-watch"] {
        let done = Tool::new(&server, tool)
            .arg("rrrspec:taskset:x")
            .run()
            .expect_code(2);
        assert!(
            done.stderr
                .contains("taskset 'rrrspec:taskset:x' is not in Redis"),
            "{}",
            done.stderr
        );
        assert!(done.stderr.contains("hint: "), "{}", done.stderr);
        for (name, message) in [
            ("x y", "'x y' is not the key of a taskset"),
            ("last", "no taskset in Redis is 'last'"),
        ] {
            let done = Tool::new(&server, tool).arg(name).run().expect_code(2);
            assert!(done.stderr.contains(message), "{}", done.stderr);
        }
    }
}

#[test]
fn failed_files_are_found_in_the_database_after_redis_expiry() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("good.sh", "").file("bad.sh", "exit 1");
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("box", 1, suite.path());
    let first = submit(&server, &suite, &["--max-trials", "1"]).wait(PATIENCE);
    let events = first.expect_code(1).events();
    let earlier = events[0]["taskset"].as_str().unwrap();
    eventually(PATIENCE, "it is persisted", || {
        (server.run::<i64>(&["TTL", earlier]) >= 0).then_some(())
    });
    server.run::<String>(&["FLUSHALL"]);
    let again = |db: &str| {
        Tool::new(&server, "rrr-submit")
            .args(["--no-rsync", "--rerun-failed", earlier, "--db", db])
            .dir(suite.path())
            .run()
    };
    let done = again(&fleet.db()).expect_code(0);
    assert_eq!(done.events()[0]["tasks"], 1);
    let elsewhere = again("sqlite:no-such-folder/history.db").expect_code(2);
    assert!(elsewhere.stderr.contains("--db"), "{}", elsewhere.stderr);
}

#[test]
fn only_files_that_did_not_pass_are_resubmitted_unchanged() {
    let (server, suite) = (Server::new(), Suite::new());
    suite
        .file("good.sh", "echo good >>ran")
        .file("bad.sh", "echo bad >>ran; [ -e mended ]");
    let fleet = Fleet::plan(&server).without_persister().start();
    let _worker = fleet.worker("box", 1, suite.path());
    let args = [
        "--max-trials",
        "1",
        "--setup",
        "echo setup >>ran",
        "--taskset-class",
        "c",
    ];
    let first = submit(&server, &suite, &args).wait(PATIENCE).expect_code(1);
    let key = |done: &Finished| done.events()[0]["taskset"].as_str().unwrap().to_owned();
    suite.file("mended", "").file("ran", "");
    let again = |earlier: &str, more: &[&str]| {
        Tool::new(&server, "rrr-submit")
            .args(["--no-rsync", "--follow", "--rerun-failed", earlier])
            .args(more)
            // Other variables are for other runs.
            .env("RRR_MAX_TRIALS", "9")
            .dir(suite.path())
            .run()
    };
    let second = again(&key(&first), &[]).expect_code(0);
    assert_eq!(suite.lines("ran"), ["setup", "bad"]);
    let hash = |field: &str| server.run::<String>(&["HGET", &key(&second), field]);
    assert_eq!(
        (hash("max_trials"), hash("taskset_class")),
        ("1".into(), "c".into())
    );
    let third = again(&key(&second), &[]).expect_code(4);
    assert!(
        third.stderr.contains("nothing to rerun"),
        "{}",
        third.stderr
    );
    let fourth = again(&key(&first), &["good.sh"]).expect_code(2);
    assert!(
        fourth.stderr.contains("cannot be used with"),
        "{}",
        fourth.stderr
    );
}

#[test]
fn a_taskset_may_be_named_before_it_is_submitted_but_only_once() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("a.sh", "");
    let submit = |code| {
        Tool::new(&server, "rrr-submit")
            .args([
                "--no-rsync",
                "--key-only",
                "--taskset",
                "rrrspec:taskset:build-17",
            ])
            .args(["a.sh", "--", "sh", "{}"])
            .dir(suite.path())
            .run()
            .expect_code(code)
    };
    assert_eq!(submit(0).stdout, "rrrspec:taskset:build-17\n");
    let second = submit(2).stderr;
    assert!(
        second.contains("taskset 'rrrspec:taskset:build-17' already exists"),
        "{second}"
    );
}

#[test]
fn every_pending_part_is_named() {
    let suite = Suite::new();
    suite.file("a.sh", "");
    let setup = ["--setup", "until [ -e go ]; do sleep 0.02; done"];
    let go = || std::fs::write(suite.path().join("go"), "").unwrap();
    let cases: [(usize, usize, &[&str], &str); 3] = [
        (1, 1, &setup, "waiting for the setup of worker 'box'"),
        (
            1,
            0,
            &[],
            "waiting for rrr-dispatch to give it to a worker of type 'default' (1 idle)",
        ),
        (0, 1, &[], "waiting for rrr-arbiter ("),
    ];
    for (arbiters, dispatchers, args, wanted) in cases {
        let server = Server::new();
        let plan = Fleet::plan(&server)
            .arbiters(arbiters)
            .dispatchers(dispatchers);
        let mut fleet = plan.without_persister().start();
        let _worker = fleet.worker("box", 1, suite.path());
        let submit = submit(&server, &suite, args);
        submit.wait_for_stderr(PATIENCE, |text| text.contains(wanted));
        go();
        if arbiters == 0 {
            fleet.start_arbiter();
        }
        if dispatchers == 0 {
            fleet.start_dispatcher();
        }
        submit.wait(PATIENCE).expect_code(0);
    }
}

#[test]
fn cancelling_a_finished_taskset_is_not_an_error() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("a.sh", "");
    let fleet = Fleet::plan(&server).without_persister().start();
    let _worker = fleet.worker("box", 1, suite.path());
    let done = submit(&server, &suite, &[]).wait(PATIENCE).expect_code(0);
    let key = done.events()[0]["taskset"].as_str().unwrap().to_owned();
    let done = Tool::new(&server, "rrr-cancel")
        .arg(&key)
        .run()
        .expect_code(0);
    assert!(
        done.stderr.contains("has already finished (succeeded)"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_signal_ignored_at_the_start_stays_ignored_under_nohup() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("a.sh", "");
    let key = key_of(&server, &suite, "true");
    let _arbiter = Tool::new(&server, "rrr-arbiter").spawn();
    let wait = Tool::new(&server, "rrr-wait").arg(&key).before_exec(|| {
        // SAFETY: async-signal-safe, and it installs no handler.
        unsafe { nix::libc::signal(nix::libc::SIGHUP, nix::libc::SIG_IGN) };
        Ok(())
    });
    let wait = wait.spawn();
    wait.wait_for_stderr(PATIENCE, |text| text.contains("waiting for"));
    wait.signal(Signal::HUP);
    let cancel = Tool::new(&server, "rrr-cancel").arg(&key).run();
    cancel.expect_code(0);
    wait.wait(PATIENCE).expect_code(3);
}
