//! A worker runs only handed-over tasksets and shows them no password.

use crate::harness::*;

#[test]
fn s1_no_worker_runs_a_taskset_before_its_handover() {
    let (server, suite) = (Server::new(), Suite::new());
    let evil = |id: &str| {
        let taskset = raw::taskset(&server, id, &["a"]);
        let taskset = taskset.set("setup_command", "echo evil >>ran");
        taskset.set("slave_command", "echo evil >>ran")
    };
    let mut all = vec![evil("new"), evil("running").set("status", "running")];
    let staged = evil("staged");
    let _: i64 = server.run(&["EXPIRE", &staged.key, "1000"]);
    all.push(staged);
    // As if this worker had accepted it and the reply had been lost.
    for (id, status) in [("taken", "running"), ("over", "succeeded")] {
        let taskset = evil(id).set("status", status);
        let log = format!("{}:worker_log:x", taskset.key);
        server.hset(&log, "worker", "rrrspec:worker:w");
        server.push(&taskset.list_key("worker_log"), &log);
        all.push(taskset);
    }
    let fleet = Fleet::start(&server);
    let worker = fleet.worker("w", 1, suite.path());
    let queue = "rrrspec:worker:w:worker_queue";
    for taskset in &all {
        // Removed from its queue while the worker is stopped, so that only its hash names the
        // taskset.
        worker.stop();
        server.hset("rrrspec:worker:w", "taskset", &taskset.key);
        server.push(queue, &taskset.key);
        worker.cont();
        eventually(PATIENCE, "the worker has looked at it", || {
            server.list(queue).is_empty().then_some(())
        });
    }
    let done = submit_tool(&server, &suite, ["x"], &[], &["true"]).run();
    done.expect_code(0);
    assert_eq!(suite.lines("ran"), [""; 0]);
    let refused = server.list(&format!("{queue}:dead"));
    assert_eq!(
        refused.len(),
        4,
        "all but the one that is over: {refused:?}"
    );
    assert!(refused[0].contains("never activated"), "{refused:?}");
    assert!(worker.is_running());
}

#[test]
fn a_named_taskset_is_run_once_it_is_handed_over() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let taskset = raw::taskset(&server, "t", &["a"]);
    let tool = fleet.worker_tool("w", 1, suite.path());
    let worker = tool
        .args(["--taskset", &taskset.key])
        .env_remove("RRR_TRUST")
        .spawn();
    eventually(PATIENCE, "the worker waits", || {
        let looked: String = server.run(&["INFO", "commandstats"]);
        looked.contains("cmdstat_lpos").then_some(())
    });
    assert!(taskset.status().is_none());
    let taskset = taskset.submitted();
    worker.wait(PATIENCE).expect_code(0);
    assert_eq!(taskset.status().as_deref(), Some("succeeded"));
}

#[test]
fn s8_the_shell_of_a_slave_command_shows_no_password() {
    let server = Server::options()
        .password("a-secret%of-redis")
        .tcp()
        .start();
    let url = server.tcp_url().replace("%of", "%25of") + "/?LOOK=1";
    let suite = Suite::new();
    suite.file(
        "a.sh",
        "for p in /proc/[0-9]*; do tr '\\0' '\\n' <\"$p/environ\"; done 2>/dev/null >all
         grep -a 'RRR_REDIS_URL.*LOOK' all >shells; grep -a a-secret all >seen; true",
    );
    let _fleet = Fleet::start(&url);
    let _worker = Tool::new(&url, "rrr-worker")
        .args(["--worker-id", "w", "--slaves", "1", "--in-place"])
        .arg(suite.path())
        // The same attack under other names.
        .env("REDIS_URL", &url)
        .env("SOME_URL", &url)
        // As root the test could read the worker's own environment.
        .owning(&suite)
        .spawn();
    let slave = "rrr-slave -- sh {}; exit $?";
    let args = ["--max-trials", "1", "--slave", slave, "a.sh"];
    let done = Tool::new(&url, "rrr-submit")
        .args(["--no-rsync", "--follow"])
        .args(args)
        .dir(suite.path())
        .run();
    assert_eq!(done.expect_code(0).receipt().succeeded, 1);
    assert!(!suite.lines("shells").is_empty(), "the shell was looked at");
    assert_eq!(suite.lines("seen"), [""; 0]);
}

#[test]
fn a_slave_started_manually_takes_the_password_from_the_url() {
    let server = Server::options().password("secret").start();
    let taskset = raw::taskset(&server, "t", &["a"]).running();
    let _arbiter = Tool::new(&server, "rrr-arbiter").spawn();
    Tool::new(&server, "rrr-slave")
        .env("RRRSPEC_TASKSET_KEY", &taskset.key)
        .args(["--", "true"])
        .run()
        .expect_code(0);
    assert_eq!(taskset.status().as_deref(), Some("succeeded"));
}
