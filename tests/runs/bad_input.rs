//! Bad input is refused: what is wrong, how to mend it, the documented exit code, nothing lost.

use crate::harness::*;

#[test]
fn a_missing_command_fails_the_taskset_and_is_named() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 1, suite.path());
    let done = submit_tool(&server, &suite, ["x"], &[], &["no-such-command"]).run();
    let receipt = done.expect_code(1).receipt();
    let reason = receipt["fail_reason"].as_str().unwrap();
    assert!(reason.contains("no-such-command"), "{reason}");
}

#[test]
fn bad_arguments_of_rrr_submit_are_refused_with_a_remedy() {
    let server = Server::new();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--no-rsync", "--", "true"], 4, "nothing to run"),
        (&["--bogus"], 2, "--bogus"),
        (&["--no-rsync", "x"], 2, "-- sh {}"),
        (&["--no-rsync", "/x", "--", "true"], 2, "absolute"),
        (&["--no-rsync", "../x", "--", "true"], 2, "'..'"),
        (
            &["--no-rsync", "--files-from", "no-such-list", "--", "true"],
            2,
            "no-such-list",
        ),
        (&["no-such-file", "--", "true"], 2, "no-such-file"),
        (
            &["--no-rsync", "--rsync-name", "..", "x", "--", "true"],
            2,
            "rsync name",
        ),
        (
            &[
                "--redis",
                "unix:///no/such.sock",
                "--no-rsync",
                "x",
                "--",
                "true",
            ],
            69,
            "redis-server",
        ),
        (
            &["--redis", "bogus", "--no-rsync", "x", "--", "true"],
            2,
            "redis://",
        ),
    ];
    for (args, code, says) in cases {
        let done = Tool::new(&server, "rrr-submit").args(*args).run();
        let done = done.expect_code(*code);
        assert!(done.stderr.contains(says), "{args:?}: {done:#?}");
    }
    assert!(server.dump_keys().is_empty(), "{:?}", server.dump_keys());
}

#[test]
fn a_redis_that_may_drop_keys_is_refused() {
    let server = Server::options()
        .set("maxmemory-policy", "allkeys-lru")
        .start();
    let arbiter = Tool::new(&server, "rrr-arbiter").arg("--drain");
    let done = arbiter.run().expect_code(2);
    assert!(done.stderr.contains("noeviction"), "{done:#?}");
}
