//! rrr-local remembers: the second run knows the first.

use crate::harness::*;
use std::path::Path;

impl Project {
    /// Runs all files with one slave.
    fn run(&self, args: &[&str]) -> Finished {
        let (files, command) = (self.suite.files(), ["--", "sh", "{}"]);
        let mut files: Vec<&str> = files.iter().map(String::as_str).collect();
        files.retain(|file| file.ends_with(".sh"));
        let args = [&["-j1"], args, &files, &command].concat();
        self.tool("rrr-local", &args).run()
    }

    fn database(&self) -> std::path::PathBuf {
        self.state.path().join("rrr/history.db")
    }

    fn history(&self) -> Vec<serde_json::Value> {
        self.tool("rrr-history", &[]).run().expect_code(0).events()
    }
}

fn started(done: &Finished) -> Vec<String> {
    let events = done.events();
    let started = events
        .iter()
        .filter(|event| event["event"] == "trial_started");
    started
        .map(|event| event["spec_file"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_second_run_starts_failures_then_new_then_long_files() {
    let project = Project::new();
    project
        .suite
        .file("a_quick.sh", "")
        .file("b_slow.sh", "sleep 0.3")
        .file("c_fails.sh", "exit 1");
    project.run(&["--max-trials", "1"]).expect_code(1);
    project.suite.file("d_new.sh", "");
    let again = project.run(&["--max-trials", "1"]).expect_code(1);
    let order = ["c_fails.sh", "d_new.sh", "b_slow.sh", "a_quick.sh"];
    assert_eq!(started(&again), order);
    let history = project.history();
    assert_eq!(history.len(), 2, "{history:?}");
    assert!(
        history[0]["elapsed_ms"].as_u64().unwrap() >= 300,
        "{history:?}"
    );
}

#[test]
fn the_last_run_is_shown_and_its_failures_rerun_without_redis() {
    let project = Project::new();
    project
        .suite
        .file("a.sh", "")
        .file("b.sh", "echo the reason; exit 1");
    let first = project.run(&["--max-trials", "2"]).expect_code(1);
    let key = first.events()[0]["taskset"].as_str().unwrap().to_owned();
    let id = key.rsplit(':').next().unwrap();
    for name in ["last", "last-failed", &key, id, &id[..8]] {
        let shown = project.tool("rrr-show", &[name]).run().expect_code(0);
        assert!(shown.stdout.contains("the reason"), "{name}: {shown:#?}");
        let output = project.tool("rrr-show", &[name, "--task", "b.sh"]).run();
        assert_eq!(output.expect_code(0).stdout, "the reason\n", "{name}");
    }
    let again = project
        .tool("rrr-local", &["--rerun-failed", "last"])
        .run()
        .expect_code(1);
    assert_eq!(started(&again), ["b.sh", "b.sh"], "two trials, as before");
    project.suite.file("b.sh", "");
    project
        .tool("rrr-local", &["--rerun-failed", "last-failed"])
        .run()
        .expect_code(0);
    let nothing = project.tool("rrr-local", &["--rerun-failed", "last"]).run();
    assert!(nothing.expect_code(4).stderr.contains("nothing to rerun"));
}

#[test]
fn last_means_the_last_run_of_the_current_folder() {
    let (project, other) = (Project::new(), Suite::new());
    project.suite.file("a.sh", "exit 1");
    other.file("b.sh", "");
    project.run(&["--max-trials", "1"]).expect_code(1);
    let run_other = ["b.sh", "--packaging-dir", other.path().to_str().unwrap()];
    project
        .tool("rrr-local", &[&run_other[..], &["--", "sh", "{}"]].concat())
        .run()
        .expect_code(0);
    let here = project.tool("rrr-show", &["last"]).run().expect_code(0);
    assert!(here.stdout.contains("a.sh"), "{here:#?}");
    let there = project.tool("rrr-show", &["last", "--format", "json"]);
    let there = there.dir(other.path()).run();
    assert!(there.expect_code(0).stdout.contains("b.sh"));
}

#[test]
fn a_history_that_cannot_be_used_costs_one_warning() {
    let project = Project::new();
    project.suite.file("a.sh", "");
    let warned = |done: Finished, what: &str| {
        let stderr = done.expect_code(0).stderr;
        let lines: Vec<&str> = stderr.lines().collect();
        assert_eq!(lines.len(), 1, "{what}: {stderr}");
        assert!(
            lines[0].contains("rrr-local: history not "),
            "{what}: {stderr}"
        );
    };
    std::fs::create_dir_all(project.database().parent().unwrap()).unwrap();
    std::fs::write(project.database(), "no database at all, but long enough").unwrap();
    warned(project.run(&[]), "damaged");
    std::fs::remove_file(project.database()).unwrap();
    project.run(&[]).expect_code(0);
    let lock = rusqlite::Connection::open(project.database()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    warned(project.run(&[]), "locked");
    drop(lock);
    let file = project.suite.path().join("a.sh");
    let nowhere = project
        .tool("rrr-local", &["a.sh", "--", "sh", "{}"])
        .env("XDG_STATE_HOME", file);
    warned(nowhere.run(), "no folder");
}

#[test]
fn no_history_writes_nothing() {
    let project = Project::new();
    project.suite.file("a.sh", "");
    project.run(&["--no-history"]).expect_code(0);
    assert!(!project.database().exists());
}

#[test]
fn two_runs_at_once_are_both_recorded() {
    let project = Project::new();
    project.suite.file("a.sh", "sleep 0.2").file("b.sh", "");
    let args = ["a.sh", "b.sh", "--", "sh", "{}"];
    let runs: Vec<Running> = (0..4)
        .map(|_| project.tool("rrr-local", &args).spawn())
        .collect();
    for run in runs {
        let done = run.wait(PATIENCE).expect_code(0);
        assert_eq!(done.stderr, "", "{done:#?}");
    }
    assert_eq!(project.history().len(), 4);
}

#[test]
fn old_runs_of_rrr_local_are_removed_and_no_others() {
    let project = Project::new();
    project.suite.file("a.sh", "");
    project.run(&[]).expect_code(0);
    project.run(&["--taskset-class", "nightly"]).expect_code(0);
    let documents = || {
        std::fs::read_dir(project.state.path().join("rrr/log"))
            .unwrap()
            .count()
    };
    assert_eq!(documents(), 2);
    let db = rusqlite::Connection::open(project.database()).unwrap();
    db.execute_batch("UPDATE tasksets SET finished_ms = 1")
        .unwrap();
    drop(db);
    project.run(&[]).expect_code(0);
    let classes: Vec<String> = {
        let db = rusqlite::Connection::open(project.database()).unwrap();
        let mut found = db
            .prepare("SELECT taskset_class FROM tasksets ORDER BY finished_ms")
            .unwrap();
        let rows = found.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let own = project.suite.path().canonicalize().unwrap();
    assert_eq!(
        classes.iter().map(Path::new).collect::<Vec<_>>(),
        [Path::new("nightly"), &own]
    );
    assert_eq!(documents(), 2);
}

#[test]
fn a_run_writes_the_reports_it_was_asked_for() {
    let project = Project::new();
    project
        .suite
        .file("a.sh", "")
        .file("b.sh", "echo why; exit 1");
    let wanted = ["--export", "junit=junit.xml", "--export=markdown=run.md"];
    let done = project.run(&[&wanted[..], &["--max-trials", "1"]].concat());
    let events = done.expect_code(1).events();
    let file = |name: &str| std::fs::read_to_string(project.suite.path().join(name)).unwrap();
    assert!(
        file("junit.xml").contains("tests=\"2\""),
        "{}",
        file("junit.xml")
    );
    assert!(file("run.md").contains("why"), "{}", file("run.md"));
    let failed = events
        .iter()
        .find(|event| event["event"] == "task_finished" && event["status"] == "failed");
    let show = failed.unwrap()["show"].as_str().unwrap();
    let words: Vec<&str> = show.split(' ').collect();
    let shown = project.tool(words[0], &words[1..]).run().expect_code(0);
    assert_eq!(shown.stdout, "why\n", "{show}");
    for wrong in ["junit", "xml=a", "junit=no/such/folder/a.xml", "junit=."] {
        let refused = project.run(&["--export", wrong]).expect_code(2);
        assert!(
            refused.stderr.contains("FORMAT=FILE") || refused.stderr.contains("unknown format"),
            "{refused:#?}"
        );
    }
}

#[test]
fn the_log_of_a_ci_job_is_readable_and_a_pipe_has_events() {
    let project = Project::new();
    project.suite.file("b.sh", "echo why; exit 1");
    let shell = |script: &str| {
        let script = script.replace("LOCAL", bin("rrr-local").to_str().unwrap());
        let tool = Tool::program("unused", "sh").args(["-c", &script]);
        let tool = tool
            .env("XDG_STATE_HOME", project.state.path())
            .env("CI", "true");
        tool.dir(project.suite.path()).run().stdout
    };
    let log = shell("LOCAL --max-trials 1 b.sh -- sh {} >log 2>&1; cat log");
    assert!(
        log.contains("FAIL   b.sh (exit 1") && log.contains("    why\n"),
        "{log}"
    );
    assert!(!log.contains("\"event\""), "{log}");
    let piped = shell("LOCAL --max-trials 1 b.sh -- sh {} | cat");
    assert!(
        piped.starts_with('{') && piped.contains("\"taskset_finished\""),
        "{piped}"
    );
}
