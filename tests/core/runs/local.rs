//! rrr-local: one machine, no service.

use crate::harness::*;
use std::path::Path;

#[test]
fn rrr_local_runs_everything_and_leaves_nothing() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("a", "").file("b", "");
    Tool::new(&server, "rrr-local")
        .args(["-j2", "a", "b", "--", "true"])
        .env("TMPDIR", suite.path())
        .dir(suite.path())
        .run()
        .expect_code(0);
    let left = std::fs::read_dir(suite.path()).unwrap().count();
    assert_eq!(left, 2, "only the spec files are left");
}

#[test]
fn rrr_local_without_redis_server_hints_how_to_install_it() {
    let suite = Suite::new();
    suite.file("a", "");
    let done = Tool::new("unused", "rrr-local")
        .args(["a", "--", "/bin/true"])
        .env("PATH", "/no/such/folder")
        .dir(suite.path())
        .run()
        .expect_code(2);
    assert!(done.stderr.contains("hint: apt-get install redis-server"));
}

#[test]
fn rrr_local_reports_why_its_processes_cannot_start() {
    let suite = Suite::new();
    suite.file("a", "");
    let deep = suite.path().join("d".repeat(100));
    std::fs::create_dir(&deep).unwrap();
    let alone = suite.path().join("rrr-local");
    std::fs::copy(bin("rrr-local"), &alone).unwrap();
    let local = |program: &Path| {
        Tool::program("unused", program)
            .args(["a", "--", "true"])
            .dir(suite.path())
    };
    for (tool, message, hint) in [
        (
            local(&bin("rrr-local")).env("TMPDIR", &deep),
            "socket path too long",
            "hint: set TMPDIR to a shorter path",
        ),
        (
            local(&alone),
            "rrr-arbiter': No such file",
            "hint: rrr-local needs the other tools in its own folder",
        ),
    ] {
        let done = tool.run().expect_code(2);
        assert!(done.stderr.contains(message), "{done:#?}");
        assert!(done.stderr.contains(hint), "{done:#?}");
    }
}

#[test]
fn rrr_local_ends_with_all_its_processes_on_ctrl_c() {
    let suite = Suite::new();
    suite.file("a.sh", "touch began; sleep 600");
    let local = Tool::new("unused", "rrr-local")
        .args(["a.sh", "--", "sh", "{}"])
        .env("TMPDIR", suite.path())
        .dir(suite.path())
        .spawn();
    eventually(PATIENCE, "the test begins", || {
        suite.path().join("began").exists().then_some(())
    });
    // As from timeout(1), which signals its child and the group: both are one request.
    local.stop();
    local.int();
    local.term();
    local.cont();
    local.wait(PATIENCE).expect_code(3);
    assert_eq!(local.family(), []);
    let left = std::fs::read_dir(suite.path()).unwrap().count();
    assert_eq!(left, 2, "the spec file and its trace");
}

#[test]
fn rrr_local_ends_when_any_of_its_processes_is_killed() {
    for victim in ["rrr-arbiter", "rrr-dispatch", "rrr-worker", "rrr-slave"] {
        let suite = Suite::new();
        suite.file("a.sh", "touch began; until [ -e go ]; do sleep 0.05; done");
        let local = Tool::new("unused", "rrr-local")
            .args(["-j1", "a.sh", "--", "sh", "{}"])
            .dir(suite.path())
            .spawn();
        eventually(PATIENCE, "the test begins", || {
            suite.path().join("began").exists().then_some(())
        });
        let family = local.family();
        let found = family.iter().find(|member| member.is(victim));
        found
            .unwrap_or_else(|| panic!("{family:?}"))
            .signal(Signal::KILL);
        suite.file("go", "");
        let done = local.wait(PATIENCE).expect_code(0);
        assert_eq!(done.receipt().succeeded, 1, "{victim} was killed");
    }
}

