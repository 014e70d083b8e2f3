//! Campaign 7: tests that do what no test should. The worker survives all of it, the files after
//! it run, and nothing of it outlives its trial.

use crate::harness::*;

/// Processes that carry this in their environment.
fn survivors(mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let text = String::from_utf8_lossy(&environ);
        if text.split('\0').any(|pair| pair == format!("MARK={mark}")) {
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            found.push(format!(
                "{} {}",
                entry.file_name().to_string_lossy(),
                name.trim()
            ));
        }
    }
    found
}

/// Runs an abuser, and a good file after it; expects the abuser's status, and that nothing stays.
fn abuse(script: &str, status: &str, args: &[&str]) -> String {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let worker = fleet.worker("w", 1, suite.path());
    let mark = suite.path().display().to_string();
    let marked = format!("export MARK='{mark}'; exec sh -c '. ./body.sh'");
    suite.file("body.sh", script).file("abuser.sh", &marked);
    suite.file("good.sh", "exit 0");
    let args = [&["--max-trials", "1"], args].concat();
    let files = ["abuser.sh", "good.sh"];
    let done = submit_tool(&server, &suite, files, &args, &["sh", "{}"]).run();
    let finished = done.events_named("trial_finished");
    let of = |file: &str| finished.iter().find(|event| event["spec_file"] == file);
    assert_eq!(of("abuser.sh").unwrap()["status"], status, "{done:#?}");
    assert_eq!(of("good.sh").unwrap()["status"], "passed");
    assert!(worker.is_running());
    let left = survivors(&mark);
    assert!(left.is_empty(), "{left:?}");
    let trial = of("abuser.sh").unwrap()["trial"].as_str().unwrap();
    server.hget(trial, "stderr").unwrap_or_default()
}

#[test]
fn i10_orphans_double_forks_and_new_sessions_end_with_their_trial_and_are_told() {
    let told = abuse(
        "setsid sleep 1000 & (setsid sh -c 'sleep 1000 & sleep 1000' &) ; (sleep 1000 &) ; sleep 0.2",
        "passed",
        &[],
    );
    assert!(told.contains("left behind"), "{told}");
}

#[test]
fn i10_a_holder_of_stdout_does_not_keep_its_trial_open() {
    abuse("setsid sleep 1000 & exit 1", "failed", &[]);
}

#[test]
fn l4_a_test_that_ignores_every_signal_is_killed_at_its_hard_timeout() {
    let script = "trap '' TERM INT HUP QUIT; while :; do sleep 1; done";
    abuse(script, "timeout", &["--unknown-spec-timeout", "1"]);
}

#[test]
fn i10_a_test_that_stops_itself_is_ended() {
    abuse("kill -STOP $$", "timeout", &["--unknown-spec-timeout", "1"]);
}

#[test]
fn i10_a_bomb_of_forks_is_gone_after_its_trial() {
    // Bounded by the shell's own limit where that counts, and by its depth where it does not.
    let script = "b() { [ $1 -gt 6 ] && exec sleep 1000; b $(($1+1)) & b $(($1+1)) & wait; }; b 0";
    abuse(script, "timeout", &["--unknown-spec-timeout", "1"]);
}

#[test]
fn a_test_that_runs_out_of_memory_is_one_error() {
    abuse(
        "ulimit -v 200000; exec python3 -c 'x = bytearray(1 << 30)'",
        "failed",
        &[],
    );
}

#[test]
fn s8_a_test_holds_no_descriptor_and_no_credential_of_ours() {
    let script = "ls /proc/self/fd >fds; env >env; cat /proc/$PPID/environ >parent 2>&1; exit 0";
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let _worker = fleet.worker("w", 1, suite.path());
    suite.file("looks.sh", script);
    submit(&server, &suite, &[]).wait(PATIENCE).expect_code(0);
    // 3 is ls's own, of the folder.
    assert_eq!(suite.lines("fds"), ["0", "1", "2", "3"]);
    let socket = server.socket().display().to_string();
    for line in suite.lines("env") {
        let name = line.split('=').next().unwrap();
        assert!(!name.starts_with("REDIS"), "{line}");
        assert!(!line.contains(&socket), "{line}");
    }
    // Root may read anything; others may not read the environment of a slave.
    if !rustix::process::geteuid().is_root() {
        assert!(suite.lines("parent")[0].contains("ermission denied"));
    }
}

#[test]
fn only_the_allowed_variables_reach_a_test() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let worker = fleet.worker_tool("w", 1, suite.path());
    let worker = worker.args(["--env-allow", "PATH,COLOUR"]);
    let _worker = worker.env("COLOUR", "red").env("SECRET", "42").spawn();
    suite.file("looks.sh", "env >env");
    submit(&server, &suite, &[]).wait(PATIENCE).expect_code(0);
    let lines = suite.lines("env");
    assert!(lines.contains(&"COLOUR=red".to_owned()), "{lines:?}");
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("RRRSPEC_TASKSET_KEY="))
    );
    assert!(
        !lines.iter().any(|line| line.starts_with("SECRET=")),
        "{lines:?}"
    );
}
