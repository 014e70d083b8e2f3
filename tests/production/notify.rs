//! What a role tells systemd.

use super::harness::*;
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

    fn role(&self, server: &Server, name: &str) -> Tool {
        Tool::new(server, name).env("NOTIFY_SOCKET", self.folder.path().join("notify"))
    }

    /// The lines that have come since the last look.
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
fn every_daemon_is_ready_when_it_can_work_and_says_what_it_does() {
    let (server, suite) = (Server::new(), Suite::new());
    for name in ["rrr-arbiter", "rrr-dispatch", "rrr-persist", "rrr-worker"] {
        let manager = Manager::new();
        let mut tool = manager.role(&server, name).dir(suite.path());
        if name == "rrr-persist" {
            tool = tool.args(["--log-dir", "log"]);
        } else if name == "rrr-worker" {
            tool = tool.args(["--in-place", "."]);
        }
        let role = tool.spawn();
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

#[test]
fn the_watchdog_is_fed_again_when_redis_is_back() {
    let server = Server::new();
    let manager = Manager::new();
    let role = manager.role(&server, "rrr-arbiter").spawn();
    manager.wait_for("WATCHDOG=1");
    server.kill();
    role.wait_for_stderr(PATIENCE, |line| line.contains("lost Redis"));
    manager.heard();
    server.restart();
    manager.wait_for("WATCHDOG=1");
}
