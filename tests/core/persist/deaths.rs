//! A persister may die at any step: before and after each write, fsync, rename, commit and the
//! pop of the message.

use crate::harness::*;
use crate::persist::bench::Bench;

/// Kills a persister at its n-th step for every n, lets another finish, and checks the result.
fn sweep(bench: &Bench) {
    let mut points = 0;
    loop {
        let number = points + 1;
        let key = bench.strange(&format!("t{number}"));
        let before = bench.gather(&key);
        let doomed = bench
            .persister()
            .arg("--drain")
            .env("RRR_CRASH_POINT", number.to_string())
            .run();
        let survived = doomed.code == Some(0);
        if !survived {
            let signal = doomed.signal;
            assert_eq!(signal, Some(Signal::KILL.as_raw()), "{doomed:?}");
            points += 1;
        }
        bench.drain();
        assert_eq!(bench.load(&key), Some((before, None)), "point {number}");
        assert_eq!(bench.count("tasksets"), number, "point {number}");
        assert_eq!(bench.count("loose_files"), 0, "point {number}");
        assert_eq!(bench.files().len() as i64, number, "point {number}");
        let whole = bench.files().iter().all(|name| name.ends_with(".json"));
        assert!(whole, "point {number}: {:?}", bench.files());
        let queued = bench.server.list("rrrspec:persister_queue");
        assert!(queued.is_empty(), "point {number}: {queued:?}");
        let ttl: i64 = bench.server.run(&["TTL", &key]);
        assert!((0..=60).contains(&ttl), "point {number}: {ttl}");
        // Learned once, however many attempts there were.
        let sql = "SELECT recent FROM estimates";
        let learned = bench.db().rows(sql, &[]).unwrap();
        let learned = crate::persist::bench::rr::text(&learned[0][0]).unwrap();
        let expected = vec![1234; usize::try_from(number).unwrap().min(8)];
        assert_eq!(learned, format!("{expected:?}"), "point {number}");
        if survived {
            break;
        }
    }
    assert!(points > 15, "only {points} points: not a debug build?");
}

#[test]
fn l6_a_persister_to_sqlite_may_die_at_any_step() {
    sweep(&Bench::sqlite());
}

#[test]
fn l6_a_persister_to_postgresql_may_die_at_any_step() {
    sweep(&Bench::postgres());
}
