//! A worker for one taskset, such as a CI job: it waits for the submitter, and not for ever.

use crate::harness::*;

fn worker(server: &Server, suite: &Suite, args: &[&str]) -> Tool {
    Tool::new(server, "rrr-worker")
        .args(["--slaves", "1", "--worker-id", "w", "--in-place"])
        .arg(suite.path())
        .args(args)
}

#[test]
fn a_worker_for_which_nothing_comes_fails_after_its_wait() {
    let (server, suite) = (Server::new(), Suite::new());
    for (args, what) in [
        (
            &["--taskset", "rrrspec:taskset:ci-1", "--wait", "1"][..],
            "taskset 'rrrspec:taskset:ci-1' was not submitted within 1 s",
        ),
        (
            &["--once", "--wait", "1"],
            "no taskset was assigned within 1 s",
        ),
    ] {
        let done = worker(&server, &suite, args).run().expect_code(124);
        assert!(done.stderr.contains(what), "{done:#?}");
        assert!(
            done.stderr.contains("hint: check the job that submits"),
            "{done:#?}"
        );
    }
    assert_eq!(server.run::<i64>(&["SCARD", "rrrspec:worker"]), 0);
}

#[test]
fn a_worker_whose_arbiter_died_gives_up_and_says_so() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("a.sh", "");
    // No arbiter: the task runs, and is never judged.
    let args = ["--key-only", "--no-rsync", "a.sh", "--", "sh", "{}"];
    let key = Tool::new(&server, "rrr-submit")
        .args(args)
        .dir(suite.path())
        .run();
    let key = key.expect_code(0).stdout.trim().to_owned();
    let done = worker(&server, &suite, &["--taskset", &key, "--timeout", "2"]);
    let done = done.run().expect_code(124);
    let message = format!("stopped by --timeout before taskset '{key}' ended: ");
    assert!(done.stderr.contains(&message), "{done:#?}");
    assert!(
        done.stderr.contains("its results wait for rrr-arbiter"),
        "{done:#?}"
    );
    assert_eq!(server.run::<i64>(&["SCARD", "rrrspec:worker"]), 0);
}
