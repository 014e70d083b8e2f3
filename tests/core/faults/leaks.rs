//! Keys, processes and folders that would stay forever.

use crate::harness::*;
use std::path::Path;

#[test]
fn k1_a_message_for_an_expired_taskset_recreates_no_key() {
    let server = Server::new();
    server.tell_arbiter("trial\trrrspec:taskset:gone:task:a:trial:1");
    server.tell_arbiter("check\trrrspec:taskset:gone");
    server.tell_arbiter("fail\trrrspec:taskset:gone");
    drain(&server, "rrr-arbiter");
    let keys: Vec<_> = server.dump_keys().into_keys().collect();
    assert_eq!(keys, ["rrrspec:arbiter_queue:dead"]);
}

#[test]
fn k2_late_messages_after_expiry_recreate_no_key() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let worker = fleet.worker("w", 1, suite.path());
    let done = submit_tool(&server, &suite, ["x"], &[], &["true"]).run();
    let receipt = done.expect_code(0).receipt();
    let taskset = receipt.taskset.as_str();
    eventually(PATIENCE, "it is persisted", || {
        (server.run::<i64>(&["TTL", taskset]) != -1).then_some(())
    });
    worker.term();
    worker.wait(PATIENCE).expect_code(0);
    fleet.stop();
    let of_the_taskset = || -> Vec<String> {
        let keys = server.dump_keys().into_keys();
        keys.filter(|name| name.starts_with(taskset)).collect()
    };
    let trial = of_the_taskset().into_iter().find(|k| k.contains(":trial:"));
    for key in of_the_taskset() {
        server.run::<()>(&["DEL", &key]);
    }
    let messages = [
        format!("trial\t{}", trial.unwrap()),
        format!("check\t{taskset}"),
        format!("fail\t{taskset}"),
        format!("cancel\t{taskset}"),
    ];
    for message in &messages {
        server.tell_arbiter(message);
    }
    server.push("rrrspec:persister_queue", taskset);
    drain(&server, "rrr-arbiter");
    Tool::new(&server, "rrr-persist")
        .arg("--drain")
        .arg("--log-dir")
        .arg(suite.path())
        .run()
        .expect_code(0);
    assert_eq!(of_the_taskset(), Vec::<String>::new());
    assert_eq!(dump::immortal(&server.dump_keys()), [""; 0]);
}

#[test]
fn k3_slaves_of_a_killed_worker_exit_without_a_request() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).arbiters(0).without_persister().start();
    let worker = fleet.worker("w", 2, suite.path());
    // One slave runs the only task, the other waits for work.
    suite.file("a.sh", "touch began; sleep 600");
    let _follower = submit(&server, &suite, &[]);
    eventually(PATIENCE, "the test begins", || {
        suite.path().join("began").exists().then_some(())
    });
    worker.kill();
    eventually(PATIENCE, "all it started has ended", || {
        worker.family().is_empty().then_some(())
    });
    let messages = server.list("rrrspec:arbiter_queue");
    let checks = messages.iter().filter(|m| m.starts_with("check\t")).count();
    assert!(checks <= 1, "{messages:?}");
}

#[test]
fn k4_keys_of_a_submitter_killed_at_any_command_expire() {
    let (server, suite) = (Server::new(), Suite::new());
    for crash in [Crash::Before, Crash::After] {
        for number in 1.. {
            server.run::<()>(&["FLUSHALL"]);
            let proxy = Proxy::start(&server);
            proxy.crash_at(number, crash);
            let done = submit_tool(&proxy, &suite, ["a", "b"], &[], &["true"]);
            let submitter = done.spawn();
            let active = || server.list("rrrspec:active_taskset");
            eventually(PATIENCE, "its death, or a taskset", || {
                let over = !submitter.is_running() || !active().is_empty();
                over.then_some(())
            });
            if let [taskset] = &active()[..] {
                // Handed over: the taskset is complete.
                let tasks = server.list(&format!("{taskset}:tasks_left"));
                assert_eq!(tasks.len(), 2, "command {number}, {crash:?}");
                assert_eq!(dump::immortal(&server.dump_keys()), [taskset]);
                break;
            }
            assert_eq!(
                dump::immortal(&server.dump_keys()),
                [""; 0],
                "command {number}"
            );
            assert!(proxy.crashes() == 1 && number < 100, "{number} {crash:?}");
        }
    }
}