#[test]
fn rrr_local_reports_that_its_redis_died_and_cleans_up() {
    let suite = Suite::new();
    suite.file("a.sh", "touch began; sleep 600");
    let local = Tool::new("unused", "rrr-local")
        .args(["-j1", "a.sh", "--", "sh", "{}"])
        .env("TMPDIR", suite.path())
        .dir(suite.path())
        .spawn();
    eventually(PATIENCE, "the test begins", || {
        suite.path().join("began").exists().then_some(())
    });
    // It overwrites its environment, which marks the other processes of the family.
    let parent = local.pid().to_string();
    let children = Tool::program("unused", "pgrep")
        .args(["-P", &parent, "-f", "redis-server|valkey-server"])
        .run()
        .expect_code(0);
    let pid: i32 = children.stdout.trim().parse().expect("one child");
    let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
    rustix::process::kill_process(pid, Signal::KILL).expect("a child of rrr-local");
    let done = local.wait(PATIENCE).expect_code(70);
    let wanted = "redis-server died during the run (signal: 9 (SIGKILL))\nhint: ";
    let valkey = wanted.replace("redis", "valkey");
    let reported = done.stderr.contains(wanted) || done.stderr.contains(&valkey);
    assert!(reported, "{}", done.stderr);
    eventually(PATIENCE, "the last process ends", || {
        local.family().is_empty().then_some(())
    });
    let left = std::fs::read_dir(suite.path()).unwrap().flatten();
    let mut left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    left.sort();
    assert_eq!(left, ["a.sh", "began"]);
}

#[test]
fn a_file_is_one_task_however_it_is_named() {
    let suite = Suite::new();
    suite
        .file("a.sh", "echo x >>ran")
        .file("sub/b.sh", "exit 0");
    let absolute = suite.path().join("a.sh").display().to_string();
    let names = [
        "a.sh",
        "./a.sh",
        ".//a.sh",
        "sub/../a.sh",
        &absolute,
        "sub//b.sh",
    ];
    let list = format!("\u{feff}{}\r\n  \n./sub/b.sh\n", names.join("\n"));
    let by_list = ["--files-from", "-", "--", "sh", "{}"].map(str::to_owned);
    let by_names = names
        .iter()
        .chain(&["--", "sh", "{}"])
        .map(|name| (*name).to_owned());
    for (words, stdin) in [
        (by_names.collect::<Vec<_>>(), ""),
        (by_list.to_vec(), list.as_str()),
    ] {
        let local = Tool::new("unused", "rrr-local")
            .args(words)
            .dir(suite.path());
        let done = local.stdin(stdin).run().expect_code(0);
        let receipt = done.receipt();
        assert_eq!((receipt.tasks, receipt.succeeded), (2, 2));
        let mut files: Vec<String> = done
            .events_named("task_finished")
            .iter()
            .map(|event| event["spec_file"].as_str().unwrap().to_owned())
            .collect();
        files.sort();
        assert_eq!(files, ["a.sh", "sub/b.sh"]);
    }
    assert_eq!(suite.lines("ran").len(), 2);
}

#[test]
fn a_program_of_the_tree_runs_by_its_name() {
    let suite = Suite::new();
    suite.file("a.sh", "#!/bin/sh\nexit 0");
    let path = suite.path().join("a.sh");
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for name in ["a.sh", "./a.sh"] {
        let local = Tool::new("unused", "rrr-local").args([name, "--", "{}"]);
        local.dir(suite.path()).run().expect_code(0);
    }
}

#[test]
fn names_in_lists_are_checked_as_arguments_are() {
    let suite = Suite::new();
    suite.file("a.sh", "exit 0").file("sub/b.sh", "exit 0");
    for (list, wrong) in [
        ("a.sh\nmissing.sh\n", "'missing.sh' does not exist"),
        ("a.sh \n./a.sh\n", "remove the blanks around 'a.sh'"),
        ("a.sh\nsub\n", "'sub' is a folder"),
        ("a.sh\n../a.sh\n", "spec file '../a.sh'"),
    ] {
        let local = Tool::new("unused", "rrr-local").args(["--files-from", "-", "--", "sh", "{}"]);
        let done = local.dir(suite.path()).stdin(list).run().expect_code(2);
        assert!(done.stderr.contains(wrong), "{list:?}: {}", done.stderr);
    }
    // A list without a single file names tasks of another kind.
    let local = Tool::new("unused", "rrr-local").args(["--files-from", "-", "--", "true"]);
    let done = local
        .dir(suite.path())
        .stdin("one\ntwo\n")
        .run()
        .expect_code(0);
    assert_eq!(done.receipt().succeeded, 2);
}
