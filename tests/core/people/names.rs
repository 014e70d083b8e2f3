//! A taskset is named by its key, its id, the beginning of it, or as the last one.

use crate::harness::*;

#[test]
fn every_tool_accepts_the_short_names_of_a_taskset() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("bad.sh", "exit 1").file("good.sh", "");
    let fleet = Fleet::plan(&server).without_persister().start();
    let _worker = fleet.worker("box", 1, suite.path());
    let done = submit(&server, &suite, &["--max-trials", "1"]).wait(PATIENCE);
    let key = done.events()[0]["taskset"].as_str().unwrap().to_owned();
    let id = key.rsplit(':').next().unwrap();
    let run =
        |name: &str, args: &[&str]| Tool::new(&server, name).args(args).dir(suite.path()).run();
    for name in [&key, id, &id[..6], "last", "last-failed"] {
        run("rrr-wait", &[name]).expect_code(1);
        let watched = run("rrr-watch", &[name]).expect_code(1);
        assert_eq!(watched.events()[0]["taskset"], key.as_str(), "{name}");
        let shown = run("rrr-show", &[name]).expect_code(0).stdout;
        assert!(shown.starts_with(&key), "{name}: {shown}");
        let cancelled = run("rrr-cancel", &[name]).expect_code(0).stderr;
        assert!(
            cancelled.contains(&key) && cancelled.contains("already finished"),
            "{cancelled}"
        );
        run("rrr-fsck", &["--pause", "0", name]).expect_code(0);
    }
    let again = ["--rerun-failed", "last", "--no-rsync", "--follow"];
    let again = run("rrr-submit", &again).expect_code(1).events();
    assert_eq!(again[0]["tasks"], 1, "{again:?}");
    let newer = again[0]["taskset"].as_str().unwrap();
    let last = run("rrr-watch", &["last"]).expect_code(1).events();
    assert_eq!(last[0]["taskset"], newer);
    for (name, why) in [("x y", "is not the key"), ("nope", "is not in Redis")] {
        let refused = run("rrr-wait", &[name]).expect_code(2);
        assert!(refused.stderr.contains(why), "{refused:#?}");
    }
}

#[test]
fn an_ambiguous_name_is_refused_with_the_candidates() {
    let server = Server::new();
    for id in ["build-1", "build-12", "build-2"] {
        raw::taskset(&server, id, &["a"]).submitted();
    }
    let cancel = |name: &str| Tool::new(&server, "rrr-cancel").arg(name).run();
    let refused = cancel("build").expect_code(2).stderr;
    assert!(
        refused.contains("several tasksets begin with 'build'"),
        "{refused}"
    );
    assert!(refused.contains("build-1, build-12, build-2"), "{refused}");
    assert_eq!(server.run::<i64>(&["LLEN", "rrrspec:arbiter_queue"]), 0);
    cancel("build-1").expect_code(0);
    let asked: Vec<String> = server.run(&["LRANGE", "rrrspec:arbiter_queue", "0", "-1"]);
    assert_eq!(asked, ["cancel\trrrspec:taskset:build-1"]);
}
