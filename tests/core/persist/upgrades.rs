//! Databases of earlier versions are upgraded without data loss.

use crate::harness::*;
use crate::persist::bench::Bench;

/// A dump of version 1 by SQLite, with one taskset.
const VERSION_1: &str = include_str!("../../fixtures/history-v1.sql");

fn old(bench: &Bench) {
    match &bench.postgres {
        Some(postgres) => postgres.client().batch_execute(VERSION_1).unwrap(),
        None => {
            let path = bench.url();
            let file = path.strip_prefix("sqlite:").unwrap();
            let sqlite = rusqlite::Connection::open(file).unwrap();
            sqlite.execute_batch(VERSION_1).unwrap();
        }
    }
}

#[test]
fn version_1_is_upgraded_with_its_data() {
    for bench in Bench::both() {
        old(&bench);
        let rebuilt = bench.persister().arg("--rebuild-estimates").run();
        assert_eq!(rebuilt.code, Some(0), "{rebuilt:?}");
        let known = bench
            .server
            .hget("rrrspec:estimate_sec:default", "spec/old_spec.rb");
        assert_eq!(known.as_deref(), Some("5"));
        let key = bench.strange("new");
        bench.drain();
        assert!(bench.load(&key).unwrap().1.is_none());
        let (document, problem) = bench.load("rrrspec:taskset:old").unwrap();
        assert!(problem.is_some(), "its file is not in the fixture");
        assert_eq!(document.taskset.succeeded_count, Some(1));
        assert_eq!(document.tasks[0].spec_file(), "spec/old_spec.rb");
        assert_eq!(document.tasks[0].trials[0].duration_ms, Some(4200));
    }
}

#[test]
fn many_tools_that_start_at_once_upgrade_once() {
    for bench in Bench::both() {
        old(&bench);
        let ask = || {
            bench
                .tool("rrr-history")
                .args(["tasksets", "--since", "9999w"])
        };
        let started: Vec<_> = (0..6).map(|_| ask().spawn()).collect();
        for running in started {
            let finished = running.wait(PATIENCE);
            assert_eq!(finished.code, Some(0), "{finished:?}");
            assert_eq!(finished.stdout.lines().count(), 1, "{finished:?}");
        }
        assert_eq!(bench.count("schema_version"), 1);
    }
}

#[test]
fn a_newer_schema_is_refused() {
    let bench = Bench::sqlite();
    bench
        .db()
        .execute("UPDATE schema_version SET version = 999", &[])
        .unwrap();
    let refused = bench.tool("rrr-history").arg("tasksets").run();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("schema version 999"), "{refused:?}");
}
