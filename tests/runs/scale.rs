//! Many tasks, several of each role.

use crate::harness::*;

#[test]
fn a_run_ends_with_exact_counts_under_two_arbiters_and_two_dispatchers() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).arbiters(2).dispatchers(2).start();
    let _worker = fleet.worker("w", 2, suite.path());
    let files = (0..500).map(|n| format!("file {n}"));
    let done = submit_tool(&server, &suite, files, &[], &["true"]).run();
    let receipt = done.clone().expect_code(0).receipt();
    assert_eq!(receipt["succeeded"], 500);
    assert_eq!(receipt["tasks"], 500);
    assert_eq!(done.events_named("task_finished").len(), 500);
}
