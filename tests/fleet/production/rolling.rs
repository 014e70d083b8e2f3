//! An upgrade without downtime: every role is replaced in the middle of a run.

use crate::harness::*;

/// The tasksets written by the persisters.
fn rows(fleet: &Fleet, server: &Server) -> Vec<serde_json::Value> {
    let tool = Tool::new(server, "rrr-history").args(["tasksets", "--db", &fleet.db()]);
    tool.run().expect_code(0).events()
}

#[test]
fn replacing_every_role_mid_run_loses_and_repeats_nothing() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.many(60, "sleep 0.05");
    let mut fleet = Fleet::plan(&server).start();
    let worker = fleet.worker("old", 2, suite.path());
    // Tasksets for the old persister that are still queued when it is replaced.
    let small = |_| {
        let tool = submit_tool(&server, &suite, ["t0001.sh"], &[], &["true"]);
        tool.run().expect_code(0);
    };
    (0..3).for_each(small);
    let run = submit(&server, &suite, &[]);
    run.wait_for_event("task_finished", PATIENCE);
    // Starts the new one first, then stops the old one, as an upgrade would.
    fleet.start_arbiter();
    fleet.arbiters[0].term();
    fleet.arbiters[0].wait(PATIENCE).expect_code(0);
    fleet.start_dispatcher();
    fleet.dispatchers[0].term();
    fleet.dispatchers[0].wait(PATIENCE).expect_code(0);
    fleet.start_persister();
    fleet.persisters[0].term();
    fleet.persisters[0].wait(PATIENCE).expect_code(0);
    let new = fleet.worker("new", 2, suite.path());
    worker.term();
    worker.wait(PATIENCE).expect_code(0);
    let done = run.wait(PATIENCE).expect_code(0);
    let receipt = done.receipt();
    assert_eq!((receipt.succeeded, receipt.tasks), (60, 60));
    assert_eq!(done.events_named("task_finished").len(), 60);
    new.term();
    new.wait(PATIENCE).expect_code(0);
    eventually(PATIENCE, "all is persisted", || {
        server
            .list("rrrspec:persister_queue")
            .is_empty()
            .then_some(())
    });
    let rows = rows(&fleet, &server);
    let keys: std::collections::BTreeSet<_> =
        rows.iter().map(|row| row["taskset"].to_string()).collect();
    assert_eq!((rows.len(), keys.len()), (4, 4), "{rows:?}");
    assert_eq!(
        server
            .hget("rrrspec:totals", "tasksets:succeeded")
            .as_deref(),
        Some("4")
    );
    assert_eq!(
        server.hget("rrrspec:totals", "tasks:passed").as_deref(),
        Some("63")
    );
    let checked = Tool::new(&server, "rrr-fsck").run();
    assert_eq!(checked.code, Some(0), "{checked:#?}");
}
