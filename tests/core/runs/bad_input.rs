//! Bad input is refused with a message, a hint and the documented exit code, and nothing is lost.

use crate::harness::*;

#[test]
fn a_missing_command_fails_the_taskset_and_is_named() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 1, suite.path());
    let done = submit_tool(&server, &suite, ["x"], &[], &["no-such-command"]).run();
    let receipt = done.expect_code(1).receipt();
    let reason = receipt.fail_reason.as_deref().unwrap();
    assert!(reason.contains("no-such-command"), "{reason}");
}

#[test]
fn bad_arguments_of_rrr_submit_are_refused_with_a_remedy() {
    let server = Server::new();
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
        let done = Tool::new(&server, "rrr-submit").args(*args).run();
        let done = done.expect_code(*code);
        assert!(done.stderr.contains(says), "{args:?}: {done:#?}");
        let remedy = done.stderr.contains("\nhint: ");
        assert!(remedy, "{args:?} names no remedy: {done:#?}");
    }
    assert!(server.dump_keys().is_empty(), "{:?}", server.dump_keys());
}

/// Every tool, with arguments that would be valid if Redis were reachable.
const TOOLS: [(&str, &[&str]); 7] = [
    ("rrr-submit", &["--no-rsync", "x", "--", "true"]),
    ("rrr-dispatch", &["--drain"]),
    ("rrr-arbiter", &["--drain"]),
    ("rrr-persist", &["--drain", "--log-dir", "."]),
    ("rrr-worker", &["--in-place", "."]),
    (
        "rrr-slave",
        &["--taskset", "rrrspec:taskset:t", "--", "true"],
    ),
    ("rrr-cancel", &["--all"]),
];

#[test]
fn an_unknown_flag_is_refused_by_every_tool_and_named() {
    let names = TOOLS.map(|(name, _)| name);
    for name in names.into_iter().chain(["rrr-local"]) {
        let done = Tool::new("unix:///no/such.sock", name).arg("--bogus").run();
        let done = done.expect_code(2);
        assert!(done.stderr.contains("'--bogus'"), "{done:#?}");
        assert_eq!(done.stdout, "");
    }
}

#[test]
fn every_tool_reports_an_unreachable_redis_with_a_hint() {
    let folder = Suite::new();
    for (name, args) in TOOLS {
        let tool = Tool::new("unix:///no/such.sock", name).args(args);
        let done = tool.dir(folder.path()).run().expect_code(69);
        let message = format!("{name}: cannot connect to 'unix:///no/such.sock': ");
        assert!(done.stderr.starts_with(&message), "{done:#?}");
        assert!(
            done.stderr.contains("hint: start redis-server"),
            "{done:#?}"
        );
    }
}

#[test]
fn s10_every_tool_reports_a_wrong_password_without_printing_it() {
    let server = Server::options().password("right").start();
    let folder = Suite::new();
    folder.file("wrong", "wr0ng\n").file("right", "right\n");
    for (name, args) in TOOLS {
        let url = format!("unix://{}", server.socket().display());
        let tool = || {
            let tool = Tool::new(&url, name).dir(folder.path());
            tool.arg("--redis-password-file")
        };
        let done = tool().arg("wrong").args(args).run().expect_code(69);
        assert!(
            done.stderr.contains("hint: check the password"),
            "{done:#?}"
        );
        assert!(!done.stderr.contains("wr0ng"), "{done:#?}");
        let done = tool().arg("no-such-file").args(args).run().expect_code(2);
        assert!(done.stderr.contains("'no-such-file'"), "{done:#?}");
        if name != "rrr-worker" && name != "rrr-slave" {
            tool().arg("right").args(args).run().expect_code(0);
        }
    }
}

#[test]
fn a_failing_rsync_submits_nothing_and_frees_the_name() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("a.sh", "exit 0");
    let submitter = || {
        Tool::new(&server, "rrr-submit")
            .args(["--rsync-name", "me", "--rsync-remote-path", "/dev/null/x:"])
            .args(["a.sh", "--", "sh", "{}"])
            .dir(suite.path())
    };
    let done = submitter().run().expect_code(2);
    assert!(
        done.stderr.contains("rsync to '/dev/null/x:' failed"),
        "{done:#?}"
    );
    assert!(done.stderr.contains("hint: "), "{done:#?}");
    assert!(server.dump_keys().is_empty(), "{:?}", server.dump_keys());

    let done = submitter().env("PATH", "/no/such/folder").run();
    let done = done.expect_code(2);
    assert!(done.stderr.contains("hint: install it"), "{done:#?}");
    assert!(server.dump_keys().is_empty(), "{:?}", server.dump_keys());
}

#[test]
fn a_bad_json_task_is_refused_with_its_place() {
    let server = Server::new();
    for bad in [
        "{\"spec_file\": 1}",
        "{\"spec_file\": \"a\", \"bogus\": 1}",
        "{",
        "{\"spec_file\": \"../a\"}",
    ] {
        let done = Tool::new(&server, "rrr-submit")
            .args(["--no-rsync", "--files-from", "-", "--", "true"])
            .stdin(format!("good\n{bad}\n"))
            .run();
        let done = done.expect_code(2);
        let place = done.stderr.contains("entry 2") || done.stderr.contains("'../a'");
        assert!(place, "{done:#?}");
    }
    assert!(server.dump_keys().is_empty(), "{:?}", server.dump_keys());
}

#[test]
fn cancelling_a_missing_taskset_is_reported() {
    let server = Server::new();
    let cancel = |args: &[&str]| Tool::new(&server, "rrr-cancel").args(args).run();
    cancel(&[]).expect_code(2);
    cancel(&["bogus"]).expect_code(2);
    let done = cancel(&["rrrspec:taskset:gone"]).expect_code(2);
    assert!(done.stderr.contains("'rrrspec:taskset:gone'"), "{done:#?}");
    let done = cancel(&["--rsync-name", "me"]).expect_code(4);
    assert!(done.stderr.contains("'me'"), "{done:#?}");
    assert!(server.dump_keys().is_empty(), "{:?}", server.dump_keys());
}

#[test]
fn c9_a_worker_id_in_use_is_refused_and_its_owner_stays() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let holder = fleet.worker("w", 1, suite.path());
    eventually(PATIENCE, "it registers", || {
        server.hget("rrrspec:worker:w", "instance")
    });
    let done = fleet.worker_tool("w", 1, suite.path()).run().expect_code(2);
    assert!(done.stderr.contains("'w' is in use"), "{done:#?}");
    assert!(done.stderr.contains("hint: "), "{done:#?}");
    let done = submit_tool(&server, &suite, ["x"], &[], &["true"]).run();
    done.expect_code(0);
    assert!(holder.is_running());
}

#[test]
fn an_in_place_worker_without_its_tree_is_refused() {
    let (server, suite) = (Server::new(), Suite::new());
    let tool = Tool::new(&server, "rrr-worker").args(["--in-place", "no such tree"]);
    let done = tool.dir(suite.path()).run().expect_code(2);
    assert!(done.stderr.contains("no such tree"), "{done:?}");
    assert!(done.stderr.contains("hint: "), "{done:?}");
    assert!(!suite.path().join("no such tree").exists());
    assert!(server.dump_keys().is_empty(), "{:?}", server.dump_keys());
}
