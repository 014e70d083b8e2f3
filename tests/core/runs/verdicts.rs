//! The verdicts of runs.

use crate::harness::*;

#[test]
fn passing_failing_pending_and_flaky_files_get_their_verdicts() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 2, suite.path());
    suite
        .file("pass.sh", "exit 0")
        .file("fail.sh", "exit 1")
        .file("pend.sh", "exit 77")
        .file("flaky.sh", "[ -e seen ] && exit 0; touch seen; exit 1");
    let done = submit(&server, &suite, &[]).wait(PATIENCE).expect_code(1);
    let receipt = done.receipt();
    assert_eq!(receipt.succeeded, 3);
    assert_eq!(receipt.failed, 1);
    assert_eq!(receipt.flaky, 1);
    let verdict = |file: &str| {
        let events = done.events_named("task_finished");
        let event = events.into_iter().find(|e| e["spec_file"] == file).unwrap();
        event["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(verdict("pass.sh"), "passed");
    assert_eq!(verdict("fail.sh"), "failed");
    assert_eq!(verdict("pend.sh"), "pending");
    assert_eq!(verdict("flaky.sh"), "passed");
}

#[test]
fn a_task_fails_at_max_trials_and_the_taskset_with_it() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "t", &["a"]).running();
    for id in ["1", "2"] {
        let trial = taskset.finish_trial("a", id, "timeout");
        server.tell_arbiter(format!("trial\t{trial}"));
    }
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.status().as_deref(), Some("failed"));
    assert_eq!(taskset.counts(), (0, 1));
}

#[test]
fn a_recorded_pass_counts_in_any_message_order() {
    let server = Server::new();
    let trials = ["failed", "passed", "error"];
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    for (number, order) in orders.into_iter().enumerate() {
        for good in ["passed", "pending"] {
            let id = format!("{good}{number}");
            let taskset = raw::taskset(&server, &id, &["a"]).running();
            let made: Vec<String> = trials
                .iter()
                .map(|status| if *status == "passed" { good } else { status })
                .map(|status| taskset.finish_trial("a", status, status))
                .collect();
            for place in order {
                server.tell_arbiter(format!("trial\t{}", made[place]));
            }
        }
    }
    drain(&server, "rrr-arbiter");
    for number in 0..orders.len() {
        for good in ["passed", "pending"] {
            let key = format!("rrrspec:taskset:{good}{number}");
            let field = |name| server.hget(&key, name);
            assert_eq!(field("status").as_deref(), Some("succeeded"), "{key}");
            assert_eq!(field("flaky_count").as_deref(), Some("1"), "{key}");
            let task = format!("{key}:task:a");
            assert_eq!(server.hget(&task, "status").as_deref(), Some(good));
        }
    }
}

#[test]
fn c3_a_task_counted_twice_by_two_arbiters_still_succeeds() {
    let server = Server::new();
    for (id, counts, last, verdict) in [
        ("twice", ("2", "0"), "passed", "succeeded"),
        ("early", ("0", "0"), "passed", "succeeded"),
        ("both", ("1", "1"), "passed", "succeeded"),
        ("red", ("2", "0"), "failed", "failed"),
    ] {
        // The other arbiter has judged the first task and counted it in its own way.
        let taskset = raw::taskset(&server, id, &["a", "b"])
            .set("max_trials", "1")
            .set("succeeded_count", counts.0)
            .set("failed_count", counts.1)
            .running();
        taskset.finish_trial("a", "1", "passed");
        server.hset(&taskset.task("a"), "status", "passed");
        let left = taskset.list_key("tasks_left");
        server.run::<i64>(&["LREM", &left, "0", &taskset.task("a")]);
        let trial = taskset.finish_trial("b", "1", last);
        server.tell_arbiter(format!("trial\t{trial}"));
        drain(&server, "rrr-arbiter");
        assert_eq!(taskset.status().as_deref(), Some(verdict), "{id}");
        let exact = if last == "passed" { (2, 0) } else { (1, 1) };
        assert_eq!(taskset.counts(), exact, "{id}");
        assert_eq!(taskset.get("fail_reason"), None, "{id}");
    }
}

