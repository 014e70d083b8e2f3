//! The users of `scripts/redis/users.acl` and their restrictions. The whole suite under
//! `RRR_TEST_REDIS=acl`, and one run here, prove that each can do its work.

use crate::harness::redis_mode::{refusals, user_of, users, users_and_workers};
use crate::harness::*;
use std::path::Path;

fn tool(server: &Server, folder: &Path, name: &str) -> Tool {
    tool_as(server, folder, name, user_of(name))
}

fn tool_as(server: &Server, folder: &Path, name: &str, user: &str) -> Tool {
    let url = format!("unix://{}?user={user}", server.socket().display());
    let password = folder.join(format!("{user}.password"));
    Tool::new(&url, name).env("RRR_REDIS_PASSWORD_FILE", password)
}

fn secured() -> (Server, std::path::PathBuf) {
    let folder = users_and_workers(&["own"]);
    let file = folder.join("users.acl").display().to_string();
    (Server::options().set("aclfile", &file).start(), folder)
}

#[test]
fn each_role_can_do_its_work_as_its_own_redis_user() {
    let (server, folder) = secured();
    let suite = Suite::new();
    suite.many(8, "exit 0");
    suite.file("flaky.sh", "[ -e seen ] && exit 0; touch seen; exit 1");
    suite.file("dies.sh", "kill -9 $PPID");
    let start = |name: &str| tool(&server, &folder, name);
    let _roles = [
        start("rrr-arbiter").spawn(),
        start("rrr-dispatch").spawn(),
        start("rrr-persist")
            .args(["--log-dir", "records"])
            .dir(suite.path())
            .spawn(),
        start("rrr-worker")
            .args(["--worker-id", "any", "--slaves", "1", "--in-place"])
            .arg(suite.path())
            .spawn(),
        tool_as(&server, &folder, "rrr-worker", "rrr-worker-own")
            .args(["--worker-id", "own", "--slaves", "1", "--in-place"])
            .arg(suite.path())
            .spawn(),
    ];
    let submit = start("rrr-submit").args(["--no-rsync", "--follow", "--max-trials", "2"]);
    let done = submit
        .args(suite.files())
        .args(["--", "sh", "{}"])
        .dir(suite.path())
        .run();
    let receipt = done.expect_code(1).receipt();
    assert_eq!((receipt.succeeded, receipt.failed), (9, 1));
    eventually(PATIENCE, "the taskset is persisted", || {
        let queue: u64 = server.run(&["LLEN", "rrrspec:persister_queue"]);
        (queue == 0).then_some(())
    });
    start("rrr-list").arg("tasksets").run().expect_code(0);
    start("rrr-fsck").run();
    start("rrr-cancel").arg("--all").run();
    assert_eq!(refusals(&mut server.conn()), Vec::<String>::new());
}

/// Asks Redis, as the user, to try a command without running it.
fn may(server: &Server, user: &str, words: &[&str]) -> bool {
    let answer: String = server.run(&[&["ACL", "DRYRUN", user], words].concat());
    answer == "OK"
}

#[test]
fn no_redis_user_may_exceed_its_role() {
    let (server, _) = secured();
    let roles = [
        "rrr-worker-own",
        "rrr-submit",
        "rrr-dispatch",
        "rrr-arbiter",
        "rrr-persist",
        "rrr-worker",
        "rrr-watch",
    ];
    let never: [&[&str]; 12] = [
        &["FLUSHALL"],
        &["CONFIG", "SET", "dir", "/"],
        &["KEYS", "*"],
        &["SHUTDOWN"],
        &["ACL", "SETUSER", "x"],
        &["DEBUG", "SLEEP", "1"],
        &["SCRIPT", "FLUSH"],
        &["REPLICAOF", "h", "1"],
        &["GET", "other"],
        &["SET", "other", "1"],
        &["DEL", "rrrspec:estimate_sec:default"],
        &["MONITOR"],
    ];
    for user in roles {
        for words in never {
            assert!(!may(&server, user, words), "{user}: {words:?}");
        }
    }
    let own: [(&str, &[&str]); 12] = [
        ("rrr-worker", &["RPUSH", "rrrspec:active_taskset", "x"]),
        ("rrr-worker", &["RPUSH", "rrrspec:persister_queue", "x"]),
        (
            "rrr-worker",
            &["HSET", "rrrspec:rsync_info", "rsync_options", "-e sh"],
        ),
        (
            "rrr-worker",
            &["HSET", "rrrspec:estimate_sec:default", "a", "1"],
        ),
        ("rrr-submit", &["HSET", "rrrspec:worker:w", "taskset", "x"]),
        (
            "rrr-submit",
            &["RPUSH", "rrrspec:worker:w:worker_queue", "x"],
        ),
        (
            "rrr-submit",
            &["HSET", "rrrspec:rsync_info", "rsync_options", "-e sh"],
        ),
        ("rrr-dispatch", &["RPUSH", "rrrspec:arbiter_queue", "x"]),
        ("rrr-arbiter", &["RPUSH", "rrrspec:dispatcher_queue", "0"]),
        ("rrr-persist", &["RPUSH", "rrrspec:arbiter_queue", "x"]),
        (
            "rrr-watch",
            &["HSET", "rrrspec:taskset:t", "status", "succeeded"],
        ),
        ("rrr-watch", &["EVAL", "return 1", "0"]),
    ];
    for (user, words) in own {
        assert!(!may(&server, user, words), "{user}: {words:?}");
    }
    assert!(may(&server, "rrr-watch", &["HGETALL", "rrrspec:taskset:t"]));
}

