//! Green that tested nothing: the worst of all.

use crate::harness::*;

#[test]
fn f1_a_lost_tasks_left_is_no_success() {
    let server = Server::new();
    let taskset = hand::taskset(&server, "t", &["a", "b"]).running();
    server.run::<()>(&["DEL", &taskset.list_key("tasks_left")]);
    server.tell_arbiter(format!("check\t{}", taskset.key));
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.status().as_deref(), Some("failed"));
    let reason = taskset.get("fail_reason").unwrap();
    assert!(reason.contains("accounting mismatch"), "{reason}");
}

#[test]
fn f3_a_failing_setup_runs_no_test_and_fails_the_taskset() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 1, suite.path());
    let args = ["--setup", "false; true"];
    let done = submit_tool(&server, &suite, ["x"], &args, &["touch", "ran"]).run();
    let receipt = done.expect_code(1).receipt();
    let reason = receipt["fail_reason"].as_str().unwrap();
    assert!(reason.contains("setup_command failed"), "{reason}");
    assert!(!suite.path().join("ran").exists());
}
