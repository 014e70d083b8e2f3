//! Campaign 7: misbehaving tests. The worker survives them, later files run, and no process
//! outlives its trial.

use crate::harness::*;
use std::time::Duration;

/// The processes with this mark in their environment.
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

/// Submits these files, once and in this order. Those of `hasty` time out after a second, the
/// others after minutes, so that only hanging tests time out, however slow the machine.
fn submit_hasty(server: &Server, suite: &Suite, hasty: &[&str], files: &[&str]) -> Finished {
    // Files without an estimate come first, then the longest.
    let unknown = hasty.iter().map(|file| format!("{file}\n"));
    let known = files.iter().zip((100..1000).rev()).map(|(file, seconds)| {
        format!("{{\"spec_file\":\"{file}\",\"estimate_sec\":{seconds}}}\n")
    });
    let args = [
        "--max-trials",
        "1",
        "--unknown-spec-timeout",
        "1",
        "--least-timeout",
        "1",
    ];
    let args = [&args[..], &["--files-from", "-"]].concat();
    let tool = submit_tool(server, suite, [""; 0], &args, &["sh", "{}"]);
    tool.stdin(unknown.chain(known).collect::<String>()).run()
}

/// Runs an abusive test and then a good file; expects the given status and no leftover process.
fn abuse(script: &str, status: &str) -> String {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let worker = fleet.worker("w", 1, suite.path());
    let mark = suite.path().display().to_string();
    let marked = format!("export MARK='{mark}'; exec sh -c '. ./body.sh'");
    suite.file("body.sh", script).file("abuser.sh", &marked);
    suite.file("good.sh", "exit 0");
    let done = match status {
        "timeout" => submit_hasty(&server, &suite, &["abuser.sh"], &["good.sh"]),
        _ => submit_hasty(&server, &suite, &[], &["abuser.sh", "good.sh"]),
    };
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
fn i10_orphans_double_forks_and_new_sessions_end_with_the_trial() {
    let reported = abuse(
        "setsid sleep 1000 & (setsid sh -c 'sleep 1000 & sleep 1000' &) ; (sleep 1000 &) ; sleep 0.2",
        "passed",
    );
    assert!(reported.contains("left behind"), "{reported}");
}

#[test]
fn i10_a_holder_of_stdout_does_not_keep_its_trial_open() {
    abuse("setsid sleep 1000 & exit 1", "failed");
}

/// A script whose output goes through a reader, which prints a last line at the end of the input.
const ENDS_WITH_ITS_TEST: &str =
    "mkfifo pipe; (cat; echo last words) <pipe >&2 & exec 9>pipe; echo more >&9; exit 0";

#[test]
fn a_leak_is_counted_in_the_record_and_named_in_the_output() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let _worker = fleet.worker("w", 1, suite.path());
    suite
        .file(
            "leaks.sh",
            "setsid sleep 1000 & a=$!; sleep 1001 & b=$!
             until [ \"$(cat /proc/$a/comm /proc/$b/comm | tr '\\n' ' ')\" = 'sleep sleep ' ]; do :; done",
        )
        .file("tidy.sh", ENDS_WITH_ITS_TEST)
        .file("hangs.sh", "sleep 1002 & sleep 1003");
    let done = submit_hasty(&server, &suite, &["hangs.sh"], &["leaks.sh", "tidy.sh"]);
    let done = done.expect_code(1);
    let reported = |file: &str| {
        let mut events = done.events_named("trial_finished").into_iter();
        let event = events.find(|event| event["spec_file"] == file);
        event.unwrap()["leaked"].clone()
    };
    assert_eq!(
        (reported("leaks.sh"), reported("tidy.sh")),
        (2.into(), ().into())
    );
    let key = done.receipt().taskset.as_str().to_owned();
    let show = |format| {
        let tool = Tool::new(&server, "rrr-show").args([&key, "--format", format]);
        tool.run().expect_code(0).stdout
    };
    let record: serde_json::Value = serde_json::from_str(&show("json")).unwrap();
    let tasks = record["tasks"].as_array().unwrap();
    let trial_of = |file: &str| {
        let task = tasks.iter().find(|task| task["spec_file"] == file);
        &task.unwrap()["trials"][0]
    };
    assert_eq!(trial_of("leaks.sh")["leaked"], 2, "{record:#}");
    let stderr = trial_of("leaks.sh")["stderr"].as_str().unwrap();
    let reported = "rrr: killed 2 process(es) that the test left behind: sleep, sleep\n";
    assert_eq!(stderr, reported);
    assert!(trial_of("tidy.sh").get("leaked").is_none());
    assert_eq!(trial_of("hangs.sh")["status"], "timeout");
    assert!(
        trial_of("hangs.sh").get("leaked").is_none(),
        "it was cut short"
    );
    assert!(show("text").contains("\nLeft behind:\n  leaks.sh: 2 processes\n"));
}

#[test]
fn a_test_leads_a_session_without_the_slaves_terminal() {
    // The fields after the bracket include the session and its terminal.
    abuse(
        "set -- $(sed 's/.*) //' /proc/$$/stat); [ $4 = $$ ] && [ $5 = 0 ]",
        "passed",
    );
}

#[test]
fn processes_that_exit_with_the_test_are_not_leaks() {
    let reported = abuse(ENDS_WITH_ITS_TEST, "passed");
    assert_eq!(reported, "more\nlast words\n");
}

/// A cgroup in which a worker can be started.
struct Delegated(std::path::PathBuf);

impl Delegated {
    fn make() -> Option<Self> {
        let name = format!("rrr-test-{}", uuid::Uuid::new_v4().simple());
        let folder = rrr::exec::child::cgroup::own().ok()?.join(name);
        std::fs::create_dir(&folder).ok()?;
        Some(Self(folder))
    }

    /// Starts a worker as the only process in the cgroup.
    fn worker(&self, server: &Server, suite: &Suite, args: &[&str]) -> Running {
        let enter = format!(
            "echo $$ >'{}/cgroup.procs' && exec \"$@\"",
            self.0.display()
        );
        let worker = Tool::program(server, "sh").args(["-c", &enter, "sh"]);
        let worker = worker.arg(bin("rrr-worker"));
        let worker = worker.args(["--worker-id", "w", "--slaves", "1", "--in-place"]);
        worker.arg(suite.path()).args(args).spawn()
    }

    fn children(&self) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(&self.0).unwrap().flatten();
        let paths = entries.map(|entry| entry.path());
        paths.filter(|path| path.is_dir()).collect()
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let _ = std::fs::write(self.0.join("cgroup.kill"), "1");
        let gone = || {
            let below = self.children();
            below
                .iter()
                .for_each(|path| drop(std::fs::remove_dir(path)));
            std::fs::remove_dir(&self.0).ok()
        };
        wait::within(PATIENCE, gone);
    }
}

