//! The notifications that a role sends to systemd.

use crate::harness::*;
use std::os::unix::net::UnixDatagram;

/// The other end of a role's NOTIFY_SOCKET.
struct Manager {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        socket.set_nonblocking(true).unwrap();
        Self { socket, folder }
    }

    fn role(&self, redis: &(impl Address + ?Sized), name: &str) -> Tool {
        Tool::new(redis, name).env("NOTIFY_SOCKET", self.folder.path().join("notify"))
    }

    /// The lines received since the last call.
    fn heard(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            lines.extend(text.lines().map(str::to_owned));
        }
        lines
    }

    #[track_caller]
    fn wait_for(&self, line: &str) -> Vec<String> {
        let mut all = Vec::new();
        eventually(PATIENCE, line, || {
            all.extend(self.heard());
            all.iter()
                .any(|heard| heard.starts_with(line))
                .then(|| all.clone())
        })
    }
}

#[test]
fn every_daemon_notifies_readiness_and_status() {
    let (server, suite) = (Server::new(), Suite::new());
    for name in DAEMONS {
        let manager = Manager::new();
        let tool = manager.role(&server, name).dir(suite.path());
        let role = tool.args(arguments(name)).spawn();
        let heard = manager.wait_for("READY=1");
        assert!(
            heard.iter().any(|line| line.starts_with("STATUS=")),
            "{name}: {heard:?}"
        );
        manager.wait_for("WATCHDOG=1");
        role.term();
        role.wait(PATIENCE).expect_code(0);
    }
}

#[test]
fn a_role_without_redis_is_never_ready() {
    let server = Server::new();
    server.shutdown();
    let manager = Manager::new();
    manager.role(&server, "rrr-arbiter").run().expect_code(69);
    assert_eq!(manager.heard(), Vec::<String>::new());
}

const DAEMONS: [&str; 4] = ["rrr-arbiter", "rrr-dispatch", "rrr-persist", "rrr-worker"];

/// The arguments that a daemon needs in addition to Redis, in the folder of the suite.
fn arguments(name: &str) -> &'static [&'static str] {
    match name {
        "rrr-persist" => &["--log-dir", "log"],
        "rrr-worker" => &["--in-place", "."],
        _ => &[],
    }
}

/// A Redis that only refuses commands is as bad as none: systemd eventually restarts a role that
/// waits for it, which loses nothing more.
#[test]
fn the_watchdog_is_fed_only_while_redis_works() {
    let (server, suite) = (Server::new(), Suite::new());
    let started = DAEMONS.map(|name| {
        let (manager, proxy) = (Manager::new(), Proxy::start(&server));
        let tool = manager.role(&proxy, name).dir(suite.path());
        let role = tool.args(arguments(name)).spawn();
        manager.wait_for("WATCHDOG=1");
        (name, manager, proxy, role)
    });
    // A replica without a master answers but refuses writes.
    server.run::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    for (_, _, proxy, role) in &started {
        role.wait_for_stderr(PATIENCE, |line| line.contains("lost Redis"));
        proxy.reset();
    }
    for (name, manager, proxy, _) in &started {
        // Requests in progress when Redis began to refuse are retried; but a worker's heartbeats
        // are not part of its loop.
        let work: &[&str] = match *name {
            "rrr-worker" => &["BLMOVE"],
            _ => &["BLMOVE", "EVALSHA", "SET"],
        };
        let tries = || {
            let commands = proxy.commands();
            let is_work = |name: &&String| work.iter().any(|work| name.starts_with(work));
            commands.iter().filter(is_work).count()
        };
        // The reporting thread may be ahead of the working one, which feeds before each attempt.
        eventually(PATIENCE, "a try", || (tries() >= 1).then_some(()));
        manager.heard();
        proxy.reset();
        // The pauses add up to more than the interval between two feedings.
        eventually(PATIENCE, "seven tries", || (tries() >= 7).then_some(()));
        let heard = manager.heard();
        let fed = heard.iter().find(|line| line.starts_with("WATCHDOG"));
        assert_eq!(fed, None, "{name}: {heard:?}");
    }
    server.run::<()>(&["REPLICAOF", "NO", "ONE"]);
    for (_, manager, _, role) in &started {
        manager.wait_for("WATCHDOG=1");
        role.term();
        role.wait(PATIENCE).expect_code(0);
    }
}

/// Redis answers slowly: reading the record takes longer than many feeding intervals, as with a
/// huge record. Feedings are at most one per second, so a save without any is recognized.
#[test]
fn the_watchdog_is_fed_while_a_long_record_is_saved() {
    let (server, manager) = (Server::new(), Manager::new());
    let taskset = raw::taskset(&server, "t", &["a.sh"])
        .set("status", "failed")
        .set("finished_at", &rrr::protocol::time::now());
    // Each slave is one piece and one round trip.
    for number in 0..100 {
        taskset.join_slave(&format!("rrrspec:worker:w:slave:{number}"), false);
    }
    let proxy = Proxy::start(&server);
    proxy.delay(std::time::Duration::from_millis(200));
    let tool = manager.role(&proxy, "rrr-persist");
    let role = tool.arg("--log-dir").arg(server.folder()).spawn();
    manager.wait_for("READY=1");
    server.push("rrrspec:persister_queue", &taskset.key);
    let pieces = || {
        let commands = proxy.transcript();
        let read = |seen: &&proxy::Seen| {
            let key = seen.args.first().map_or("", String::as_str);
            seen.name == "HGETALL" && key.contains(":slave:")
        };
        commands.iter().filter(read).count()
    };
    eventually(PATIENCE, "the save is under way", || {
        (pieces() > 0).then_some(())
    });
    manager.heard();
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1");
    }
    assert!(pieces() < 100, "the record was read before the third time");
    proxy.delay(std::time::Duration::ZERO);
    role.term();
    role.wait(PATIENCE).expect_code(0);
    assert!(server.list("rrrspec:persister_queue").is_empty());
}
