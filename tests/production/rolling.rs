//! An upgrade without downtime: every role is replaced in the middle of a run.

use super::harness::*;

#[test]
fn every_role_is_replaced_in_mid_run_and_nothing_is_lost_or_counted_twice() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.many(60, "sleep 0.05");
    let mut fleet = Fleet::plan(&server).without_persister().start();
    let worker = fleet.worker("old", 2, suite.path());
    let run = submit(&server, &suite, &[]);
    run.wait_for_event("task_finished", PATIENCE);
    // The new one first, then the old one is asked to go, as an upgrade would.
    fleet.start_arbiter();
    fleet.arbiters[0].term();
    fleet.arbiters[0].wait(PATIENCE).expect_code(0);
    fleet.start_dispatcher();
    fleet.dispatchers[0].term();
    fleet.dispatchers[0].wait(PATIENCE).expect_code(0);
    let _new = fleet.worker("new", 2, suite.path());
    worker.term();
    worker.wait(PATIENCE).expect_code(0);
    let done = run.wait(PATIENCE).expect_code(0);
    let receipt = done.receipt();
    assert_eq!(
        (&receipt["succeeded"], &receipt["tasks"]),
        (&60.into(), &60.into())
    );
    assert_eq!(done.events_named("task_finished").len(), 60);
    let checked = Tool::new(&server, "rrr-fsck").run();
    assert_eq!(checked.code, Some(0), "{checked:#?}");
}