const NO_CGROUP: &str = "no cgroup of version 2 can be made here";

#[test]
fn a_tests_cgroup_is_removed_however_its_slave_ends() {
    let Some(delegated) = Delegated::make() else {
        return skipped(NO_CGROUP);
    };
    let (server, suite) = (Server::new(), Suite::new());
    let _fleet = Fleet::plan(&server).without_persister().start();
    suite.file(
        "a.sh",
        "cat /proc/self/cgroup >cgroup.$RRR_ATTEMPT; echo $$ >pid.$RRR_ATTEMPT
         until [ -e go ]; do sleep 0.05; done",
    );
    let worker = delegated.worker(&server, &suite, &[]);
    let follower = submit(&server, &suite, &["--max-trials", "9"]);
    let cgroup_of = |attempt: u32| {
        let name = format!("cgroup.{attempt}");
        let lines = eventually(PATIENCE, "the test says where it is", || {
            let pid = suite.lines(&format!("pid.{attempt}"));
            (!pid.is_empty()).then(|| suite.lines(&name))
        });
        let group = lines.iter().find_map(|line| line.strip_prefix("0::"));
        let name = group.unwrap().rsplit('/').next().unwrap().to_owned();
        delegated.0.join(name)
    };
    let first = cgroup_of(1);
    assert_eq!(delegated.children(), vec![first], "below the worker's");
    let slave = worker.family().into_iter().find(|one| one.is("rrr-slave"));
    slave.expect("a slave").signal(Signal::KILL);
    let second = cgroup_of(2);
    assert_eq!(delegated.children(), vec![second], "the first is gone");
    // Leftovers of a worker killed with its slave are removed by the next worker.
    let slave = worker.family().into_iter().find(|one| one.is("rrr-slave"));
    let slave = slave.expect("a slave");
    slave.signal(Signal::STOP);
    worker.kill();
    slave.signal(Signal::KILL);
    let second =
        follower.wait_for_event_where("trial_started", PATIENCE, |event| event["attempt"] == 2);
    server.end_heartbeat(second["slave"].as_str().unwrap());
    let worker = delegated.worker(&server, &suite, &[]);
    let third = cgroup_of(3);
    assert_eq!(delegated.children(), vec![third], "the second is gone");
    suite.file("go", "");
    follower.wait(PATIENCE).expect_code(0);
    worker.term();
    worker.wait(PATIENCE).expect_code(0);
    assert!(
        delegated.children().is_empty(),
        "{:?}",
        delegated.children()
    );
}

