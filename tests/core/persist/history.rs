//! rrr-history answers from the database alone.

use crate::harness::*;
use crate::persist::bench::Bench;
use serde_json::{Value, json};

/// Status, milliseconds and worker of each trial.
type Tries<'a> = &'a [(&'a str, u64, &'a str)];

/// Three tasksets: file `a` is flaky in the second, `b` fails in the third, and `old` is old.
fn filled(bench: &Bench) {
    let old = bench.ended_at("old", &["a"], "failed", "2020-01-01 00:00:00 +0000");
    bench.tried(&old, "a", "failed", &[("failed", 1, "w")]);
    bench.drain();
    let runs: [(&str, Tries, &str, Tries); 3] = [
        (
            "passed",
            &[("passed", 100, "w1")],
            "passed",
            &[("passed", 900, "w1")],
        ),
        (
            "passed",
            &[("failed", 50, "w2"), ("passed", 200, "w1")],
            "passed",
            &[("passed", 700, "w1")],
        ),
        (
            "passed",
            &[("passed", 300, "w1")],
            "failed",
            &[("failed", 10, "w1"), ("timeout", 10, "w2")],
        ),
    ];
    let now = rrr::protocol::time::unix_ms();
    for (at, (a, of_a, b, of_b)) in runs.into_iter().enumerate() {
        let time = rrr::protocol::time::protocol(now - (10 - at as i64) * 60_000);
        let taskset = bench.ended_at(&format!("t{at}"), &["a", "b"], "failed", &time);
        bench.tried(&taskset, "a", a, of_a);
        bench.tried(&taskset, "b", b, of_b);
        if b == "failed" {
            let trial = format!("{}:trial:1", taskset.task("b"));
            let examples = r#"[{"id":"1","name":"adds","status":"failed","message":"no"},
                               {"id":"2","name":"fits","status":"passed"}]"#;
            bench.server.hset(&trial, "examples", examples);
        }
        bench.drain();
    }
}

#[track_caller]
fn ask(bench: &Bench, args: &[&str]) -> Vec<Value> {
    let asked = bench
        .tool("rrr-history")
        .env_remove("RRR_REDIS_URL")
        .args(args)
        .run();
    assert_eq!(asked.code, Some(0), "{asked:?}");
    output::json_lines(&asked.stdout)
}

fn only(lines: &[Value], fields: &[&str]) -> Vec<Value> {
    let pick = |line: &Value| fields.iter().map(|f| line[*f].clone()).collect::<Value>();
    lines.iter().map(pick).collect()
}

#[test]
fn questions_are_answered_from_the_database() {
    for bench in Bench::both() {
        filled(&bench);
        let tasksets = ask(&bench, &["tasksets", "--since", "1d"]);
        let keys = only(&tasksets, &["taskset", "tasks"]);
        assert_eq!(
            keys,
            [
                json!(["rrrspec:taskset:t2", 2]),
                json!(["rrrspec:taskset:t1", 2]),
                json!(["rrrspec:taskset:t0", 2]),
            ]
        );
        let slowest = ask(&bench, &["slowest"]);
        let means = only(
            &slowest,
            &["spec_file", "mean_ms", "max_ms", "last_ms", "runs"],
        );
        assert_eq!(
            means,
            [
                json!(["b", 800, 900, 700, 3]),
                json!(["a", 200, 300, 300, 3])
            ]
        );
        assert_eq!(slowest[1]["recent_ms"], json!([100, 200, 300]));

        let flaky = ask(&bench, &["flaky"]);
        let rates = only(&flaky, &["spec_file", "rate", "flaky", "runs", "hosts"]);
        assert_eq!(rates, [json!(["a", 0.3333, 1, 3, ["w2"]])]);
        assert_eq!(flaky[0]["first_seen"], flaky[0]["last_seen"]);

        let failures = ask(&bench, &["failures"]);
        let failed = only(&failures, &["taskset", "spec_file", "trials", "hosts"]);
        let trials = json!(["failed", "timeout"]);
        assert_eq!(
            failed,
            [json!(["rrrspec:taskset:t2", "b", trials, ["w1", "w2"]])]
        );
        let examples = json!([{"name": "adds", "message": "no"}]);
        assert_eq!(failures[0]["examples"], examples);

        let file = ask(&bench, &["file", "a", "--since", "9999w"]);
        let past = only(&file, &["status", "duration_ms", "flaky"]);
        let newest_first = [
            json!(["passed", 300, false]),
            json!(["passed", 200, true]),
            json!(["passed", 100, false]),
            json!(["failed", null, false]),
        ];
        assert_eq!(past, newest_first);
        assert_eq!(ask(&bench, &["file", "a", "--limit", "1"]).len(), 1);
        assert!(ask(&bench, &["slowest", "--class", "other"]).is_empty());
    }
}