#[test]
fn a_tree_travels_by_rsync_and_is_set_up_once() {
    let (server, suite) = (Server::new(), Suite::new());
    let (remote, work) = (Suite::new(), Suite::new());
    let text = "test -e made && test \"$RRRSPEC_WORKING_DIR\" = \"${PWD%/*}\"";
    suite.file("a.sh", text).file("b.sh", text);
    let remote = remote.path().join("trees");
    let _fleet = Fleet::start(&server);
    let _worker = Tool::new(&server, "rrr-worker")
        .args(["--worker-id", "w", "--slaves", "2", "--working-dir"])
        .arg(work.path())
        .arg("--rsync-remote-path")
        .arg(&remote)
        .spawn();
    let done = Tool::new(&server, "rrr-submit")
        .args(["--follow", "--mkpath", "--rsync-name", "me"])
        .arg("--rsync-remote-path")
        .arg(&remote)
        .args(["--setup", "test ! -e made; touch made"])
        .args(["a.sh", "b.sh", "--", "sh", "{}"])
        .dir(suite.path())
        .run();
    assert_eq!(done.expect_code(0).receipt().succeeded, 2);
}

#[test]
fn a_killed_slave_costs_a_trial_and_not_the_task() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 1, suite.path());
    suite.file(
        "a.sh",
        "[ -e seen ] && exit 0; touch seen; kill -9 $PPID; sleep 60",
    );
    let done = submit(&server, &suite, &[]).wait(PATIENCE);
    assert_eq!(done.expect_code(0).receipt().flaky, 1);
}

#[test]
fn any_valid_file_name_arrives_unchanged() {
    let (server, suite) = (Server::new(), Suite::new());
    let (remote, work) = (Suite::new(), Suite::new());
    let names = [
        "it's \"quoted\".sh",
        "  spaces  .sh",
        "ünïcode/\u{1f980}.sh",
        "$HOME;`id`&|*?.sh",
        "a:b:task:c.sh",
        "back\\slash.sh",
        "x{}.sh",
        "-flag.sh",
    ];
    for name in names {
        suite.file(name, "printf '%s\\n' \"$0\" >>\"$TRACE\"");
    }
    let trace = suite.path().join("trace");
    let _fleet = Fleet::start(&server);
    let _worker = Tool::new(&server, "rrr-worker")
        .args(["--worker-id", "w", "--slaves", "2", "--working-dir"])
        .arg(work.path())
        .arg("--rsync-remote-path")
        .arg(remote.path())
        .env("TRACE", &trace)
        .spawn();
    let submitter = || {
        let tool = Tool::new(&server, "rrr-submit");
        let tool = tool.arg("--rsync-remote-path").arg(remote.path());
        tool.args(["--follow", "--rsync-name", "me"])
            .dir(suite.path())
    };
    let command = ["--", "sh", "./{}"];
    let json = |name: &&str| serde_json::json!({ "spec_file": name }).to_string();
    let lists = [names.join("\n"), names.map(|name| json(&name)).join("\n")];
    let from_stdin = ["--files-from", "-"];
    let mut ways: Vec<Tool> = lists
        .map(|list| submitter().args(from_stdin).args(command).stdin(list))
        .into();
    let nul = submitter().args(from_stdin).arg("-0").args(command);
    ways.push(nul.stdin(names.join("\0")));
    // A name that looks like a flag must come from a list or include its folder.
    let (flag, others) = names.split_last().unwrap();
    assert_eq!(*flag, "-flag.sh");
    ways.push(submitter().args(others).arg("./-flag.sh").args(command));
    for way in ways {
        let _ = std::fs::remove_file(&trace);
        let done = way.run().expect_code(0);
        assert_eq!(done.receipt().succeeded as usize, names.len());
        let mut ran = suite.lines("trace");
        let mut wanted = names.map(|name| format!("./{name}"));
        ran.sort();
        wanted.sort();
        let ran: Vec<_> = ran.iter().map(|name| name.replace("././", "./")).collect();
        assert_eq!(ran, wanted);
    }
}

#[test]
fn processes_of_setup_live_until_the_taskset_ends() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let worker = fleet.worker("w", 2, suite.path());
    suite.many(6, "kill -0 $(cat daemon) || exit 1; sleep 0.02");
    let setup = "setsid sleep 1000 >/dev/null 2>&1 & echo $! >daemon";
    let done = submit(&server, &suite, &["--setup", setup, "--max-trials", "1"]).wait(PATIENCE);
    assert_eq!(done.expect_code(0).receipt().succeeded, 6);
    let daemon = suite.lines("daemon").remove(0);
    eventually(PATIENCE, "the end of the daemon", || {
        (!std::path::Path::new(&format!("/proc/{daemon}")).exists()).then_some(())
    });
    assert!(worker.is_running());
}
