//! Objects that a test plants in place of a file or folder: the next test still starts clean, and
//! no tool blocks on them.

use crate::harness::*;
use serde_json::Value;

fn local(suite: &Suite, args: &[&str]) -> Tool {
    let tool = Tool::new("unused", "rrr-local").args(["-j1", "--max-trials", "1"]);
    tool.args(args).dir(suite.path())
}

/// The statuses of the trials, sorted by spec file.
fn statuses(done: &Finished) -> Vec<String> {
    let mut trials = done.events_named("trial_finished");
    trials.sort_by_key(|event| event["spec_file"].to_string());
    let word = |event: &Value| event["status"].as_str().unwrap_or_default().to_owned();
    trials.iter().map(word).collect()
}

const REPORT: &str = "printf '<testsuite><testcase name=\"x\"/></testsuite>' >\"$XML_OUTPUT_FILE\"";

#[test]
fn a_report_path_without_a_file_affects_only_its_own_trial() {
    for path in ["", ":reports/r.xml"] {
        let suite = Suite::new();
        std::fs::create_dir(suite.path().join("reports")).unwrap();
        let report = match path {
            "" => "$XML_OUTPUT_FILE",
            _ => "reports/r.xml",
        };
        let plants = [
            "mkfifo R",
            "mkdir -p R/a/b; chmod 555 R/a R",
            "ln -s /dev/zero R",
            "mkfifo p; ln -s \"$PWD/p\" R",
            "python3 -c 'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' R",
        ];
        for (number, plant) in plants.iter().enumerate() {
            let plant = plant.replace('R', &format!("\"{report}\""));
            suite.file(&format!("{number}-plants.sh"), &plant);
            let good = REPORT.replace("$XML_OUTPUT_FILE", report);
            suite.file(&format!("{number}-then.sh"), &good);
        }
        let slave = format!("rrr-slave --report junit{path} -- sh {{}}");
        let files: Vec<String> = (0..plants.len())
            .flat_map(|n| [format!("{n}-plants.sh\n"), format!("{n}-then.sh\n")])
            .collect();
        let tool = local(&suite, &["--slave", &slave, "--files-from", "-"]);
        let done = tool.stdin(files.concat()).owning(&suite).run();
        let done = done.expect_code(1);
        let expected = ["error", "passed"].repeat(plants.len());
        assert_eq!(statuses(&done), expected, "{path} {done:#?}");
    }
}

#[test]
fn a_damaged_temporary_folder_is_clean_for_the_next_test() {
    let (suite, tmp) = (Suite::new(), tempfile::tempdir().unwrap());
    suite
        .file(
            "0-closes.sh",
            "mkdir -p \"$TEST_TMPDIR/a/b\"; touch \"$TEST_TMPDIR/a/b/c\"
             chmod 555 \"$TEST_TMPDIR/a/b\" \"$TEST_TMPDIR/a\" \"$TEST_TMPDIR\"",
        )
        .file("1-removes.sh", "rm -rf \"$TEST_TMPDIR\"")
        .file(
            "2-replaces.sh",
            "rm -rf \"$TEST_TMPDIR\"; ln -s / \"$TEST_TMPDIR\"",
        )
        .file("3-empties.sh", "rm -rf \"$TMPDIR\"/* \"$TMPDIR\"")
        .file(
            "4-looks.sh",
            "[ -z \"$(ls -A \"$TEST_TMPDIR\")\" ] && touch \"$TEST_TMPDIR/x\" && mktemp",
        );
    let files = "0-closes.sh\n1-removes.sh\n2-replaces.sh\n3-empties.sh\n4-looks.sh\n";
    std::os::unix::fs::chown(tmp.path(), Some(NOBODY), Some(NOBODY)).ok();
    let tool = local(&suite, &["--files-from", "-", "--", "sh", "{}"]).stdin(files);
    let done = tool.env("TMPDIR", tmp.path()).owning(&suite).run();
    assert_eq!(statuses(&done.expect_code(0)), ["passed"; 5]);
    assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 0);
}

#[test]
fn emptying_tmpdir_and_killing_the_slave_changes_no_verdict() {
    let suite = Suite::new();
    suite
        .file(
            "a.sh",
            "rm -rf \"$TMPDIR\"/*; mkdir once && kill -9 $PPID; exit 0",
        )
        .file("b.sh", "exit 0");
    let args = ["--max-trials", "3", "a.sh", "b.sh", "--", "sh", "{}"];
    let tool = Tool::new("unused", "rrr-local").arg("-j1").args(args);
    let done = tool.dir(suite.path()).run().expect_code(0);
    assert_eq!(done.receipt().succeeded, 2);
    assert_eq!(done.receipt().flaky, 1);
}

