//! Servers that accept connections and are no Redis: every tool gives up, and ends at once on Ctrl-C.

use crate::harness::*;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const KEY: &str = "rrrspec:taskset:t";

/// Each tool that connects to Redis, with arguments that are otherwise valid.
const TOOLS: &[(&str, &[&str])] = &[
    (
        "rrr-submit",
        &["--no-rsync", "--follow", "a.sh", "--", "true"],
    ),
    ("rrr-wait", &[KEY]),
    ("rrr-watch", &[KEY]),
    ("rrr-list", &["tasksets"]),
    ("rrr-cancel", &[KEY]),
    ("rrr-show", &[KEY]),
    ("rrr-stat", &[]),
    ("rrr-fsck", &[]),
    ("rrr-arbiter", &[]),
    ("rrr-dispatch", &[]),
    ("rrr-persist", &[]),
    ("rrr-worker", &["--in-place", "."]),
];

/// A server that reads everything and never answers, or speaks HTTP; and its number of connections.
fn server(speaks_http: bool) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("redis://{}", listener.local_addr().expect("its address"));
    let count = Arc::new(AtomicUsize::new(0));
    let connections = count.clone();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for mut stream in listener.incoming().flatten() {
            connections.fetch_add(1, Ordering::SeqCst);
            if speaks_http {
                std::thread::spawn(move || {
                    let _ = stream.read(&mut [0; 1024]);
                    let _ =
                        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
                });
            } else {
                kept.push(stream);
            }
        }
    });
    (url, count)
}

/// Starts every tool on the URL.
fn start(url: &str, suite: &Suite) -> Vec<Running> {
    let tools = TOOLS.iter();
    let tool = |(name, args): &(&str, &[&str])| {
        let tool = Tool::new(url, name).args(*args);
        tool.dir(suite.path()).spawn()
    };
    tools.map(tool).collect()
}

#[test]
fn every_tool_gives_up_on_a_server_that_is_no_redis() {
    let suite = Suite::new();
    suite.file("a.sh", "exit 0");
    for speaks_http in [false, true] {
        let (url, _) = server(speaks_http);
        for (running, (name, _)) in start(&url, &suite).into_iter().zip(TOOLS) {
            let done = running.wait(PATIENCE);
            assert_eq!(done.code, Some(69), "{name}: {done:#?}");
            assert!(done.stderr.contains("cannot connect to"), "{done:#?}");
            assert!(done.stderr.contains("hint: "), "{done:#?}");
        }
    }
}

#[test]
fn ctrl_c_ends_every_tool_that_waits_for_the_first_reply() {
    let suite = Suite::new();
    suite.file("a.sh", "exit 0");
    let (url, count) = server(false);
    let running = start(&url, &suite);
    eventually(PATIENCE, "every tool has connected", || {
        (count.load(Ordering::SeqCst) >= TOOLS.len()).then_some(())
    });
    running.iter().for_each(Running::int);
    for (running, (name, _)) in running.into_iter().zip(TOOLS) {
        // One that waited for the reply instead would exit with 69.
        let done = running.wait(PATIENCE);
        assert_eq!(done.code, Some(130), "{name}: {done:#?}");
    }
}

/// Longer than any tool needs to stop, and shorter than the shortest timeout of a reply: a tool that
/// waits for the timeout is too late.
const SOON: Duration = Duration::from_secs(6);

#[test]
fn a_signal_ends_every_tool_whose_redis_falls_silent() {
    let suite = Suite::new();
    suite.file("a.sh", "sleep 600");
    let redis = Server::new();
    let url = redis.url();
    let tool = |name| Tool::new(&url, name).dir(suite.path());
    let submit = tool("rrr-submit").args(["--no-rsync", "--taskset", KEY, "a.sh", "--", "bash"]);
    submit.run().expect_code(0);
    let follow = ["--no-rsync", "--follow", "a.sh", "--", "bash"];
    let running = [
        tool("rrr-arbiter").spawn(),
        tool("rrr-dispatch").spawn(),
        tool("rrr-persist").spawn(),
        tool("rrr-worker").args(["--in-place", "."]).spawn(),
        tool("rrr-watch").arg(KEY).spawn(),
        tool("rrr-wait").arg(KEY).spawn(),
        tool("rrr-submit").args(follow).spawn(),
    ];
    eventually(PATIENCE, "a trial runs, and every tool waits", || {
        let clients: String = redis.run(&["CLIENT", "LIST"]);
        let trials: Vec<String> = redis.run(&["KEYS", "*:trial:*"]);
        (!trials.is_empty() && clients.lines().count() > running.len()).then_some(())
    });
    redis.pause();
    running.iter().for_each(Running::term);
    for (at, running) in running.into_iter().enumerate() {
        let done = running.wait(SOON);
        // A role that did not wait for Redis at that moment stops as usual.
        assert!(matches!(done.code, Some(0 | 143)), "{at}: {done:#?}");
    }
    redis.resume();
}
