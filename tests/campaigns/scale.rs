//! Campaign 9: ten thousand tasks lost at once. How long that took and how long scripts take is
//! printed, not asserted: other processes share the machine.

use crate::harness::*;
use std::time::Instant;

const TASKS: usize = 10_000;

/// The p50, p99 and p99.9 of a command, as Redis 7 tells them; empty before.
fn percentiles(server: &Server, command: &str) -> String {
    let info: String = server.run(&["INFO", "latencystats"]);
    let name = format!("latency_percentiles_usec_{command}:");
    let line = info.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap_or_default().trim().to_owned()
}

#[test]
fn ten_thousand_tasks_lost_at_once_are_put_back_once_each() {
    let server = Server::new();
    let files: String = (0..TASKS).map(|n| format!("t{n:05}.sh\n")).collect();
    let submit = Tool::new(&server, "rrr-submit").args(["--no-rsync", "--key-only"]);
    let submit = submit.args(["--files-from", "-"]).args(["--", "true"]);
    let key = submit.stdin(files).run().expect_code(0).stdout;
    let key = key.trim();
    // As a Redis that was restored without them: no queue, no trial, no message.
    server.run::<()>(&["DEL", &format!("{key}:task_queue")]);
    server.hset(key, "status", "running");
    server.run::<()>(&["CONFIG", "RESETSTAT"]);
    let began = Instant::now();
    let _arbiter = Tool::new(&server, "rrr-arbiter").spawn();
    let queue = format!("{key}:task_queue");
    eventually(PATIENCE, "all lost tasks are queued again", || {
        let queued: usize = server.run(&["LLEN", &queue]);
        (queued >= TASKS).then_some(())
    });
    println!(
        "{TASKS} lost tasks were queued again after {} ms; evalsha in µs: {}",
        began.elapsed().as_millis(),
        percentiles(&server, "evalsha"),
    );
    let mut queued = server.list(&queue);
    queued.sort();
    let before = queued.len();
    queued.dedup();
    assert_eq!((before, queued.len()), (TASKS, TASKS));
    let fsck = Tool::new(&server, "rrr-fsck").arg(key).run();
    assert_eq!(fsck.stdout, "", "{fsck:?}");
}
