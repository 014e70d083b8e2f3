//! Output for programs: JSON lines in real time, and a silent end when the reader closes.

use crate::harness::*;

const GO: &str = "until [ -e go ]; do sleep 0.02; done";

#[test]
fn a_pipe_gets_each_event_as_it_happens_and_nothing_else() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("fast.sh", "").file("slow.sh", GO);
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("box", 2, suite.path());
    let script = "rrr-submit --no-rsync --follow fast.sh slow.sh -- sh {} | jq -c --unbuffered 'select(.event==\"task_finished\")'";
    let path = bin("rrr-submit").parent().unwrap().display().to_string();
    let shell = Tool::program(&server, "sh")
        .args(["-c", script])
        .env("PATH", format!("{path}:{}", std::env::var("PATH").unwrap()))
        .dir(suite.path())
        .spawn();
    // The slow file is still running and waits for a signal, so the line was not buffered.
    shell.wait_for_line(PATIENCE, |line| line.contains("fast.sh"));
    std::fs::write(suite.path().join("go"), "").unwrap();
    let done = shell.wait(PATIENCE).expect_code(0);
    assert_eq!(done.events_named("task_finished").len(), 2);
    // On a slow machine, the submitter may report that it waits for a worker.
    let reported = done.stderr.lines();
    let more: Vec<_> = reported
        .filter(|line| !line.contains("waiting for"))
        .collect();
    assert_eq!(more, [""; 0], "a pipe sees the events, and nothing else");
}

#[test]
fn a_file_gets_the_events_too() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("a.sh", "");
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("box", 1, suite.path());
    let path = bin("rrr-submit").display().to_string();
    let script = format!("{path} --no-rsync --follow a.sh -- sh {{}} >events");
    Tool::program(&server, "sh")
        .args(["-c", &script])
        .dir(suite.path())
        .run()
        .expect_code(0);
    let last = suite.lines("events").pop().unwrap();
    assert!(last.contains("taskset_finished"), "{last}");
}

#[test]
fn plain_output_is_for_logs() {
    let (server, suite) = (Server::new(), Suite::new());
    suite
        .file("a.sh", "echo why; exit 3")
        .file("b.sh", "kill -9 $$");
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("box", 1, suite.path());
    let args = ["--output", "plain", "--max-trials", "1"];
    let done = submit(&server, &suite, &args).wait(PATIENCE).expect_code(1);
    assert_eq!(done.stderr, "");
    for wanted in [
        "FAIL   a.sh (exit 3",
        "    why\n",
        "FAIL   b.sh (SIGKILL",
        "failed: 2 tasks = 0 passed + 2 failed",
    ] {
        assert!(
            done.stdout.contains(wanted),
            "no '{wanted}' in\n{}",
            done.stdout
        );
    }
    assert!(
        !done.stdout.contains('\x1b'),
        "no colour without a terminal"
    );
}

#[test]
fn colours_can_be_forced_into_a_log() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("a.sh", "");
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("box", 1, suite.path());
    let tool = submit_tool(
        &server,
        &suite,
        ["a.sh"],
        &["--output", "plain"],
        &["sh", "{}"],
    );
    let done = tool.env("CLICOLOR_FORCE", "1").run().expect_code(0);
    assert!(done.stdout.contains("\x1b[32m"), "{:?}", done.stdout);
}

#[test]
fn a_reader_that_closes_early_is_not_an_error() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("a.sh", "");
    let fleet = Fleet::plan(&server).without_persister().start();
    let _worker = fleet.worker("box", 1, suite.path());
    let done = submit(&server, &suite, &[]).wait(PATIENCE).expect_code(0);
    let key = done.events()[0]["taskset"].as_str().unwrap().to_owned();
    let calls: &[&[&str]] = &[
        &["rrr-list", "tasksets"],
        &["rrr-list", "workers"],
        &["rrr-list", "queues"],
        &["rrr-watch", &key],
        &["rrr-show", &key],
        &["rrr-show", &key, "--format", "json"],
        &["rrr-show", &key, "--format", "junit"],
        &["rrr-show", &key, "--task", "a.sh"],
        &[
            "rrr-submit",
            "--no-rsync",
            "--follow",
            "a.sh",
            "--",
            "sh",
            "{}",
        ],
        &["rrr-submit", "--no-rsync", "a.sh", "--", "sh", "{}"],
        &["rrr-submit", "--print-config"],
        &["rrr-local", "a.sh", "--", "sh", "{}"],
        &["rrr-submit", "--help"],
        &["rrr-list", "--version"],
        &["rrr", "--list"],
        &["rrr", "--help"],
    ];
    for call in calls {
        let tool = Tool::new(&server, call[0])
            .args(&call[1..])
            .dir(suite.path());
        let done = tool.spawn_with_stdout_closed().wait(PATIENCE);
        let code = done.code;
        assert!(
            code == Some(141) || code == Some(0),
            "{call:?} ended with {code:?}"
        );
        assert_eq!(done.stderr, "", "{call:?}");
    }
}

