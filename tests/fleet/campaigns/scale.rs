//! Campaign 9: many tasks, and ten thousand tasks lost at once. Times of runs and scripts are
//! printed, not asserted, as other processes share the machine. `scripts/scale` runs more tasks
//! (`RRR_SCALE_TASKS`, `RRR_SCALE_SLAVES`), and judges the times.

use crate::harness::*;
use std::time::{Duration, Instant};

const TASKS: usize = 10_000;
/// Maximum time for a large suite.
const LONG: Duration = Duration::from_secs(900);

/// The p50, p99 and p99.9 of a command in microseconds, from Redis 7 on; none before.
fn percentiles(server: &Server, command: &str) -> [Option<f64>; 3] {
    let info: String = server.run(&["INFO", "latencystats"]);
    let name = format!("latency_percentiles_usec_{command}:");
    let line = info.lines().find_map(|line| line.strip_prefix(&name));
    let values = line.unwrap_or_default().trim().split(',');
    let mut values = values.map(|value| value.split_once('=')?.1.parse().ok());
    std::array::from_fn(|_| values.next().flatten())
}

/// A runner (by the runner protocol) that passes every spec file.
const RUNNER: &str = r#"
import json, os
orders, answers = os.fdopen(3), os.fdopen(4, "w")
for line in orders:
    order = json.loads(line)
    answer = {"type": "hello", "version": 1}
    if order["type"] == "run":
        answer = {"type": "result", "trial": order["trial"], "status": "passed"}
    answers.write(json.dumps(answer) + "\n"); answers.flush()
"#;

#[test]
fn a_large_suite_ends_with_exact_counts() {
    let tasks = setting("RRR_SCALE_TASKS", 3000);
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("runner.py", RUNNER);
    let fleet = Fleet::start(&server);
    let worker = fleet.worker("w", 2, suite.path());
    server.run::<()>(&["CONFIG", "RESETSTAT"]);
    let files: String = (0..tasks).map(|n| format!("t{n:06}.sh\n")).collect();
    let began = Instant::now();
    let submit = Tool::new(&server, "rrr-submit").args(["--no-rsync", "--follow"]);
    let submit = submit.args(["--slave", "rrr-slave --adapter serve -- python3 runner.py"]);
    let submit = submit.args(["--files-from", "-"]).stdin(files);
    let done = submit.spawn().wait(LONG).expect_code(0);
    let (seconds, receipt) = (began.elapsed().as_secs_f64(), done.receipt());
    assert_eq!(
        [receipt.tasks, receipt.succeeded].map(|n| n as usize),
        [tasks; 2],
        "{receipt:?}"
    );
    let [p50, p99, most] = percentiles(&server, "evalsha");
    let line = serde_json::json!({
        "campaign": "scale",
        "tasks": tasks,
        "seconds": (seconds * 1000.0).round() / 1000.0,
        "script_p50_us": p50,
        "script_p99_us": p99,
        "script_p999_us": most,
    });
    println!("{line}");
    worker.term();
    worker.wait(PATIENCE).expect_code(0);
    let fsck = Tool::new(&server, "rrr-fsck").bound(LONG).run();
    assert_eq!(fsck.stdout, "", "{fsck:?}");
}

/// A number from the environment, for `scripts/scale`.
fn setting(name: &str, default: usize) -> usize {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text.parse().expect("a number"),
        _ => default,
    }
}

/// The bytes used by Redis.
fn memory(server: &Server) -> u64 {
    let info: String = server.run(&["INFO", "memory"]);
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    line.expect("used_memory").trim().parse().expect("bytes")
}

#[test]
fn many_slaves_that_lose_a_tenth_of_the_tasks_count_exactly() {
    let tasks = setting("RRR_SCALE_TASKS", 3000);
    let slaves = setting("RRR_SCALE_SLAVES", 100);
    let lost = tasks / 10;
    let server = Server::new();
    let empty = memory(&server);
    let files: String = (0..tasks).map(|n| format!("t{n:06}.sh\n")).collect();
    let submit = Tool::new(&server, "rrr-submit").args(["--no-rsync", "--key-only"]);
    let submit = submit.args(["--files-from", "-"]).args(["--", "true"]);
    let key = submit.stdin(files).run().expect_code(0).stdout;
    let key = key.trim();
    // As if assigned to a worker.
    server.hset(key, "status", "running");
    let _arbiter = Tool::new(&server, "rrr-arbiter").spawn();
    let mut conn = server.conn();
    server.run::<()>(&["CONFIG", "RESETSTAT"]);
    let simulated = SimulatedSlaves::start(&server, key, slaves);
    let began = Instant::now();
    let before = Counts::take(&mut conn);
    let queue = format!("{key}:task_queue");
    let queued = || server.run::<usize>(&["LLEN", &queue]);
    eventually(LONG, "a tenth of the tasks is left", || {
        (queued() <= lost + slaves).then_some(())
    });
    simulated.hold();
    eventually(LONG, "all trials are judged", || {
        let waiting: usize = server.run(&["LLEN", "rrrspec:arbiter_queue"]);
        (waiting == 0).then_some(())
    });
    let worked = began.elapsed();
    let lost = queued();
    server.run::<()>(&["DEL", &queue]);
    let began = Instant::now();
    eventually(LONG, "all lost tasks are queued again", || {
        (queued() >= lost).then_some(())
    });
    let recovered = began.elapsed();
    let began = Instant::now();
    simulated.release();
    simulated.wait();
    let seconds = (worked + began.elapsed()).as_secs_f64();
    assert_eq!(server.hget(key, "status").as_deref(), Some("succeeded"));
    let count = server.hget(key, "succeeded_count");
    assert_eq!(count, Some(tasks.to_string()));
    let counts = Counts::take(&mut conn).since(&before);
    let calls: u64 = counts.iter().map(|(_, calls)| calls).sum();
    let [p50, p99, most] = percentiles(&server, "evalsha");
    let round = |number: f64| (number * 1000.0).round() / 1000.0;
    let line = serde_json::json!({
        "campaign": "crowd",
        "tasks": tasks,
        "slaves": slaves,
        "seconds": round(seconds),
        "lost": lost,
        "recovered_seconds": round(recovered.as_secs_f64()),
        "script_p50_us": p50,
        "script_p99_us": p99,
        "script_p999_us": most,
        "calls_a_task": round(calls as f64 / tasks as f64),
        "bytes_a_task": (memory(&server) - empty) / tasks as u64,
    });
    println!("{line}");
    let fsck = Tool::new(&server, "rrr-fsck").arg(key).bound(LONG).run();
    assert_eq!(fsck.stdout, "", "{fsck:?}");
}

#[test]
fn ten_thousand_lost_tasks_are_requeued_once_each() {
    let server = Server::new();
    let files: String = (0..TASKS).map(|n| format!("t{n:05}.sh\n")).collect();
    let submit = Tool::new(&server, "rrr-submit").args(["--no-rsync", "--key-only"]);
    let submit = submit.args(["--files-from", "-"]).args(["--", "true"]);
    let key = submit.stdin(files).run().expect_code(0).stdout;
    let key = key.trim();
    // As in a Redis restored without them: no queue, no trial, no message.
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
        "{TASKS} lost tasks were queued again after {} ms; p50, p99 and p99.9 of scripts in µs: {:?}",
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
