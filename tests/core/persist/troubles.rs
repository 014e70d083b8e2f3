//! Full disks, lost databases, and tasksets that cannot be persisted: nothing is lost.

use crate::harness::*;
use crate::persist::bench::{Bench, rr};
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
fn l7_a_record_that_keeps_failing_is_dead_lettered() {
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

/// Two persisters handle the same head of the queue: the second waits for the first, whose save may
/// outlast the lock timeout.
#[test]
fn a_persister_keeps_waiting_for_another_on_the_same_record() {
    let bench = Bench::postgres();
    let key = bench.strange("t");
    let before = bench.gather(&key);
    // The other persister holds the taskset's row and has registered a file.
    let folder = rr::LogDir::open(bench.log_dir()).unwrap();
    bench.db();
    let mut other = bench.postgres.as_ref().unwrap().client();
    other
        .execute(
            "INSERT INTO loose_files (id, taskset, since_ms) VALUES ('file', $1, $2)",
            &[&key, &rrr::protocol::time::unix_ms()],
        )
        .unwrap();
    std::fs::write(bench.log_dir().join("file.json"), "{}").unwrap();
    let mut begun = other.transaction().unwrap();
    begun
        .execute(
            "INSERT INTO tasksets (id, key, finished_ms) VALUES (1, $1, 0)",
            &[&key],
        )
        .unwrap();
    let db = format!("{}&options=-c%20lock_timeout%3D100ms", bench.url());
    let persister = bench.persister().args(["--attempts", "1", "--db", &db]);
    let persister = persister.spawn();
    // The pause after the second attempt.
    persister.wait_for_stderr(PATIENCE, |line| {
        line.contains("another persister is saving it") && line.contains("again in 400ms")
    });
    assert_eq!(bench.server.list("rrrspec:persister_queue"), [&*key]);
    assert!(bench.server.list("rrrspec:persister_queue:dead").is_empty());
    assert!(folder.path("file").exists(), "{:?}", bench.files());
    begun.rollback().unwrap();
    eventually(PATIENCE, "the record is durable", || {
        let queue = bench.server.list("rrrspec:persister_queue");
        queue.is_empty().then_some(())
    });
    assert_eq!(bench.load(&key), Some((before, None)));
    persister.term();
    persister.wait(PATIENCE).expect_code(0);
}

#[test]
fn a_drain_leaves_failing_records_queued_and_saves_the_others() {
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
    /// Mounts one; `None` where mounting is not allowed.
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

/// The file system to fill, the space left in it, and the MiB to keep free.
const FULL: [(&str, u64, &str); 4] = [
    ("log", 0, "0"),
    ("db", 0, "0"),
    // There is space for the record, but it is reserved; then less than the record needs.
    ("log", 900 << 10, "1"),
    ("log", 1600 << 10, "1"),
];

#[test]
fn a_full_disk_loses_nothing_and_work_resumes_with_space() {
    for (place, left, keep_free) in FULL {
        let Some(small) = Small::mount() else {
            return skipped("mounting a tmpfs needs root");
        };
        let case = format!("{place}, {left} left, {keep_free} MiB to stay free");
        let bench = Bench::sqlite();
        let log_dir = small.0.path().join("log");
        let db = format!("sqlite:{}", small.0.path().join("history.db").display());
        let ballast = small.0.path().join("ballast");
        let (log_dir, db) = match place {
            "log" => (log_dir, bench.url()),
            _ => (bench.log_dir(), db),
        };
        // A lost database or full disk does not count as a failed attempt.
        let tool = || {
            let tool = bench.tool("rrr-persist").args(["--attempts", "1"]);
            let tool = tool.args(["--keep-free", keep_free, "--db", &db]);
            tool.arg("--log-dir").arg(&log_dir)
        };
        let warm = bench.ended("warm", &[], "failed").key;
        tool().arg("--drain").run().expect_code(0);
        let persister = tool().spawn();
        let taken = bench.ended("taken", &[], "failed").key;
        persister.wait_for_line(PATIENCE, |line| line.contains(&taken));
        let disk = rustix::fs::statvfs(small.0.path()).unwrap();
        let free = disk.f_bavail * disk.f_frsize;
        let filled = std::fs::write(&ballast, vec![1; (free - left) as usize + 1]);
        assert_eq!(filled.is_err(), left == 0, "{case}");
        let taskset = raw::taskset(&bench.server, "big", &["a"])
            .set("status", "failed")
            .set("finished_at", &rrr::protocol::time::now());
        let trial = taskset.finish_trial("a", "1", "failed");
        bench.server.hset(&trial, "stdout", &"x".repeat(1 << 20));
        let before = bench.gather(&taskset.key);
        bench.server.push("rrrspec:persister_queue", &taskset.key);
        persister.wait_for_stderr(PATIENCE, |line| {
            line.contains("trying again") && (left == 0 || line.contains("to keep free"))
        });
        assert_eq!(bench.gather(&taskset.key), before, "{case}");
        assert_eq!(bench.server.run::<i64>(&["TTL", &taskset.key]), -1);
        std::fs::remove_file(&ballast).unwrap();
        eventually(PATIENCE, "it is persisted", || {
            bench
                .server
                .list("rrrspec:persister_queue")
                .is_empty()
                .then_some(())
        });
        let dead = bench.server.list("rrrspec:persister_queue:dead");
        assert!(dead.is_empty(), "{case}: {dead:?}");
        drop(persister);
        let mut database = crate::persist::bench::rr::Url::new(db)
            .unwrap()
            .open()
            .unwrap();
        let folder = crate::persist::bench::rr::LogDir::at(log_dir.clone());
        for (key, expected) in [(&taskset.key, Some(before)), (&warm, None)] {
            let key = key.parse().unwrap();
            let found = rrr::archive::history::load(&mut database, &folder, &key).unwrap();
            let (document, problem) = found.expect("a record");
            assert_eq!(problem, None, "{case}");
            assert!(expected.is_none_or(|before| before == document), "{case}");
        }
        let names = std::fs::read_dir(&log_dir).unwrap().flatten();
        let mut names: Vec<_> = names
            .map(|e| e.file_name().into_string().unwrap())
            .collect();
        names.retain(|name| name != ".drain.lock");
        assert_eq!(names.len(), 3, "{case}: {names:?}");
    }
}

#[test]
fn attempts_are_kept_across_restarts_and_drains() {
    let bench = Bench::sqlite();
    bench
        .db()
        .execute("ALTER TABLE trials RENAME TO hidden", &[])
        .unwrap();
    let key = bench.strange("t");
    let drain = || bench.persister().args(["--drain", "--attempts", "3"]).run();
    for _ in 0..2 {
        drain().expect_code(70);
        assert_eq!(bench.server.list("rrrspec:persister_queue"), [&*key]);
    }
    drain().expect_code(0);
    let dead = bench.server.list("rrrspec:persister_queue:dead").pop();
    assert!(dead.unwrap().contains("failed 3 times"));
    // Once resumed, it has all of its attempts again.
    let again = bench
        .persister()
        .args(["--drain", "--retry-dead", "--attempts", "3"]);
    again.run().expect_code(70);
    assert_eq!(bench.server.list("rrrspec:persister_queue"), [&*key]);
}

#[test]
fn a_database_unreachable_at_the_start_is_waited_for() {
    let bench = Bench::postgres();
    let postgres = bench.postgres.as_ref().unwrap();
    let key = bench.strange("t");
    postgres.stop();
    let persister = bench.persister().spawn();
    persister.wait_for_stderr(PATIENCE, |line| {
        line.contains("cannot use the database") && line.contains("trying again")
    });
    postgres.run();
    persister.wait_for_line(PATIENCE, |line| line.contains(&key));
    // It can be stopped while it waits, and --drain does not wait forever.
    persister.signal(Signal::TERM);
    persister.wait(PATIENCE).expect_code(0);
    postgres.stop();
    let persister = bench.persister().spawn();
    persister.wait_for_stderr(PATIENCE, |line| line.contains("trying again"));
    persister.signal(Signal::TERM);
    persister.wait(PATIENCE).expect_code(0);
    bench.persister().arg("--drain").run().expect_code(69);
}

#[test]
fn c12_a_taskset_that_ended_in_the_future_is_not_waited_for() {
    let bench = Bench::sqlite();
    let taskset = bench.ended_at("ahead", &["a"], "failed", "2999-01-01 00:00:00 +0000");
    let log = format!("{}:worker_log:rrrspec:worker:w", taskset.key);
    bench.server.push(&taskset.list_key("worker_log"), &log);
    bench.server.hset(&log, "worker", "rrrspec:worker:w");
    bench.drain();
    assert_eq!(bench.count("tasksets"), 1);
}