#[test]
fn only_the_submitters_user_may_hand_over_a_taskset() {
    let (server, _) = secured();
    let active = "rrrspec:active_taskset";
    let script = "return redis.call('RPUSH', KEYS[1], 'x')";
    let handed_over = |user: &str| {
        let name = format!("{user}-without-password");
        let rights: Vec<String> = server.run(&["ACL", "LIST"]);
        let rights = rights
            .iter()
            .find(|line| line.starts_with(&format!("user {user} ")));
        let rights = rights.unwrap().split_once(" on ").unwrap().1;
        let without = rights.split(' ').filter(|word| !word.starts_with('#'));
        // A selector is one word.
        let mut words: Vec<String> = vec![
            "ACL".into(),
            "SETUSER".into(),
            name.clone(),
            "on".into(),
            "nopass".into(),
        ];
        for word in without {
            match words
                .last_mut()
                .filter(|last| last.starts_with('(') && !last.ends_with(')'))
            {
                Some(last) => *last += &format!(" {word}"),
                None => words.push(word.to_owned()),
            }
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        server.run::<String>(&words);
        let mut conn = server.conn();
        let login = redis::cmd("AUTH").arg(&name).arg("").exec(&mut conn);
        login.unwrap();
        let tried = redis::cmd("EVAL")
            .arg(script)
            .arg(1)
            .arg(active)
            .exec(&mut conn);
        let tried = tried.is_ok();
        tried || may(&server, user, &["RPUSH", active, "x"])
    };
    for user in [
        "rrr-dispatch",
        "rrr-arbiter",
        "rrr-persist",
        "rrr-worker",
        "rrr-worker-own",
        "rrr-watch",
    ] {
        assert!(!handed_over(user), "{user}");
    }
    assert!(handed_over("rrr-submit"));
    // Worker queues: only for the dispatcher and workers.
    let queue = ["RPUSH", "rrrspec:worker:w:worker_queue", "x"];
    for user in ["rrr-arbiter", "rrr-persist", "rrr-submit", "rrr-worker-own"] {
        assert!(!may(&server, user, &queue), "{user}");
    }
    let own = |words: &[&str]| may(&server, "rrr-worker-own", words);
    assert!(own(&["HSET", "rrrspec:worker:own", "taskset", "x"]));
    assert!(own(&["LPOP", "rrrspec:worker:own:worker_queue"]));
    for foreign in ["w", "own2", "owner", "ow"] {
        assert!(!own(&[
            "HSET",
            &format!("rrrspec:worker:{foreign}"),
            "taskset",
            "x"
        ]));
        assert!(!own(&[
            "RPUSH",
            &format!("rrrspec:worker:{foreign}:slave:1:trial"),
            "x"
        ]));
    }
}

#[test]
fn users_are_recreated_without_changing_their_passwords() {
    let folder = users();
    let read = || std::fs::read_to_string(folder.join("rrr-worker.password")).unwrap();
    let before = read();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/redis/make-users");
    let output = std::process::Command::new(script)
        .arg(&folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(read(), before);
    let acl = std::fs::read_to_string(folder.join("users.acl")).unwrap();
    assert!(
        !acl.contains(before.trim()) && !acl.contains("#PASSWORD"),
        "{acl}"
    );
}
