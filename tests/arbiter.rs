//! Verdicts, one fault at a time: state written by hand, then one arbiter that drains.

mod common;
use common::{Bench, by_hand, field};

fn trial(
    conn: &mut redis::Connection,
    taskset: &str,
    task: &str,
    id: &str,
    status: &str,
) -> String {
    let task = format!("{taskset}:task:{task}");
    let trial = format!("{task}:trial:{id}");
    redis::pipe()
        .cmd("HSET")
        .arg(&trial)
        .arg("task")
        .arg(&task)
        .arg("slave")
        .arg("rrrspec:worker:w:slave:1")
        .arg("status")
        .arg(status)
        .cmd("RPUSH")
        .arg(format!("{task}:trial"))
        .arg(&trial)
        .cmd("LREM")
        .arg(format!("{taskset}:task_queue"))
        .arg(1)
        .arg(&task)
        .exec(conn)
        .unwrap();
    trial
}

fn send(conn: &mut redis::Connection, message: &[u8]) {
    redis::cmd("RPUSH")
        .arg("rrrspec:arbiter_queue")
        .arg(message)
        .exec(conn)
        .unwrap();
}

fn drain(bench: &Bench) {
    let output = bench.run("rrr-arbiter", &["--drain"]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn f1_lost_tasks_left_is_no_success() {
    let bench = Bench::new();
    let mut conn = bench.conn();
    let taskset = by_hand(&mut conn, "t", &["a", "b"], "true", "running");
    redis::cmd("DEL")
        .arg(format!("{taskset}:tasks_left"))
        .exec(&mut conn)
        .unwrap();
    send(&mut conn, format!("check\t{taskset}").as_bytes());
    drain(&bench);
    assert_eq!(
        field(&mut conn, &taskset, "status").as_deref(),
        Some("failed")
    );
    assert!(
        field(&mut conn, &taskset, "fail_reason")
            .unwrap()
            .contains("accounting mismatch")
    );
}

#[test]
fn c3_a_trial_announced_three_times_counts_once() {
    let bench = Bench::new();
    let mut conn = bench.conn();
    let taskset = by_hand(&mut conn, "t", &["a", "b"], "true", "running");
    let passed = trial(&mut conn, &taskset, "a", "1", "passed");
    let failed = trial(&mut conn, &taskset, "b", "1", "failed");
    for _ in 0..3 {
        send(&mut conn, format!("trial\t{passed}").as_bytes());
        send(&mut conn, format!("trial\t{failed}").as_bytes());
    }
    drain(&bench);
    assert_eq!(
        field(&mut conn, &taskset, "succeeded_count").as_deref(),
        Some("1")
    );
    let queue: Vec<String> = redis::cmd("LRANGE")
        .arg(format!("{taskset}:task_queue"))
        .arg(0)
        .arg(-1)
        .query(&mut conn)
        .unwrap();
    assert_eq!(queue, [format!("{taskset}:task:b")], "put back once");
}

#[test]
fn a_task_fails_at_max_trials_and_the_taskset_with_it() {
    let bench = Bench::new();
    let mut conn = bench.conn();
    let taskset = by_hand(&mut conn, "t", &["a"], "true", "running");
    for id in ["1", "2"] {
        let failed = trial(&mut conn, &taskset, "a", id, "timeout");
        send(&mut conn, format!("trial\t{failed}").as_bytes());
    }
    drain(&bench);
    assert_eq!(
        field(&mut conn, &taskset, "status").as_deref(),
        Some("failed")
    );
    assert_eq!(
        field(&mut conn, &taskset, "failed_count").as_deref(),
        Some("1")
    );
}

#[test]
fn l8_nonsense_goes_to_the_dead_list_and_the_next_message_is_handled() {
    let bench = Bench::new();
    let mut conn = bench.conn();
    let taskset = by_hand(&mut conn, "t", &["a"], "true", "running");
    for message in [&b"bogus"[..], b"\xff\xfe", b"trial\tx", b"cancel\tx", b""] {
        send(&mut conn, message);
    }
    send(&mut conn, format!("cancel\t{taskset}").as_bytes());
    drain(&bench);
    assert_eq!(
        field(&mut conn, &taskset, "status").as_deref(),
        Some("cancelled")
    );
    let dead: usize = redis::cmd("LLEN")
        .arg("rrrspec:arbiter_queue:dead")
        .query(&mut conn)
        .unwrap();
    assert_eq!(dead, 5);
}

#[test]
fn q2_a_popped_task_without_a_trial_is_put_back() {
    let bench = Bench::new();
    let mut conn = bench.conn();
    let taskset = by_hand(&mut conn, "t", &["a"], "true", "running");
    redis::cmd("LPOP")
        .arg(format!("{taskset}:task_queue"))
        .exec(&mut conn)
        .unwrap();
    drain(&bench);
    let queued: usize = redis::cmd("LLEN")
        .arg(format!("{taskset}:task_queue"))
        .query(&mut conn)
        .unwrap();
    assert_eq!(queued, 1);
}

#[test]
fn q3_a_finished_trial_whose_message_was_lost_is_judged() {
    let bench = Bench::new();
    let mut conn = bench.conn();
    let taskset = by_hand(&mut conn, "t", &["a"], "true", "running");
    trial(&mut conn, &taskset, "a", "1", "passed");
    drain(&bench);
    assert_eq!(
        field(&mut conn, &taskset, "status").as_deref(),
        Some("succeeded")
    );
}

#[test]
fn k1_a_message_for_an_expired_taskset_brings_no_key_back() {
    let bench = Bench::new();
    let mut conn = bench.conn();
    send(&mut conn, b"trial\trrrspec:taskset:gone:task:a:trial:1");
    send(&mut conn, b"check\trrrspec:taskset:gone");
    send(&mut conn, b"fail\trrrspec:taskset:gone");
    drain(&bench);
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut conn).unwrap();
    assert_eq!(keys, ["rrrspec:arbiter_queue:dead"]);
}

#[test]
fn l2_copies_of_a_finished_task_are_dropped_from_the_queue() {
    let mut bench = Bench::new();
    let mut conn = bench.conn();
    let taskset = by_hand(&mut conn, "t", &["a", "b"], "rrr-slave -- touch", "running");
    let done = format!("{taskset}:task:a");
    redis::pipe()
        .cmd("HSET")
        .arg(&done)
        .arg("status")
        .arg("passed")
        .cmd("HSET")
        .arg(&taskset)
        .arg("succeeded_count")
        .arg(1)
        .cmd("LREM")
        .arg(format!("{taskset}:tasks_left"))
        .arg(1)
        .arg(&done)
        .cmd("LPUSH")
        .arg(format!("{taskset}:task_queue"))
        .arg(&done)
        .exec(&mut conn)
        .unwrap();
    bench.roles("1");
    common::until("the verdict", || {
        (field(&mut conn, &taskset, "status").as_deref() == Some("succeeded")).then_some(())
    });
    assert!(bench.path("suite/b").exists());
    assert!(
        !bench.path("suite/a").exists(),
        "the finished one was not run again"
    );
}