#[test]
fn k5_worker_keys_expire_and_are_deleted_when_it_leaves() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let worker = fleet.worker("w", 1, suite.path());
    eventually(PATIENCE, "the worker", || {
        server.hget("rrrspec:worker:w", "worker_type")
    });
    for key in ["rrrspec:worker:w", "rrrspec:worker:w:heartbeat"] {
        assert!(server.run::<i64>(&["TTL", key]) > 0, "{key}");
    }
    worker.term();
    worker.wait(PATIENCE).expect_code(0);
    let keys = server.dump_keys();
    let left: Vec<_> = keys.keys().filter(|key| key.contains("worker:w")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn s5_no_file_of_the_persister_is_named_by_a_key() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 1, suite.path());
    let taskset = raw::taskset(&server, "..%2F..%2Fescape", &["a/b/c.sh"]).submitted();
    eventually(PATIENCE, "the record", || {
        (server.run::<i64>(&["TTL", &taskset.key]) >= 0).then_some(())
    });
    let files = std::fs::read_dir(fleet.log_dir()).unwrap().flatten();
    let names: Vec<_> = files
        .map(|file| file.file_name().into_string().unwrap())
        .collect();
    assert!(!names.is_empty());
    for name in names {
        assert!(!name.contains("escape") && !name.contains("c.sh"), "{name}");
    }
}

#[test]
fn k3_a_slave_without_worker_and_redis_ends_with_its_test() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let worker = fleet.worker("w", 1, suite.path());
    suite.file("a.sh", "touch began; sleep 600");
    let _follower = submit(&server, &suite, &[]);
    eventually(PATIENCE, "the test begins", || {
        suite.path().join("began").exists().then_some(())
    });
    server.kill();
    worker.kill();
    eventually(PATIENCE, "the end of the slave and of its test", || {
        worker.family().is_empty().then_some(())
    });
}

/// The rrr entries in the folder for temporary files.
fn ours(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("rrr-")).collect();
    names.sort();
    names
}

#[test]
fn the_worker_removes_the_folder_of_a_killed_slave() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let tmp = tempfile::tempdir().unwrap();
    let worker = fleet.worker_tool("w", 1, suite.path());
    let worker = worker.env("TMPDIR", tmp.path()).spawn();
    suite.file(
        "a.sh",
        "date >\"$TEST_TMPDIR/mine\"; mkdir once && kill -9 $PPID; exit 0",
    );
    let done = submit(&server, &suite, &["--max-trials", "9"]).wait(PATIENCE);
    assert_eq!(done.expect_code(0).receipt().flaky, 1);
    eventually(PATIENCE, "only the worker's own is left", || {
        let left = ours(tmp.path());
        matches!(&left[..], [one] if one.starts_with("rrr-worker-")).then_some(())
    });
    worker.term();
    worker.wait(PATIENCE).expect_code(0);
    assert_eq!(ours(tmp.path()), [""; 0]);
}

#[test]
fn the_next_start_removes_only_leftovers_of_a_killed_rrr_local() {
    let suite = Suite::new();
    let tmp = tempfile::tempdir().unwrap();
    suite
        .file("waits.sh", "touch began; sleep 600")
        .file("good.sh", "exit 0");
    let local = |file: &str| {
        let tool = Tool::new("unused", "rrr-local").args(["-j1", file, "--", "sh", "{}"]);
        tool.env("TMPDIR", tmp.path()).dir(suite.path())
    };
    let killed = local("waits.sh").spawn();
    eventually(PATIENCE, "the test begins", || {
        suite.path().join("began").exists().then_some(())
    });
    killed.kill();
    eventually(PATIENCE, "the end of all it started", || {
        killed.family().is_empty().then_some(())
    });
    assert_eq!(ours(tmp.path()).len(), 1, "its folder");
    // The folder of another running tool, and a foreign folder with a similar name.
    let alive = tmp.path().join("rrr-slave-alive");
    std::fs::create_dir(&alive).unwrap();
    let lock = std::fs::File::create(alive.join("lock")).unwrap();
    lock.try_lock().unwrap();
    std::fs::create_dir(tmp.path().join("rrr-local-other")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("lock"), "").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), tmp.path().join("rrr-worker-link")).unwrap();
    local("good.sh").run().expect_code(0);
    let kept = ["rrr-local-other", "rrr-slave-alive", "rrr-worker-link"];
    assert_eq!(ours(tmp.path()), kept);
    assert!(elsewhere.path().join("lock").exists());
}
