//! Redis with Sentinel: roles find the master, and a failover in the middle of a run gives no false
//! green, whatever data the new master lacks.

use crate::harness::*;
use std::process::{Child, Command, Stdio};

/// A master, a replica, and one Sentinel that fails over automatically after a second.
struct Cluster {
    master: Server,
    replica: Server,
    port: u16,
    sentinel: Child,
    _folder: tempfile::TempDir,
}

impl Cluster {
    fn new() -> Self {
        let master = Server::options()
            .tcp()
            .set("repl-diskless-sync-delay", "0")
            .start();
        let replica = Server::options().tcp().start();
        replica.run::<String>(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
        // The link status of the replica is not enough: until its first acknowledgement (it sends
        // one per second), the master holds back all newer data.
        eventually(PATIENCE, "the master streams to its replica", || {
            let info: String = master.run(&["INFO", "replication"]);
            info.contains("state=online").then_some(())
        });
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = server::free_port();
        let conf = folder.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\n\
             sentinel monitor tests 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds tests 1000\n\
             sentinel failover-timeout tests 5000\n",
            folder.path().display(),
            master.port()
        );
        std::fs::write(&conf, text).unwrap();
        let mut command = Command::new("redis-server");
        command.arg(&conf).arg("--sentinel").stdout(Stdio::null());
        let sentinel = command.spawn().expect("redis-server");
        let cluster = Self {
            master,
            replica,
            port,
            sentinel,
            _folder: folder,
        };
        eventually(PATIENCE, "the Sentinel knows both", || {
            let mut conn = cluster.ask()?;
            let found: Vec<redis::Value> = redis::cmd("SENTINEL")
                .arg("REPLICAS")
                .arg("tests")
                .query(&mut conn)
                .ok()?;
            (found.len() == 1).then_some(())
        });
        cluster
    }

    fn ask(&self) -> Option<redis::Connection> {
        let url = format!("redis://127.0.0.1:{}", self.port);
        redis::Client::open(url).ok()?.get_connection().ok()
    }

    /// The URL, with a Sentinel that is down before the one that answers.
    fn url(&self) -> String {
        let down = server::free_port();
        format!(
            "redis+sentinel://127.0.0.1:{down},127.0.0.1:{}/tests",
            self.port
        )
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.sentinel.kill();
        let _ = self.sentinel.wait();
    }
}

#[test]
fn a_failover_mid_run_loses_no_verdict_and_is_no_false_green() {
    let (cluster, suite) = (Cluster::new(), Suite::new());
    suite.many(60, "sleep 0.1");
    suite.file("bad.sh", "exit 1");
    let fleet = Fleet::start(&cluster.url());
    let _worker = fleet.worker("w", 2, suite.path());
    let run = submit(&cluster.url(), &suite, &["--max-trials", "2"]);
    let event = run.wait_for_event("task_finished", PATIENCE);
    let taskset = event["taskset"].as_str().unwrap();
    eventually(PATIENCE, "the replica knows the taskset", || {
        cluster.replica.hget(taskset, "status")
    });
    cluster.master.kill();
    let done = run.wait(std::time::Duration::from_secs(120)).expect_code(1);
    let receipt = done.receipt();
    assert_eq!(receipt.succeeded, 60, "{receipt:?}");
    assert_eq!(receipt.failed, 1, "{receipt:?}");
    let role: String = cluster.replica.run(&["INFO", "replication"]);
    assert!(
        role.contains("role:master"),
        "the run has ended on the new master"
    );
}

#[test]
fn work_that_the_new_master_lacks_is_repeated() {
    let (cluster, suite) = (Cluster::new(), Suite::new());
    suite.many(40, "echo x >> ran; sleep 0.1");
    let fleet = Fleet::start(&cluster.url());
    let _worker = fleet.worker("w", 2, suite.path());
    let run = submit(&cluster.url(), &suite, &[]);
    let event = run.wait_for_event("task_finished", PATIENCE);
    let taskset = event["taskset"].as_str().unwrap();
    eventually(PATIENCE, "the replica knows the taskset", || {
        cluster.replica.hget(taskset, "status")
    });
    // The replica stops reading: all later writes are lost with the master.
    cluster
        .replica
        .run::<String>(&["CONFIG", "SET", "repl-timeout", "3600"]);
    cluster.replica.pause();
    let before = suite.lines("ran").len();
    eventually(PATIENCE, "results that only the master has", || {
        (suite.lines("ran").len() >= before + 4).then_some(())
    });
    cluster.master.kill();
    cluster.replica.resume();
    let done = run.wait(std::time::Duration::from_secs(150)).expect_code(0);
    let receipt = done.receipt();
    assert_eq!((receipt.succeeded, receipt.tasks), (40, 40));
}

#[test]
fn a_master_unknown_to_every_sentinel_is_reported() {
    let cluster = Cluster::new();
    let url = cluster.url().replace("/tests", "/staging");
    let done = Tool::new(&url, "rrr-arbiter")
        .arg("--drain")
        .run()
        .expect_code(69);
    assert!(
        done.stderr.contains("does not know a master 'staging'"),
        "{done:#?}"
    );
    assert!(done.stderr.contains("hint: "), "{done:#?}");
    Tool::new(&cluster.url(), "rrr-arbiter")
        .arg("--drain")
        .run()
        .expect_code(0);
}
