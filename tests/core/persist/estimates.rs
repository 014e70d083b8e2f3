//! Estimates make the next run faster: files are ordered by their run times.

use crate::harness::*;
use crate::persist::bench::Bench;

fn estimate(bench: &Bench, file: &str) -> (Option<String>, Option<String>) {
    let get = |hash| bench.server.hget(hash, file);
    (
        get("rrrspec:estimate_sec:default"),
        get("rrrspec:estimate_ms:default"),
    )
}

fn pair(sec: &str, ms: &str) -> (Option<String>, Option<String>) {
    (Some(sec.into()), Some(ms.into()))
}

#[test]
fn estimates_come_from_passes_and_resist_one_outlier() {
    for bench in Bench::both() {
        for (run, ms) in [100, 110, 90_000, 105].into_iter().enumerate() {
            let at = format!("2026-01-0{} 10:00:00 +0000", run + 1);
            let files = ["a", "red", "pending"];
            let taskset = bench.ended_at(&format!("t{run}"), &files, "failed", &at);
            bench.tried(
                &taskset,
                "a",
                "passed",
                &[("failed", 7, "w"), ("passed", ms, "w")],
            );
            bench.tried(
                &taskset,
                "red",
                "failed",
                &[("failed", 1, "w"), ("error", 1, "w")],
            );
            bench.tried(&taskset, "pending", "pending", &[("pending", 2_001, "w")]);
            bench.drain();
        }
        assert_eq!(estimate(&bench, "a"), pair("1", "105"), "{}", bench.url());
        assert_eq!(estimate(&bench, "pending"), pair("3", "2001"));
        assert_eq!(estimate(&bench, "red"), (None, None));
    }
}

#[test]
fn estimates_are_restored_after_redis_was_wiped() {
    for bench in Bench::both() {
        for (run, ms) in [1_000, 5_000, 5_500].into_iter().enumerate() {
            let at = format!("2026-01-0{} 10:00:00 +0000", run + 1);
            let taskset = bench.ended_at(&format!("t{run}"), &["a", "b"], "succeeded", &at);
            bench.tried(&taskset, "a", "passed", &[("passed", ms, "w")]);
            if run == 0 {
                bench.tried(&taskset, "b", "passed", &[("passed", 9_000, "w")]);
            }
            bench.drain();
        }
        let before = (estimate(&bench, "a"), estimate(&bench, "b"));
        assert_eq!(before, (pair("5", "5000"), pair("9", "9000")));
        bench.server.run::<String>(&["FLUSHALL"]);
        bench.db().execute("DELETE FROM estimates", &[]).unwrap();
        let rebuilt = bench.persister().arg("--rebuild-estimates").run();
        assert_eq!(rebuilt.code, Some(0), "{rebuilt:?}");
        assert_eq!(output::json_lines(&rebuilt.stdout)[0]["estimates"], 2);
        assert_eq!((estimate(&bench, "a"), estimate(&bench, "b")), before);
    }
}

#[test]
fn the_second_run_starts_with_the_longest_files_of_the_first() {
    let bench = Bench::sqlite();
    let suite = Suite::new();
    let times = [
        ("a", 300),
        ("b", 9_000),
        ("c", 40_000),
        ("d", 900),
        ("e", 600),
    ];
    let names: Vec<&str> = times.iter().map(|(name, _)| *name).collect();
    for name in &names {
        suite.file(name, "");
    }
    let first = bench.ended("first", &names, "succeeded");
    for (name, ms) in times {
        bench.tried(&first, name, "passed", &[("passed", ms, "w")]);
    }
    bench.drain();
    suite.file("new", "");
    let key = bench
        .tool("rrr-submit")
        .args([
            "--no-rsync",
            "--key-only",
            "a",
            "b",
            "c",
            "d",
            "e",
            "new",
            "--",
            "sh",
            "{}",
        ])
        .dir(suite.path())
        .run();
    assert_eq!(key.code, Some(0), "{key:?}");
    let queue = bench
        .server
        .list(&format!("{}:task_queue", key.stdout.trim()));
    let order: Vec<&str> = queue
        .iter()
        .filter_map(|task| task.rsplit(':').next())
        .collect();
    assert_eq!(order[0], "new", "an unknown file may be the longest");
    // Also with run times below a second.
    assert_eq!(
        order[1..],
        ["c", "b", "d", "e", "a"],
        "then the longest first"
    );
}

#[test]
fn an_estimate_unused_for_ninety_days_is_dropped() {
    for bench in Bench::both() {
        let run = |id: &str, day: &str, files: &[&str]| {
            let at = format!("{day} 10:00:00 +0000");
            let taskset = bench.ended_at(id, files, "succeeded", &at);
            for file in files {
                bench.tried(&taskset, file, "passed", &[("passed", 2_000, "w")]);
            }
            bench.drain();
        };
        run("first", "2026-01-01", &["old name", "stays"]);
        run("later", "2026-03-31", &["new name", "stays"]);
        assert_eq!(estimate(&bench, "old name"), pair("2", "2000"), "89 days");
        run("last", "2026-04-02", &["new name"]);
        assert_eq!(estimate(&bench, "old name"), (None, None), "91 days");
        assert_eq!(estimate(&bench, "stays"), pair("2", "2000"));
        assert_eq!(estimate(&bench, "new name"), pair("2", "2000"));
        assert_eq!(bench.count("estimates"), 2, "{}", bench.url());
        // Nor is it restored from the earlier runs in the database.
        bench.server.run::<String>(&["FLUSHALL"]);
        let rebuilt = bench.persister().arg("--rebuild-estimates").run();
        assert_eq!(output::json_lines(&rebuilt.stdout)[0]["estimates"], 2);
        assert_eq!(estimate(&bench, "old name"), (None, None));
        assert_eq!(estimate(&bench, "stays"), pair("2", "2000"));
        // The estimate returns after another run.
        run("again", "2026-04-03", &["old name"]);
        assert_eq!(estimate(&bench, "old name"), pair("2", "2000"));
    }
}