#[test]
fn limits_of_a_trial_apply_where_cgroups_are_delegated() {
    let delegated = Delegated::make();
    let controllers = delegated
        .as_ref()
        .map(|delegated| std::fs::read_to_string(delegated.0.join("cgroup.controllers")).unwrap());
    let has = |name| controllers.as_ref().is_some_and(|all| all.contains(name));
    let Some(delegated) = delegated.as_ref().filter(|_| has("memory") && has("pids")) else {
        return skipped("no cgroup with the controllers memory and pids can be made here");
    };
    let (server, suite) = (Server::new(), Suite::new());
    let _fleet = Fleet::plan(&server).without_persister().start();
    let bounds = ["--trial-memory", "100", "--trial-pids", "20"];
    let worker = delegated.worker(&server, &suite, &bounds);
    suite
        .file("eats.sh", "exec python3 -c 'x = bytearray(300 << 20)'")
        .file("forks.sh", "for n in $(seq 40); do sleep 5 & done; wait")
        .file("good.sh", "exit 0");
    let done = submit(&server, &suite, &["--max-trials", "1"]).wait(PATIENCE);
    let done = done.expect_code(1);
    let finished = done.events_named("trial_finished");
    let of = |file: &str| finished.iter().find(|event| event["spec_file"] == file);
    assert_eq!(of("eats.sh").unwrap()["status"], "error");
    assert_ne!(of("forks.sh").unwrap()["status"], "passed");
    assert_eq!(of("good.sh").unwrap()["status"], "passed");
    let trial = of("eats.sh").unwrap()["trial"].as_str().unwrap();
    let reported = server.hget(trial, "stderr").unwrap();
    assert!(reported.contains("more than --trial-memory"), "{reported}");
    assert_eq!(worker.stderr(), "");
}

#[test]
fn unenforceable_limits_are_reported_once_and_stop_nothing() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    suite.many(3, "exit 0");
    // This cgroup contains other processes: then only the top one may limit others.
    let worker = fleet.worker_tool("w", 2, suite.path());
    let worker = worker.args(["--trial-pids", "5000"]).spawn();
    submit(&server, &suite, &[]).wait(PATIENCE).expect_code(0);
    worker.term();
    let said = worker.wait(PATIENCE).expect_code(0).stderr;
    let times = said.matches("cannot be enforced here").count();
    let own = rrr::exec::child::cgroup::own().map(|own| own.join("cgroup.controllers"));
    let there = own.and_then(std::fs::read_to_string).unwrap_or_default();
    if there.split_whitespace().any(|name| name == "pids") && times == 0 {
        return skipped("the bounds can be kept here");
    }
    assert_eq!(times, 1, "{said}");
}

