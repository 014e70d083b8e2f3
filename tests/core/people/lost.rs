//! Messages that cannot be written: only the message is lost.

use crate::harness::*;

/// An unwritable stderr: the shell commands that prepare it, and the redirection.
const LOST: [(&str, &str); 3] = [
    ("", "2>&-"),
    ("", "2>/dev/full"),
    // Waits for the reader, so that the write fails.
    ("exec 3> >(exec true); wait $!; ", "2>&3"),
];

fn folder() -> String {
    bin("rrr-list").parent().unwrap().display().to_string()
}

#[test]
fn exit_codes_stay_when_stderr_cannot_be_written() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("good.sh", "").file("bad.sh", "echo why; exit 1");
    for (first, stderr) in LOST {
        for (call, wanted) in [
            ("rrr-show nope", 2),
            ("rrr-show rrrspec:taskset:nope", 2),
            ("rrr nothing", 2),
            ("rrr", 2),
            ("rrr-fsck --pause 0", 0),
            ("rrr-submit --bogus", 2),
            ("rrr-local --output plain good.sh -- sh {}", 0),
            ("rrr-local --output plain --max-trials 1 bad.sh -- sh {}", 1),
            ("rrr-local --output live --max-trials 1 bad.sh -- sh {}", 1),
            ("rrr-list tasksets --redis unix:///no/such/socket", 69),
        ] {
            let script = format!("{first}{}/{call} {stderr}", folder());
            let tool = Tool::program(&server, "bash").args(["-c", &script]);
            let code = tool.dir(suite.path()).run().code;
            assert_eq!(code, Some(wanted), "{call} {stderr}");
        }
    }
}

#[test]
fn daemons_survive_a_full_log() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("a.sh", "");
    let daemon = |call: &str| {
        let script = format!("exec {}/{call} 2>/dev/full", folder());
        let tool = Tool::program(&server, "bash").args(["-c", &script]);
        tool.dir(suite.path()).spawn()
    };
    // Each of them prints a message here.
    server.run::<i64>(&["RPUSH", "rrrspec:arbiter_queue", "bogus"]);
    server.run::<i64>(&["RPUSH", "rrrspec:persister_queue", "bogus"]);
    let roles = [
        daemon("rrr-arbiter"),
        daemon("rrr-dispatch"),
        daemon("rrr-persist"),
        daemon("rrr-worker --in-place . --worker-id box --slaves 1"),
    ];
    eventually(PATIENCE, "the arbiter refuses nonsense", || {
        let dead = server.run::<i64>(&["LLEN", "rrrspec:arbiter_queue:dead"]);
        (dead > 0).then_some(())
    });
    submit(&server, &suite, &[]).wait(PATIENCE).expect_code(0);
    drop(roles);
}
