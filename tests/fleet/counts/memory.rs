//! The Redis memory used by a task, as counted by Redis key by key.

use crate::counts::all_are_to_be_judged;
use crate::harness::*;

/// Maximum bytes of the keys of a waiting and of a finished task, with a name of 30 bytes. Redis
/// also needs a table entry per key; outputs and examples are extra.
const WAITING: u64 = 620;
const HAS_RUN: u64 = 2800;

/// The bytes of all keys, when every task is waiting and when every task has finished.
fn bytes(tasks: usize) -> [u64; 2] {
    let server = Server::options()
        .set("hash-max-ziplist-value", "512")
        .start();
    let files: String = (0..tasks)
        .map(|n| format!("spec/some/folder/t{n:04}_spec.rb\n"))
        .collect();
    let submit = Tool::new(&server, "rrr-submit").args(["--no-rsync", "--key-only"]);
    let submit = submit.args(["--files-from", "-", "--", "true"]);
    let key = submit.stdin(files).run().expect_code(0).stdout;
    let key = key.trim();
    let waiting = of_all_keys(&server);
    server.hset(key, "status", "running");
    let simulated = SimulatedSlaves::start(&server, key, 4);
    // Keeps the events of all slaves together, however busy the machine is.
    all_are_to_be_judged(&server, tasks);
    drain(&server, "rrr-arbiter");
    simulated.wait();
    assert_eq!(server.hget(key, "succeeded_count"), Some(tasks.to_string()));
    [waiting, of_all_keys(&server)]
}

fn of_all_keys(server: &Server) -> u64 {
    let mut conn = server.conn();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut conn).expect("keys");
    let mut bytes = 0;
    for chunk in keys.chunks(500) {
        let mut pipe = redis::pipe();
        for key in chunk {
            pipe.cmd("MEMORY")
                .arg("USAGE")
                .arg(key)
                .arg("SAMPLES")
                .arg(0);
        }
        let sizes: Vec<Option<u64>> = pipe.query(&mut conn).expect("sizes");
        bytes += sizes.into_iter().flatten().sum::<u64>();
    }
    bytes
}

#[test]
fn a_task_takes_few_bytes_of_redis() {
    let (few, many) = (bytes(1000), bytes(4000));
    let each = [0, 1].map(|when| (many[when] - few[when]) / 3000);
    println!("bytes of a task that waits and of one that has run: {each:?}");
    assert!(each[0] <= WAITING, "{} bytes a task that waits", each[0]);
    assert!(each[1] <= HAS_RUN, "{} bytes a task that has run", each[1]);
}
