//! The recipes of the README, run verbatim.

use crate::harness::*;

/// The commands below the text `title` in the README, up to the next text.
fn recipe(title: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let (_, rest) = readme.split_once("\n## Recipes\n").expect("recipes");
    let (_, rest) = rest
        .split_once(title)
        .unwrap_or_else(|| panic!("no '{title}'"));
    let lines = rest.lines().skip_while(|line| !line.starts_with("    "));
    let code = lines.take_while(|line| line.is_empty() || line.starts_with("    "));
    code.map(str::trim_start).collect::<Vec<_>>().join("\n")
}

/// A shell with the rrr tools in PATH, in the folder of the suite.
fn shell(server: &Server, suite: &Suite, script: &str) -> Tool {
    let ours = bin("rrr-submit").parent().unwrap().display().to_string();
    let path = format!("{ours}:{}", std::env::var("PATH").unwrap());
    Tool::program(server, "sh")
        .args(["-c", script])
        .env("PATH", path)
        .env("BUILD_ID", "17")
        .env("RRR_TASKSET", "rrrspec:taskset:ci-17")
        .dir(suite.path())
}

#[test]
fn several_ci_jobs_share_one_suite() {
    let (server, suite) = (Server::new(), Suite::new());
    for number in 0..20 {
        suite.file(&format!("tests/t{number}.sh"), "exit 0");
    }
    suite.file("tests/bad.sh", "exit 1");
    let worker = recipe("Any number of other jobs run the tests");
    let job = |index: &str| shell(&server, &suite, &worker).env("CI_NODE_INDEX", index);
    // One job starts before the submitter, and one after.
    let early = job("1").spawn();
    eventually(PATIENCE, "the early job is there", || {
        (server.run::<i64>(&["SCARD", "rrrspec:worker"]) == 1).then_some(())
    });
    let submit = shell(
        &server,
        &suite,
        &recipe("One job submits, judges and reports"),
    )
    .spawn();
    let late = job("2").spawn();
    let done = submit.wait(PATIENCE).expect_code(1);
    let wanted = "failed: 21 tasks = 20 passed + 1 failed + 0 pending";
    assert!(done.stdout.contains(wanted), "{}", done.stdout);
    let report = suite.lines("junit.xml").join("\n");
    assert!(
        report.contains("tests=\"21\" skipped=\"0\" failures=\"1\""),
        "{report}"
    );
    early.wait(PATIENCE).expect_code(0);
    late.wait(PATIENCE).expect_code(0);
}

#[test]
fn cron_persists_finished_tasksets() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("a.sh", "");
    let fleet = Fleet::plan(&server).without_persister().start();
    let worker = fleet.worker("box", 1, suite.path());
    let done = submit(&server, &suite, &[]).wait(PATIENCE).expect_code(0);
    let key = done.events()[0]["taskset"].as_str().unwrap().to_owned();
    // Its log at the end is in the record too.
    worker.term();
    worker.wait(PATIENCE).expect_code(0);
    let line = recipe("Persist from cron");
    let command = line.split_once("* * * * ").expect("a crontab line").1;
    let records = suite.path().join("records").display().to_string();
    let command = command
        .replace("redis://db:6379", &server.url())
        .replace("/var/log/rrr", &records);
    let db = format!("sqlite:{}", suite.path().join("history.db").display());
    let shell = |command: &str| {
        shell(&server, &suite, command)
            .env("RRR_DB", &db)
            .env("RRR_LOG_DIR", &records)
            .env("KEY", &key)
    };
    let show = || {
        shell("rrr-show \"$KEY\" --format json")
            .run()
            .expect_code(0)
            .stdout
    };
    let before = show();
    shell(&command).run().expect_code(0);
    assert_eq!(server.run::<i64>(&["LLEN", "rrrspec:persister_queue"]), 0);
    server.run::<String>(&["FLUSHALL"]);
    assert_eq!(show(), before, "rrr-show reads the persisted record");
}

#[test]
fn a_file_is_run_until_it_fails() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("tests/suspect.sh", "echo x >>ran; [ $(wc -l <ran) -lt 3 ]");
    shell(&server, &suite, &recipe("Run a file until it fails")).run();
    assert_eq!(suite.lines("ran").len(), 3);
}

#[test]
fn jq_recipes_work() {
    let (server, suite) = (Server::new(), Suite::new());
    suite
        .file("bad.sh", "exit 1")
        .file("flaky.sh", "[ -e seen ] && exit 0; touch seen; exit 1")
        .file("good.sh", "exit 0");
    let fleet = Fleet::plan(&server).without_persister().start();
    let _worker = fleet.worker("box", 2, suite.path());
    let done = submit(&server, &suite, &["--max-trials", "2"])
        .wait(PATIENCE)
        .expect_code(1);
    let key = done.events()[0]["taskset"].as_str().unwrap().to_owned();
    let lines = recipe("Ask jq.");
    let answers: Vec<String> = lines
        .lines()
        .map(|line| {
            shell(&server, &suite, line)
                .env("KEY", &key)
                .run()
                .expect_code(0)
                .stdout
        })
        .collect();
    assert_eq!(answers[0], "bad.sh\n");
    assert_eq!(answers[1], "flaky.sh 2\n");
    let took = answers[2].lines().map(|line| {
        let (took, _) = line.split_once(" ms ").expect("a time and a file");
        took.parse::<u64>().expect("milliseconds")
    });
    let took: Vec<u64> = took.collect();
    assert_eq!(took.len(), 3, "{}", answers[2]);
    assert!(took.is_sorted_by(|a, b| a >= b), "{took:?}");
    assert_eq!(answers.len(), 3);
}
