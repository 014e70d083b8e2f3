//! Full disks, lost databases, and tasksets that cannot be persisted: nothing is lost.

use crate::bench::Bench;
use crate::harness::*;
use std::process::Command;

#[test]
fn l6_a_lost_database_is_waited_for() {
    let bench = Bench::postgres();
    let postgres = bench.postgres.as_ref().unwrap();
    let persister = bench.persister().args(["--attempts", "1"]).spawn();
    bench.strange("first");
    eventually(PATIENCE, "the first is persisted", || {
        bench
            .server
            .list("rrrspec:persister_queue")
            .is_empty()
            .then_some(())
    });
    postgres.stop();
    let key = bench.strange("second");
    let before = bench.gather(&key);
    persister.wait_for_stderr(PATIENCE, |line| line.contains("trying again"));
    assert_eq!(bench.server.list("rrrspec:persister_queue"), [&*key]);
    postgres.run();
    eventually(PATIENCE, "the second is persisted", || {
        bench
            .server
            .list("rrrspec:persister_queue")
            .is_empty()
            .then_some(())
    });
    assert_eq!(bench.load(&key), Some((before, None)));
    let dead = bench.server.list("rrrspec:persister_queue:dead");
    assert!(dead.is_empty(), "{dead:?}");
}

#[test]
fn l7_what_fails_again_and_again_goes_to_the_dead_list_and_can_be_taken_up_again() {
    for bench in Bench::both() {
        bench
            .db()
            .execute("ALTER TABLE trials RENAME TO hidden", &[])
            .unwrap();
        let key = bench.strange("t");
        let before = bench.gather(&key);
        let persister = bench.persister().args(["--attempts", "2"]).spawn();
        let dead = eventually(PATIENCE, "it is given up", || {
            bench.server.list("rrrspec:persister_queue:dead").pop()
        });
        persister.signal(Signal::TERM);
        assert_eq!(persister.wait(PATIENCE).code, Some(0));
        let dead: serde_json::Value = serde_json::from_str(&dead).unwrap();
        assert_eq!(dead["message"], key.as_str());
        let reason = dead["reason"].as_str().unwrap();
        assert!(reason.contains("failed 2 times"), "{reason}");
        assert!(reason.contains("trials"), "{reason}");
        assert_eq!(bench.gather(&key), before, "nothing is lost");
        assert_eq!(bench.server.run::<i64>(&["TTL", &key]), -1);
        assert!(bench.files().is_empty(), "{:?}", bench.files());
        assert_eq!(bench.count("tasksets"), 0, "{}", bench.url());
        assert_eq!(bench.count("loose_files"), 0, "{}", bench.url());

        bench
            .db()
            .execute("ALTER TABLE hidden RENAME TO trials", &[])
            .unwrap();
        let again = bench.persister().args(["--drain", "--retry-dead"]).run();
        assert_eq!(again.code, Some(0), "{again:?}");
        assert_eq!(bench.load(&key), Some((before, None)));
        assert!(bench.server.list("rrrspec:persister_queue:dead").is_empty());
    }
}

#[test]
fn a_drain_leaves_what_fails_in_the_queue_and_does_the_others() {
    let bench = Bench::sqlite();
    let broken = bench.strange("broken");
    let whole = bench.ended("whole", &[], "failed").key;
    bench
        .db()
        .execute("ALTER TABLE trials RENAME TO hidden", &[])
        .unwrap();
    let drained = bench.persister().arg("--drain").run();
    assert_eq!(drained.code, Some(70), "{drained:?}");
    assert_eq!(bench.server.list("rrrspec:persister_queue"), [&*broken]);
    bench
        .db()
        .execute("ALTER TABLE hidden RENAME TO trials", &[])
        .unwrap();
    assert!(bench.load(&whole).is_some() && bench.load(&broken).is_none());
    bench.drain();
    assert!(bench.load(&broken).is_some());
}

/// A file system of 4 MiB, unmounted on drop.
struct Small(tempfile::TempDir);

impl Small {
    /// None where that is not allowed.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        let mounted = mount
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(folder.path())
            .output();
        mounted.ok()?.status.success().then_some(Self(folder))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_loses_nothing_and_work_goes_on_when_space_returns() {
    let Some(small) = Small::mount() else {
        return skipped("mounting a tmpfs needs root");
    };
    // The log folder is full, then the database's folder.
    for place in ["log", "db"] {
        let bench = Bench::sqlite();
        let log_dir = small.0.path().join("log");
        let db = format!("sqlite:{}", small.0.path().join("history.db").display());
        let ballast = small.0.path().join("ballast");
        let (log_dir, db) = match place {
            "log" => (log_dir, bench.url()),
            _ => (bench.log_dir(), db),
        };
        let tool = || {
            let tool = bench.tool("rrr-persist").arg("--log-dir");
            tool.arg(&log_dir).args(["--db", &db])
        };
        let warm = bench.ended("warm", &[], "failed").key;
        let ready = tool().arg("--drain").run();
        assert_eq!(ready.code, Some(0), "{ready:?}");
        let persister = tool().spawn();
        let taken = bench.ended("taken", &[], "failed").key;
        persister.wait_for_line(PATIENCE, |line| line.contains(&taken));
        std::fs::write(&ballast, vec![1; 4 << 20]).expect_err("the disk is full");
        let taskset = hand::taskset(&bench.server, "big", &["a"])
            .set("status", "failed")
            .set("finished_at", &rrr::time::now());
        let trial = taskset.finish_trial("a", "1", "failed");
        bench.server.hset(&trial, "stdout", &"x".repeat(1 << 20));
        let before = bench.gather(&taskset.key);
        bench.server.push("rrrspec:persister_queue", &taskset.key);
        persister.wait_for_stderr(PATIENCE, |line| line.contains("trying again"));
        assert_eq!(bench.gather(&taskset.key), before, "{place}");
        assert_eq!(bench.server.run::<i64>(&["TTL", &taskset.key]), -1);
        std::fs::remove_file(&ballast).unwrap();
        eventually(PATIENCE, "it is persisted", || {
            bench
                .server
                .list("rrrspec:persister_queue")
                .is_empty()
                .then_some(())
        });
        drop(persister);
        let mut database = crate::bench::rr::Url::new(db).unwrap().open().unwrap();
        let folder = crate::bench::rr::Folder::at(log_dir.clone());
        for (key, expected) in [(&taskset.key, Some(before)), (&warm, None)] {
            let key = key.parse().unwrap();
            let found = rrr::history::load(&mut database, &folder, &key).unwrap();
            let (document, problem) = found.expect("a record");
            assert_eq!(problem, None, "{place}");
            assert!(expected.is_none_or(|before| before == document), "{place}");
        }
        let names = std::fs::read_dir(&log_dir).unwrap().flatten();
        let documents = names.filter(|e| e.path().extension().is_some_and(|x| x == "json"));
        assert_eq!(documents.count(), 3, "{place}");
    }
}