#[test]
fn s8_a_test_under_rrr_local_finds_no_redis_and_no_password() {
    let suite = Suite::new();
    suite.file(
        "a.sh",
        "s=$(dirname \"$TMPDIR\")/redis.sock; [ -S \"$s\" ] || exit 2
         redis-cli -s \"$s\" PING >answer 2>&1
         for p in $(pgrep -f 'rrr-|redis-server'); do
           tr '\\0' '\\n' <\"/proc/$p/environ\"; tr '\\0' '\\n' <\"/proc/$p/cmdline\"
         done 2>/dev/null | grep -aE '[0-9a-f]{64}|requirepass .' >seen
         ls \"$TMPDIR\" >tmp; exit 1",
    );
    let done = local(&suite, &["a.sh", "--", "sh", "{}"])
        .owning(&suite)
        .run();
    assert_eq!(done.expect_code(1).receipt().failed, 1);
    let answer = suite.lines("answer").concat();
    assert!(answer.contains("NOAUTH"), "{answer}");
    assert_eq!(suite.lines("tmp"), [""; 0]);
    assert_eq!(suite.lines("seen"), [""; 0]);
}

#[test]
fn i13_followers_distrust_an_end_that_the_hash_contradicts() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["a"]).running();
    let event = "{\"event\":\"taskset_finished\",\"status\":\"succeeded\",\"tasks\":1,\
                 \"succeeded\":1,\"failed\":0,\"flaky\":0,\"fail_reason\":null}";
    let forge = || {
        let key = taskset.list_key("events");
        server.run::<String>(&["XADD", &key, "*", "event", event]);
    };
    forge();
    let tools = ["rrr-wait", "rrr-watch"].map(|name| Tool::new(&server, name).arg(&taskset.key));
    let running = tools.map(Tool::spawn);
    eventually(PATIENCE, "both have read the event", || {
        let clients = server.run::<String>(&["CLIENT", "LIST"]);
        (clients.matches("cmd=xread").count() >= 2).then_some(())
    });
    assert!(running.iter().all(Running::is_running));
    let trial = taskset.finish_trial("a", "1", "failed");
    server.hset(&taskset.key, "max_trials", "1");
    server.tell_arbiter(format!("trial\t{trial}"));
    drain(&server, "rrr-arbiter");
    for tool in running {
        let done = tool.wait(PATIENCE).expect_code(1);
        assert!(
            !done.stdout.contains("\"status\":\"succeeded\""),
            "{done:#?}"
        );
    }
}

#[test]
fn a_pipe_in_place_of_a_file_blocks_no_tool() {
    let (server, suite, tmp) = (Server::new(), Suite::new(), tempfile::tempdir().unwrap());
    let pipe = |path: &std::path::Path| {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    };
    let at = |name: &str| suite.path().join(name);
    for name in ["p", ".rrr.toml", ".drain.lock"] {
        pipe(&at(name));
    }
    std::fs::create_dir(tmp.path().join("rrr-slave-x")).unwrap();
    pipe(&tmp.path().join("rrr-slave-x/lock"));
    let refuses = |tool: Tool, message: &str| {
        let done = tool.dir(suite.path()).run();
        assert!(matches!(done.code, Some(2 | 70)), "{done:#?}");
        assert!(done.stderr.contains(message), "{done:#?}");
    };
    let submit = || Tool::new(&server, "rrr-submit").args(["--no-rsync", "a", "--", "true"]);
    refuses(submit(), "not a regular file");
    std::fs::remove_file(at(".rrr.toml")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", at(".rrr.toml")).unwrap();
    refuses(submit(), "symbolic link");
    std::fs::remove_file(at(".rrr.toml")).unwrap();
    let list = || Tool::new(&server, "rrr-list").arg("tasksets");
    refuses(list().args(["--redis-password-file", "p"]), "not a regular");
    let worker = || Tool::new(&server, "rrr-worker").args(["--once", "--in-place", "."]);
    refuses(worker().args(["--trust", "p"]), "not a regular file");
    let persist = Tool::new(&server, "rrr-persist").args(["--drain", "--log-dir", "."]);
    refuses(persist, "not a regular file");
    refuses(
        Tool::new(&server, "rrr-stat").args(["--file", "p"]),
        "the pipe has no reader",
    );
    suite.file("good.sh", "exit 0");
    let done = local(&suite, &["good.sh", "--", "sh", "{}"]).env("TMPDIR", tmp.path());
    done.run().expect_code(0);
}