#[test]
fn a_trial_without_a_duration_took_from_start_to_finish() {
    for bench in Bench::both() {
        let taskset = bench.ended("foreign", &["a"], "succeeded");
        let trial = taskset.finish_trial("a", "1", "passed");
        bench
            .server
            .hset(&trial, "finished_at", "2013-07-11 15:43:43 +0900");
        bench.server.hset(&taskset.task("a"), "status", "passed");
        bench.drain();
        let slowest = ask(&bench, &["slowest"]);
        assert_eq!(
            only(&slowest, &["spec_file", "mean_ms"]),
            [json!(["a", 7000])]
        );
    }
}

#[test]
fn the_history_table_has_sparklines_and_no_control_characters() {
    let bench = Bench::sqlite();
    filled(&bench);
    let file = "x\u{9b}2J";
    let taskset = bench.ended("evil", &["plain"], "succeeded");
    bench.server.hset(&taskset.task("plain"), "spec_file", file);
    bench.tried(&taskset, "plain", "passed", &[("passed", 5, "w")]);
    bench.drain();
    let table = bench
        .tool("rrr-history")
        .args(["slowest", "--format", "text"])
        .run();
    assert_eq!(table.code, Some(0), "{table:?}");
    let lines: Vec<&str> = table.stdout.lines().collect();
    assert!(lines[0].starts_with("MEAN"), "{}", table.stdout);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("▃▆█") && line.ends_with('a')),
        "{}",
        table.stdout
    );
    assert!(!table.stdout.contains('\u{9b}'), "{}", table.stdout);
}

#[test]
fn prune_removes_old_tasksets_and_files_unless_a_dry_run() {
    for bench in Bench::both() {
        filled(&bench);
        let dry = ask(&bench, &["prune", "--keep", "30d", "--dry-run"]);
        let reported = only(&dry, &["taskset", "removed"]);
        assert_eq!(reported, [json!(["rrrspec:taskset:old", false])]);
        assert_eq!((bench.count("tasksets"), bench.files().len()), (4, 4));

        let done = ask(&bench, &["prune", "--keep", "30d"]);
        assert_eq!(only(&done, &["removed"]), [json!([true])]);
        assert_eq!((bench.count("tasksets"), bench.files().len()), (3, 3));
        assert_eq!((bench.count("tasks"), bench.count("trials")), (6, 8));
        assert_eq!(bench.count("loose_files"), 0);
        assert!(bench.load("rrrspec:taskset:old").is_none());
        assert!(bench.load("rrrspec:taskset:t0").unwrap().1.is_none());
        assert!(ask(&bench, &["prune", "--keep", "30d"]).is_empty());
    }
}

#[test]
fn a_killed_prune_is_completed_by_the_next() {
    let bench = Bench::sqlite();
    for number in 1.. {
        let old = bench.ended_at("old", &["a"], "failed", "2020-01-01 00:00:00 +0000");
        bench.tried(&old, "a", "failed", &[("failed", 1, "w")]);
        bench.drain();
        let prune = || bench.tool("rrr-history").args(["prune", "--keep", "30d"]);
        let doomed = prune().env("RRR_CRASH_POINT", number.to_string()).run();
        assert_eq!(prune().run().code, Some(0));
        let left = (
            bench.count("tasksets"),
            bench.count("trials"),
            bench.files().len(),
        );
        assert_eq!(left, (0, 0, 0), "point {number}");
        assert_eq!(bench.count("loose_files"), 0, "point {number}");
        bench.server.run::<String>(&["FLUSHALL"]);
        if doomed.code == Some(0) {
            assert!(number > 2, "no point was reached: not a debug build?");
            break;
        }
    }
}

#[test]
fn invalid_queries_are_refused_with_a_hint() {
    let bench = Bench::sqlite();
    for (args, says) in [
        (&["slowest", "--since", "soon"][..], "30d"),
        (&["slowest", "--db", "mysql://x:secret@y/z"], "postgres://"),
        (&["prune", "--keep", "30"], "30d"),
    ] {
        let refused = bench.tool("rrr-history").args(args).run();
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains(says), "{refused:?}");
        assert!(!refused.stderr.contains("secret"), "{refused:?}");
    }
    let away = bench.tool("rrr-history").args(["slowest", "--db"]);
    let away = away
        .arg("postgres://rrr@localhost/x?host=/nonexistent")
        .run();
    assert_eq!(away.code, Some(69), "{away:?}");
    let none = bench.tool("rrr-history").arg("tasksets").run();
    assert_eq!((none.code, none.stdout.as_str()), (Some(0), ""));
    assert!(none.stderr.contains("contains no tasksets yet"), "{none:?}");
}
