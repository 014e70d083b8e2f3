//! Tasksets and daemons that would never end.

use crate::harness::*;

#[test]
fn l1_a_failing_task_of_a_single_slave_ends() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 1, suite.path());
    let done = submit_tool(&server, &suite, ["x"], &[], &["false"]).run();
    assert_eq!(done.expect_code(1).receipt()["failed"], 1);
}

#[test]
fn l2_copies_of_a_finished_task_are_dropped_from_the_queue() {
    let (server, suite) = (Server::new(), Suite::new());
    let taskset = hand::taskset(&server, "t", &["a", "b"])
        .set("slave_command", "rrr-slave -- touch")
        .running();
    let passed = taskset.finish_trial("a", "1", "passed");
    server.tell_arbiter(format!("trial\t{passed}"));
    drain(&server, "rrr-arbiter");
    for _ in 0..3 {
        server.push(&taskset.list_key("task_queue"), taskset.task("a"));
    }
    let fleet = Fleet::plan(&server).without_persister().start();
    let _worker = fleet.worker("w", 1, suite.path());
    eventually(PATIENCE, "a success", || {
        (taskset.status()? == "succeeded").then_some(())
    });
    assert!(suite.path().join("b").exists());
    assert!(
        !suite.path().join("a").exists(),
        "the finished one was run again"
    );
}

#[test]
fn l8_nonsense_goes_to_the_dead_list_and_the_next_message_is_handled() {
    let server = Server::new();
    let taskset = hand::taskset(&server, "t", &["a"]).running();
    for message in [&b"bogus"[..], b"\xff\xfe", b"trial\tx", b"cancel\tx", b""] {
        server.tell_arbiter(message);
    }
    server.tell_arbiter(format!("cancel\t{}", taskset.key));
    drain(&server, "rrr-arbiter");
    assert_eq!(taskset.status().as_deref(), Some("cancelled"));
    assert_eq!(server.list("rrrspec:arbiter_queue:dead").len(), 5);
}
