//! False greens: success without a test, the worst of all faults.

use crate::harness::*;

#[test]
fn f1_a_lost_tasks_left_is_not_a_success() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["a", "b"]).running();
    server.run::<()>(&["DEL", &taskset.list_key("tasks_left")]);
    server.tell_arbiter(format!("check\t{}", taskset.key));
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.status().as_deref(), Some("failed"));
    let reason = taskset.get("fail_reason").unwrap();
    assert!(reason.contains("accounting mismatch"), "{reason}");
}

#[test]
fn f1_a_redis_that_may_drop_keys_is_refused_by_every_role() {
    let server = Server::options()
        .set("maxmemory-policy", "allkeys-lru")
        .start();
    let roles: [(&str, &[&str]); 5] = [
        ("rrr-submit", &["--no-rsync", "x", "--", "true"]),
        ("rrr-dispatch", &["--drain"]),
        ("rrr-arbiter", &["--drain"]),
        ("rrr-persist", &["--drain"]),
        ("rrr-worker", &["--in-place", "."]),
    ];
    let folder = Suite::new();
    for (role, args) in roles {
        let tool = Tool::new(&server, role).args(args);
        let tool = tool.env("RRR_LOG_DIR", folder.path()).dir(folder.path());
        let done = tool.run().expect_code(2);
        assert!(done.stderr.contains("noeviction"), "{done:#?}");
        assert!(done.stderr.contains("hint: "), "{done:#?}");
    }
    assert!(server.dump_keys().is_empty());
}

#[test]
fn f2_a_taskset_without_tasks_is_refused_at_submit() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("empty-list", "\n\n");
    for tool in ["rrr-submit", "rrr-local"] {
        let done = Tool::new(&server, tool)
            .args(["--files-from", "empty-list", "--", "true"])
            .dir(suite.path())
            .run();
        let done = done.expect_code(4);
        assert!(done.stderr.contains("nothing to run"), "{done:#?}");
    }
    assert!(server.dump_keys().is_empty());
}

#[test]
fn f2_an_empty_taskset_that_was_accepted_fails() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &[]).running();
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.status().as_deref(), Some("failed"));
}

#[test]
fn f3_a_failing_setup_runs_no_test_and_fails_the_taskset() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 1, suite.path());
    let args = ["--setup", "false; true"];
    let done = submit_tool(&server, &suite, ["x"], &args, &["touch", "ran"]).run();
    let receipt = done.expect_code(1).receipt();
    let reason = receipt.fail_reason.as_deref().unwrap();
    assert!(reason.contains("setup_command failed"), "{reason}");
    assert!(!suite.path().join("ran").exists());
}

#[test]
fn f3_a_failing_rsync_runs_no_test_in_the_previous_tree() {
    let (server, suite, work) = (Server::new(), Suite::new(), Suite::new());
    work.file("me/a.sh", "touch ran");
    let _fleet = Fleet::start(&server);
    let _worker = Tool::new(&server, "rrr-worker")
        .args(["--worker-id", "w", "--slaves", "1", "--working-dir"])
        .arg(work.path())
        .args(["--rsync-remote-path", "no/such/folder"])
        .spawn();
    let args = ["--rsync-name", "me"];
    let done = submit_tool(&server, &suite, ["a.sh"], &args, &["sh", "{}"]).run();
    let receipt = done.expect_code(1).receipt();
    let reason = receipt.fail_reason.as_deref().unwrap();
    assert!(reason.contains("rsync failed"), "{reason}");
    assert!(!work.path().join("me/ran").exists());
}

/// A folder with an `rsync` that waits for the file `go` in the suite before it copies.
fn slow_rsync(suite: &Suite) -> String {
    use std::os::unix::fs::PermissionsExt;
    let script = "#!/bin/sh\ntouch syncing; until [ -e go ]; do sleep 0.05; done\n\
        PATH=${PATH#*:}; exec rsync \"$@\"\n";
    let folder = suite.path().join("tools");
    suite.file("tools/rsync", script);
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.join("rsync"), mode).unwrap();
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

#[test]
fn f4_two_submitters_never_sync_into_one_folder() {
    let (server, suite, remote) = (Server::new(), Suite::new(), Suite::new());
    suite.file("a.sh", "exit 0");
    let submitter = || {
        Tool::new(&server, "rrr-submit")
            .args(["--rsync-name", "me", "--rsync-remote-path"])
            .arg(remote.path())
            .args(["a.sh", "--", "sh", "{}"])
            .dir(suite.path())
    };
    let first = submitter().env("PATH", slow_rsync(&suite)).spawn();
    eventually(PATIENCE, "the first one syncs", || {
        suite.path().join("syncing").exists().then_some(())
    });
    let while_syncing = submitter().run().expect_code(2);
    assert!(while_syncing.stderr.contains("'me' is in use"));
    suite.file("go", "");
    first.wait(PATIENCE).expect_code(0);
    let while_active = submitter().run().expect_code(2);
    assert!(while_active.stderr.contains("'me' is in use"));
    assert!(while_active.stderr.contains("hint: "));
    let active = server.list("rrrspec:active_taskset");
    assert_eq!(active.len(), 1, "{active:?}");
}

#[test]
fn f5_a_setup_command_that_reads_stdin_skips_nothing() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 1, suite.path());
    suite.file("a.sh", "test -e after");
    let args = ["--setup", "cat >eaten\ntouch after"];
    let done = submit(&server, &suite, &args).wait(PATIENCE);
    assert_eq!(done.expect_code(0).receipt().succeeded, 1);
    assert_eq!(suite.lines("eaten").len(), 0);
}

#[test]
fn f2_an_active_taskset_without_tasks_fails_instead_of_hanging() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &[]).submitted();
    let expired = raw::taskset(&server, "u", &["a"]).submitted();
    for list in ["tasks", "tasks_left", "task_queue"] {
        server.run::<i64>(&["DEL", &expired.list_key(list)]);
    }
    drain(&server, "rrr-arbiter");
    for taskset in [&taskset, &expired] {
        assert_eq!(taskset.status().as_deref(), Some("failed"));
        let reason = taskset.get("fail_reason").unwrap();
        assert!(reason.contains("no tasks"), "{reason}");
    }
    assert!(server.list("rrrspec:active_taskset").is_empty());
}

#[test]
fn i13_exit_code_0_means_that_the_taskset_succeeded() {
    let server = Server::new();
    let ends = [
        ("succeeded", 0),
        ("failed", 1),
        ("cancelled", 3),
        ("running", 124),
        ("a word of a later version", 124),
    ];
    for (number, (status, code)) in ends.into_iter().enumerate() {
        let taskset = raw::taskset(&server, &format!("t{number}"), &["a"]).running();
        server.hset(&taskset.key, "status", status);
        for tool in ["rrr-wait", "rrr-watch"] {
            let done = Tool::new(&server, tool).arg(&taskset.key);
            let done = done.args(["--timeout", "1"]).run();
            assert_eq!(done.code, Some(code), "{tool} of '{status}': {done:?}");
        }
    }
}
