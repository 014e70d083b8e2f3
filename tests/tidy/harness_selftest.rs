//! Tests of the harness: a tool that breaks others must break exactly the intended target.

use crate::harness::*;

use std::time::Duration;

use redis::Connection;

/// A connection through the proxy, with its handshake excluded from the counts.
fn connect(proxy: &Proxy) -> Connection {
    let client = redis::Client::open(proxy.url()).unwrap();
    let conn = client.get_connection().unwrap();
    proxy.reset();
    conn
}

fn incr(conn: &mut Connection) -> redis::RedisResult<i64> {
    redis::cmd("INCR").arg("n").query(conn)
}

/// A client that increments `n` five times on one connection.
fn counter(proxy: &Proxy) -> Running {
    let socket = proxy.url().replace("unix://", "");
    Tool::program(proxy, "redis-cli")
        .args(["-s", &socket, "-r", "5", "INCR", "n"])
        .spawn()
}

#[test]
fn a_crash_before_a_command_hides_it_from_the_server() {
    let server = Server::new();
    let proxy = Proxy::start(&server);
    proxy.crash_at(3, Crash::Before);
    let done = counter(&proxy).wait(PATIENCE);
    assert_eq!((done.signal, &*done.stdout), (Some(9), "1\n2\n"));
    assert_eq!(server.run::<i64>(&["GET", "n"]), 2);
    assert_eq!(proxy.crashes(), 1);
}

#[test]
fn a_crash_after_a_command_applies_it_and_loses_the_reply() {
    let server = Server::new();
    let proxy = Proxy::start(&server);
    proxy.crash_at(3, Crash::After);
    let done = counter(&proxy).wait(PATIENCE);
    assert_eq!((done.signal, &*done.stdout), (Some(9), "1\n2\n"));
    assert_eq!(server.run::<i64>(&["GET", "n"]), 3);
    assert_eq!(proxy.crashes(), 1);
}

#[test]
fn a_pipeline_is_one_round_trip_and_each_command_is_counted() {
    let server = Server::new();
    let proxy = Proxy::start(&server);
    let mut conn = connect(&proxy);
    incr(&mut conn).unwrap();
    let mut pipe = redis::pipe();
    pipe.cmd("INCR").arg("n").cmd("PING").cmd("PING");
    pipe.exec(&mut conn).unwrap();
    assert_eq!(proxy.commands(), ["INCR", "INCR", "PING", "PING"]);
    assert_eq!(proxy.round_trips(0), 2);
}

#[test]
fn a_blackhole_applies_commands_and_swallows_replies() {
    let server = Server::new();
    let proxy = Proxy::start(&server);
    let mut conn = connect(&proxy);
    conn.set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    proxy.blackhole(true);
    assert!(incr(&mut conn).unwrap_err().is_timeout());
    eventually(PATIENCE, "a reply is swallowed", || {
        (proxy.swallowed() == 1).then_some(())
    });
    assert_eq!(server.run::<i64>(&["GET", "n"]), 1);
    proxy.blackhole(false);
    assert!(incr(&mut conn).is_err(), "that connection is closed");
    assert_eq!(incr(&mut connect(&proxy)).unwrap(), 2);
}

#[test]
fn a_frozen_proxy_moves_nothing_and_then_everything() {
    let server = Server::new();
    let proxy = Proxy::start(&server);
    let mut conn = connect(&proxy);
    conn.set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    proxy.freeze(true);
    assert!(incr(&mut conn).unwrap_err().is_timeout());
    assert_eq!(server.run::<Option<i64>>(&["GET", "n"]), None);
    proxy.freeze(false);
    eventually(PATIENCE, "the held command", || {
        server.run::<Option<i64>>(&["GET", "n"])
    });
}

#[test]
fn frames_are_split_alike_however_the_bytes_arrive() {
    let replies: [&[u8]; 8] = [
        b"+OK\r\n",
        b"$-1\r\n",
        b"$4\r\na\r\nb\r\n",
        b"*-1\r\n",
        b"*2\r\n*1\r\n:1\r\n$0\r\n\r\n",
        b"%1\r\n+a\r\n_\r\n",
        b"|1\r\n+a\r\n+b\r\n:7\r\n",
        b">2\r\n+message\r\n$1\r\nx\r\n",
    ];
    let all = replies.concat();
    for chunk in 1..=all.len() {
        let mut frames = resp::Frames::default();
        let mut cut = Vec::new();
        for part in all.chunks(chunk) {
            frames.feed(part);
            while let Some(frame) = frames.next().unwrap() {
                cut.push(frame);
            }
        }
        assert_eq!(cut, replies, "in pieces of {chunk}");
        assert!(frames.is_empty());
    }
    let mut frames = resp::Frames::default();
    frames.feed(b"PING\r\n");
    assert!(frames.next().is_err(), "an inline command is not supported");
}

#[test]
fn the_append_only_file_survives_a_kill_and_can_lose_its_tail() {
    let server = Server::options().append_only().start();
    server.run::<()>(&["SET", "first", "1"]);
    server.run::<()>(&["SET", "second", "2"]);
    server.kill();
    server.restart();
    assert_eq!(server.run::<String>(&["GET", "second"]), "2");
    server.run::<()>(&["SET", "third", "3"]);
    server.kill();
    server.cut_append_only_tail(1);
    server.restart();
    assert_eq!(server.run::<String>(&["GET", "second"]), "2");
    assert_eq!(server.run::<Option<String>>(&["GET", "third"]), None);
}

#[test]
fn an_escaped_process_is_tracked_and_dies_with_its_parent() {
    let server = Server::new();
    let script = "(setsid sleep 601 &) ; exec sleep 602";
    let parent = Tool::program(&server, "sh").args(["-c", script]).spawn();
    let orphan = eventually(PATIENCE, "the orphan", || {
        let mut family = parent.family().into_iter();
        family.find(|member| member.command == "sleep 601")
    });
    assert!(orphan.status("VmRSS").is_some());
    drop(parent);
    // Init may reap it late; a zombie has no memory.
    assert_eq!(process_tree::status(orphan.pid, "VmRSS"), None);
}

#[test]
fn a_dump_has_every_key_with_type_content_and_time_to_live() {
    let server = Server::new();
    server.run::<()>(&["SET", "s", "text", "EX", "100"]);
    server.run::<()>(&["HSET", "h", "b", "2", "a", "1"]);
    server.run::<()>(&["RPUSH", "l", "x", "y"]);
    server.run::<()>(&["XADD", "x", "*", "field", "value"]);
    let keys = server.dump_keys();
    assert_eq!(
        dump::lines(&keys),
        [
            r#"h: hash {"a":"1","b":"2"}"#,
            r#"l: list ["x","y"]"#,
            r#"s: string "text""#,
            r#"x: stream [{"field":"value"}]"#,
        ]
    );
    assert!(keys["s"].ttl.unwrap() > Duration::from_secs(50));
    assert_eq!(keys["h"].ttl, None);
}

#[test]
fn calls_are_counted_inside_scripts_too() {
    let server = Server::new();
    let mut conn = server.conn();
    let before = Counts::take(&mut conn);
    server.run::<()>(&["EVAL", "return redis.call('INCR', KEYS[1])", "1", "n"]);
    let counts = Counts::take(&mut conn).since(&before);
    assert_eq!((counts.get("incr"), counts.get("eval")), (1, 1));
}