#[test]
fn l4_a_test_that_ignores_signals_is_killed_at_its_hard_timeout() {
    let script = "trap '' TERM INT HUP QUIT; while :; do sleep 1; done";
    abuse(script, "timeout");
}

#[test]
fn a_test_that_ignores_its_soft_timeout_can_be_cancelled() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file(
        "x",
        "trap 'touch asked' TERM\necho $PPID >slave\nwhile :; do sleep 0.1; done\n",
    );
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 1, suite.path());
    // Killed after 31 s unless it is stopped before.
    let hasty = ["--unknown-spec-timeout", "1", "--least-timeout", "1"];
    let run = submit_tool(&server, &suite, ["x"], &hasty, &["sh", "{}"]).spawn();
    let submitted = run.wait_for_event("taskset_submitted", PATIENCE);
    let key = submitted["taskset"].as_str().unwrap();
    eventually(PATIENCE, "the test is asked to end", || {
        suite.path().join("asked").exists().then_some(())
    });
    let slave = suite.lines("slave").remove(0);
    let reads = || {
        let io = std::fs::read_to_string(format!("/proc/{slave}/io")).ok()?;
        let count = io.lines().find_map(|line| line.strip_prefix("syscr: "))?;
        Some(count.parse::<u64>().unwrap())
    };
    let before = reads().expect("the slave lives");
    server.run::<String>(&["XADD", &format!("{key}:wake"), "*", "work", ""]);
    Tool::new(&server, "rrr-cancel")
        .arg(key)
        .run()
        .expect_code(0);
    let mut after = before;
    eventually(Duration::from_secs(20), "the slave is gone", || {
        let count = reads();
        after = count.unwrap_or(after);
        count.is_none().then_some(())
    });
    assert!(
        after - before < 1000,
        "it has read {} times",
        after - before
    );
    run.wait(PATIENCE).expect_code(3);
}

#[test]
fn i10_a_test_that_stops_itself_is_ended() {
    abuse("kill -STOP $$", "timeout");
}

#[test]
fn i10_a_fork_bomb_is_gone_after_its_trial() {
    // Bounded by the shell's limit where that applies, otherwise by its depth.
    let script = "b() { [ $1 -gt 6 ] && exec sleep 1000; b $(($1+1)) & b $(($1+1)) & wait; }; b 0";
    abuse(script, "timeout");
}

#[test]
fn a_test_that_runs_out_of_memory_is_one_error() {
    abuse(
        "ulimit -v 200000; exec python3 -c 'x = bytearray(1 << 30)'",
        "failed",
    );
}

#[test]
fn s8_a_test_inherits_no_rrr_descriptor_or_credential() {
    let script = "ls /proc/self/fd >fds; env >env; cat /proc/$PPID/environ >parent 2>&1; exit 0";
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let worker = fleet.worker_tool("w", 1, suite.path());
    let worker = worker
        .env("REDIS_URL", "redis://app")
        .env("REDIS_HOST", "app");
    let _worker = worker.env("OF_OURS", server.url()).spawn();
    suite.file("looks.sh", script);
    submit(&server, &suite, &[]).wait(PATIENCE).expect_code(0);
    // ls itself has the folder open as 3.
    assert_eq!(suite.lines("fds"), ["0", "1", "2", "3"]);
    let socket = server.socket().display().to_string();
    for line in suite.lines("env") {
        assert!(!line.contains(&socket), "{line}");
    }
    for suites_own in ["REDIS_URL=redis://app", "REDIS_HOST=app"] {
        assert!(suite.lines("env").contains(&suites_own.to_owned()));
    }
    // Root may read everything; other users may not read the environment of a slave.
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