#[test]
fn lists_are_json_lines_of_the_current_state() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("slow.sh", GO).file("queued.sh", "");
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("box", 1, suite.path());
    let submit = submit(&server, &suite, &[]);
    submit.wait_for_event("trial_started", PATIENCE);
    server.run::<i64>(&["RPUSH", "rrrspec:arbiter_queue", "bogus"]);
    let list = |what: &str| {
        Tool::new(&server, "rrr-list")
            .arg(what)
            .run()
            .expect_code(0)
            .events()
    };
    let tasksets = list("tasksets");
    assert_eq!(tasksets[0]["status"], "running");
    assert_eq!(tasksets[0]["tasks"], 2);
    let workers = list("workers");
    assert_eq!(workers[0]["worker"], "box");
    assert_eq!(workers[0]["alive"], true);
    assert_eq!(workers[0]["running"][0]["spec_file"], "slow.sh");
    assert!(workers[0]["running"][0]["since"].is_string());
    assert!(workers[0]["last_heartbeat_ms"].as_u64().unwrap() <= 15_000);
    let refused = eventually(PATIENCE, "the arbiter refuses nonsense", || {
        list("queues").into_iter().find(|queue| queue["dead"] == 1)
    });
    assert_eq!(refused["dead_messages"][0]["message"], "bogus");
    std::fs::write(suite.path().join("go"), "").unwrap();
    submit.wait(PATIENCE).expect_code(0);
}

#[test]
fn a_full_disk_is_reported_as_an_error() {
    let server = Server::new();
    for call in [
        "rrr-list queues",
        "rrr-submit --print-config",
        "rrr-local a.sh -- true",
    ] {
        let suite = Suite::new();
        suite.file("a.sh", "");
        let folder = bin("rrr-list").parent().unwrap().display().to_string();
        let script = format!("{folder}/{call} >/dev/full");
        let tool = Tool::program(&server, "sh")
            .args(["-c", &script])
            .dir(suite.path());
        let done = tool.run().expect_code(70);
        assert!(
            done.stderr
                .contains("cannot write to stdout: No space left"),
            "{call}: {}",
            done.stderr
        );
    }
}

#[test]
fn an_output_that_is_a_link_or_pipe_is_written_not_replaced() {
    let (server, suite) = (Server::new(), Suite::new());
    let at = |name: &str| suite.path().join(name);
    let write = |file: &str| {
        let args = ["--format", "prometheus", "--file", file];
        let stat = Tool::new(&server, "rrr-stat").args(args);
        stat.dir(suite.path()).run()
    };
    let is_page = |text: &str| text.contains("rrr_tasksets_total") && text.ends_with('\n');
    suite.file("real", "old");
    std::os::unix::fs::symlink("real", at("link")).unwrap();
    write("link").expect_code(0);
    assert!(at("link").is_symlink());
    assert!(is_page(&std::fs::read_to_string(at("real")).unwrap()));
    assert!(is_page(&write("/dev/stdout").expect_code(0).stdout));
    let made = std::process::Command::new("mkfifo")
        .arg(at("pipe"))
        .status();
    assert!(made.unwrap().success());
    let pipe = at("pipe");
    let reader = std::thread::spawn(move || std::fs::read_to_string(pipe).unwrap());
    write("pipe").expect_code(0);
    assert!(is_page(&reader.join().unwrap()));
    let full = write("/dev/full").expect_code(70);
    assert!(full.stderr.contains("cannot write '/dev/full'"), "{full:?}");
}

#[test]
fn a_retry_after_a_slaves_death_is_reported_with_the_reason() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 1, suite.path());
    let kills = "[ ! -e seen ] || exit 0; touch seen; kill -9 $PPID; sleep 10";
    suite.file("kills.sh", kills);
    let done = submit(&server, &suite, &["--output", "plain"]).wait(PATIENCE);
    let shown = done.expect_code(0).stdout;
    let again = shown.lines().find(|line| line.contains("again"));
    assert!(
        again.is_some_and(|line| line.contains("kills.sh (error: ")),
        "{shown}"
    );
}

#[test]
fn ctrl_c_names_the_tests_that_did_not_finish() {
    let suite = Suite::new();
    suite
        .file("quick.sh", "exit 0")
        .file("slow.sh", "touch begun; exec sleep 1000");
    let words = [
        "-j2", "--output", "plain", "quick.sh", "slow.sh", "--", "sh", "{}",
    ];
    let local = Tool::new("unused", "rrr-local")
        .args(words)
        .dir(suite.path())
        .spawn();
    eventually(PATIENCE, "the slow test begins", || {
        suite.path().join("begun").exists().then_some(())
    });
    local.int();
    let done = local.wait(PATIENCE).expect_code(3);
    let (_, stopped) = done
        .stdout
        .split_once("Stopped while running:")
        .expect("a heading");
    let stopped = stopped.split("\n\n").next().unwrap_or_default();
    assert!(
        stopped.contains("slow.sh") && !stopped.contains("quick.sh"),
        "{}",
        done.stdout
    );
}
