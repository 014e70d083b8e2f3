//! Processes left when others are killed: no process of a trial outlives its slave, worker or
//! guardian, whatever signals the test ignores.

use crate::harness::*;
use rustix::process::{Pid, kill_process_group};

/// A test that ignores signals, with an orphan in a separate session, until the file `over` exists.
const DEAF: &str = "[ ! -e over ] || exit 0
    trap '' TERM INT HUP QUIT
    setsid sh -c 'sleep 1001 & sleep 1002' &
    sleep 0.05; touch began; sleep 1003; sleep 1004";

fn has_begun(suite: &Suite) {
    eventually(PATIENCE, "the test begins", || {
        suite.path().join("began").exists().then_some(())
    });
}

fn is_of_a_test(member: &process_tree::Member) -> bool {
    member.command.contains("a.sh") || member.command.contains("sleep 100")
}

fn all_is_gone(running: &Running) {
    eventually(PATIENCE, "the end of all it started", || {
        running.family().is_empty().then_some(())
    });
}

fn kill_group(running: &Running, signal: Signal) {
    let pid = i32::try_from(running.pid()).ok().and_then(Pid::from_raw);
    kill_process_group(pid.expect("a process id"), signal).expect("its group");
}

#[test]
fn i10_killing_a_workers_group_leaves_no_test_process() {
    let (server, suite) = (Server::new(), Suite::new());
    let _fleet = Fleet::plan(&server).without_persister().start();
    suite.file("a.sh", DEAF);
    let _follower = submit(&server, &suite, &[]);
    let worker = Tool::new(&server, "rrr-worker");
    let worker = worker.args(["--worker-id", "w", "--slaves", "1", "--in-place"]);
    let worker = worker.arg(suite.path()).spawn();
    has_begun(&suite);
    kill_group(&worker, Signal::KILL);
    all_is_gone(&worker);
}

#[test]
fn i10_a_killed_slave_or_guardian_leaks_nothing() {
    for victim in ["rrr-slave", "test-guardian"] {
        let (server, suite) = (Server::new(), Suite::new());
        let fleet = Fleet::plan(&server).without_persister().start();
        let worker = fleet.worker("w", 1, suite.path());
        suite.file("a.sh", DEAF);
        let follower = submit(&server, &suite, &[]);
        has_begun(&suite);
        suite.file("over", "");
        let family = worker.family();
        let found = family.iter().find(|member| member.is(victim));
        let found = found.unwrap_or_else(|| panic!("{family:?}"));
        found.signal(Signal::KILL);
        let done = follower.wait(PATIENCE).expect_code(0);
        assert_eq!(done.receipt().flaky, 1, "{victim}");
        eventually(PATIENCE, "the end of the test", || {
            (!worker.family().iter().any(is_of_a_test)).then_some(())
        });
        assert!(worker.is_running(), "{victim}");
    }
}

#[test]
fn i10_a_killed_worker_leaves_no_process_of_its_setup() {
    for (setup, wanted) in [
        (
            "trap '' TERM; touch began; sleep 1001; sleep 1002",
            "in the setup",
        ),
        ("setsid sleep 1001 & disown; sleep 0.1", "behind it"),
    ] {
        let (server, suite) = (Server::new(), Suite::new());
        let fleet = Fleet::plan(&server).without_persister().start();
        let worker = fleet.worker("w", 1, suite.path());
        suite.file(
            "a.sh",
            "pgrep -f 'sleep 1001' >found; touch began; sleep 1003",
        );
        let _follower = submit(&server, &suite, &["--setup", setup]);
        has_begun(&suite);
        eventually(PATIENCE, wanted, || {
            let family = worker.family();
            family.iter().any(|m| m.is("sleep")).then_some(())
        });
        if wanted == "behind it" {
            assert!(!suite.lines("found").is_empty(), "it runs beside the tests");
        }
        kill_group(&worker, Signal::KILL);
        all_is_gone(&worker);
    }
}

#[test]
fn i10_a_killed_rrr_local_leaves_no_test_process() {
    for signal in [Signal::KILL, Signal::QUIT] {
        let suite = Suite::new();
        suite.file("a.sh", DEAF);
        let local = Tool::new("unused", "rrr-local")
            .args(["-j2", "a.sh", "--", "sh", "{}"])
            .dir(suite.path())
            .spawn();
        has_begun(&suite);
        local.signal(signal);
        all_is_gone(&local);
    }
}

#[test]
fn i10_chains_of_forks_are_killed_and_reported() {
    let suite = Suite::new();
    // Each link starts the next in a new session and exits.
    let link = "os.setsid()\nwhile True:\n    if os.fork(): os._exit(0)\n    os.setsid()\n";
    let chain = format!(
        "import os\nfor _ in range(20):\n    if os.fork() == 0:\n        {}",
        { link.replace('\n', "\n        ") }
    );
    suite
        .file("chain.py", &chain)
        .file("a.sh", "python3 chain.py");
    suite.file("b.sh", "exit 0");
    let local = Tool::new("unused", "rrr-local")
        .args(["-j1", "a.sh", "b.sh", "--", "sh", "{}"])
        .dir(suite.path())
        .spawn();
    let trial = local.wait_for_event_where("trial_finished", PATIENCE, |event| {
        event["spec_file"] == "a.sh"
    });
    // A link that exits just before it is killed is not counted.
    let leaked = trial["leaked"].as_u64().unwrap_or(0);
    assert!(leaked >= 1, "{trial}");
    assert!(
        !local
            .family()
            .iter()
            .any(|m| m.command.contains("chain.py"))
    );
    let done = local.wait(PATIENCE).expect_code(0);
    assert_eq!(done.receipt().succeeded, 2);
}

#[test]
fn a_slave_stopped_by_a_test_is_replaced() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let worker = fleet.worker_tool("w", 1, suite.path());
    let worker = worker.args(["--heartbeat", "3"]).spawn();
    suite.file("a.sh", "mkdir once && kill -STOP $PPID; exit 0");
    suite.file("b.sh", "exit 0");
    let done = submit(&server, &suite, &[]).wait(PATIENCE).expect_code(0);
    assert_eq!(done.receipt().succeeded, 2);
    assert!(worker.stderr().contains("killing and replacing it"));
}
