//! Records are read back as they were written.

use crate::harness::*;
use crate::persist::bench::{Bench, rr};

#[test]
fn a_record_comes_back_byte_for_byte() {
    for bench in Bench::both() {
        let key = bench.strange("strange");
        let before = bench.gather(&key);
        let reported = bench.drain();
        let line = &output::json_lines(&reported.stdout)[0];
        assert_eq!(line["persisted"], key.as_str());
        assert_eq!(line["status"], "failed");
        let (after, problem) = bench.load(&key).expect("a record");
        assert_eq!((&after, problem), (&before, None), "{}", bench.url());
        let trial = &after.tasks[1].trials[0];
        assert_eq!(trial.stdout.0, b"\x00\xff\xfe\x1b[31m\\N\t\r\n\"'");
        assert_eq!(trial.examples.as_ref().unwrap()[0].name, "a\tb\\c\0d");
        // The document equals the file.
        let file = std::fs::read(line["file"].as_str().unwrap()).unwrap();
        let document: rr::Document = serde_json::from_slice(&file).unwrap();
        assert_eq!(document, before);
    }
}

#[test]
fn reusing_a_key_keeps_both_records() {
    for bench in Bench::both() {
        let run = |status: &str, verdict: &str, created_at: &str| {
            let taskset = bench.ended("again", &["a"], status);
            bench.server.hset(&taskset.key, "created_at", created_at);
            bench.tried(&taskset, "a", verdict, &[]);
            let before = bench.gather(&taskset.key);
            let reported = output::json_lines(&bench.drain().stdout).remove(0);
            assert_eq!(reported["again"], serde_json::Value::Null, "{reported}");
            assert_eq!(bench.load(&taskset.key).unwrap().0, before);
            bench.server.run::<()>(&["FLUSHALL"]);
            before
        };
        let first = run("succeeded", "passed", "2013-07-11 15:43:36 +0900");
        run("failed", "failed", "2013-07-11 15:44:36 +0900");
        let mut db = bench.db();
        let sql = "SELECT key FROM tasksets ORDER BY id";
        let keys = db.rows(sql, &[]).unwrap();
        let keys: Vec<_> = keys.iter().map(|row| rr::text(&row[0]).unwrap()).collect();
        assert_eq!(keys.len(), 2, "{}: {keys:?}", bench.url());
        assert!(keys[0].starts_with("rrrspec:taskset:again~"), "{keys:?}");
        assert_eq!(bench.load(&keys[0]).unwrap().0.tasks, first.tasks);
    }
}

#[test]
fn a_record_without_its_file_reports_missing_outputs() {
    for bench in Bench::both() {
        let key = bench.strange("strange");
        let mut expected = bench.gather(&key);
        let line = output::json_lines(&bench.drain().stdout).remove(0);
        std::fs::write(line["file"].as_str().unwrap(), "{}").unwrap();
        let (found, problem) = bench.load(&key).expect("a record");
        assert!(problem.unwrap().contains("is damaged"));
        for trial in expected.tasks.iter_mut().flat_map(|task| &mut task.trials) {
            trial.stdout = rr::Bytes::default();
            trial.stderr = rr::Bytes::default();
            for example in trial.examples.iter_mut().flatten() {
                example.name = example.name.replace('\0', "\u{fffd}");
            }
        }
        let logs = expected.slaves.iter_mut().map(|slave| &mut slave.log);
        logs.for_each(|log| *log = rr::Bytes::default());
        assert_eq!(found, expected, "{}", bench.url());
    }
}

#[test]
fn the_row_has_size_and_digest_of_each_output() {
    for bench in Bench::both() {
        bench.strange("strange");
        bench.drain();
        let sql = "SELECT stdout_size, stdout_digest FROM trials ORDER BY task, position";
        let rows = bench.db().rows(sql, &[]).unwrap();
        let digest = rrr::archive::log_dir::digest(b"plain\n");
        assert_eq!(rr::number(&rows[0][0]), 6);
        assert_eq!(rr::text(&rows[0][1]), Some(digest));
        assert_eq!(rr::text(&rows[2][1]), None, "nothing was printed");
    }
}

#[test]
fn a_taskset_leaves_redis_and_stays_in_the_database() {
    let bench = Bench::sqlite();
    let key = bench.strange("gone");
    bench.drain();
    let ours = "rrrspec:taskset:gone";
    for (name, dumped) in bench.server.dump_keys().iter() {
        if name.starts_with(ours) || name.contains(":slave:") {
            assert!(dumped.ttl.is_some(), "{name} stays for ever");
        }
    }
    bench.server.run::<String>(&["FLUSHALL"]);
    assert!(bench.load(&key).is_some());
}

#[test]
fn c11_two_persisters_write_each_record_once() {
    for bench in Bench::both() {
        let keys: Vec<String> = (0..30).map(|n| bench.strange(&format!("t{n}"))).collect();
        // The keys expire a minute after each taskset was persisted.
        let before: Vec<_> = keys.iter().map(|key| bench.gather(key)).collect();
        let persisters = [bench.persister().spawn(), bench.persister().spawn()];
        eventually(PATIENCE, "the queue is empty", || {
            bench
                .server
                .list("rrrspec:persister_queue")
                .is_empty()
                .then_some(())
        });
        for persister in persisters {
            persister.signal(Signal::TERM);
            assert_eq!(persister.wait(PATIENCE).code, Some(0));
        }
        assert_eq!(bench.count("tasksets"), 30);
        assert_eq!(bench.count("loose_files"), 0);
        assert_eq!(bench.files().len(), 30);
        for (key, before) in keys.iter().zip(before) {
            assert_eq!(bench.load(key).unwrap(), (before, None));
        }
    }
}

#[test]
fn c11_overlapping_drains_are_harmless() {
    let bench = Bench::sqlite();
    bench.strange("a");
    std::fs::create_dir_all(bench.log_dir()).unwrap();
    let lock = std::fs::File::create(bench.log_dir().join(".drain.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let second = bench.drain();
    assert!(second.stderr.contains("another --drain"), "{second:?}");
    assert_eq!(bench.server.list("rrrspec:persister_queue").len(), 1);
    drop(lock);
    bench.drain();
    assert_eq!(bench.count("tasksets"), 1);
}
