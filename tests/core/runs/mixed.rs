//! Roles of another implementation, which know only the protocol, on the same Redis as rrr.

use crate::harness::*;

/// A slave written to the protocol. Its tasks do as their names say: pass, die, or time out.
const SLAVE: &str = r#"
set -o pipefail
say() { redis-cli -s "$1" "${@:2}" </dev/null; }
socket=$1 taskset=$RRRSPEC_TASKSET_KEY
read -r _ _ _ _ group _ <"/proc/$$/stat"
key=rrrspec:worker:$2:slave:$group
[[ $group == "$$" || $group == "$PPID" ]]
echo "a foreign slave in $RRRSPEC_WORKING_DIR" >&2
[[ $RRRSPEC_WORKING_DIR == "$(dirname "$PWD")" ]] || exit 3
say "$socket" SET "$key:heartbeat" alive EX 30
number=0
while [[ $(say "$socket" HGET "$taskset" status) == running ]]; do
    task=$(say "$socket" LPOP "$taskset:task_queue")
    [[ $task ]] || { sleep 0.1; continue; }
    number=$((number + 1))
    trial=$task:trial:$$-$number
    say "$socket" HSET "$trial" task "$task" slave "$key"
    say "$socket" RPUSH "$task:trial" "$trial"
    say "$socket" RPUSH "$key:trial" "$trial"
    say "$socket" HSET "$trial" started_at "2013-07-11 15:43:36 +0900"
    case $task in
    *:die*) kill -KILL "$$" ;;
    *:slow*) exit 42 ;;
    *:wait*) trap 'touch "$PWD/asked"; exit 0' TERM
             touch waits
             while :; do sleep 0.05; done ;;
    esac
    say "$socket" HSET "$trial" status passed finished_at "2013-07-11 15:43:37 +0900" passed 1 pending 0 failed 0
    say "$socket" RPUSH rrrspec:arbiter_queue "trial	$trial"
done >/dev/null
"#;

/// A taskset with slaves of another implementation, which call their worker `worker`.
fn foreign<'a>(
    server: &'a Server,
    suite: &Suite,
    worker: &str,
    files: &[&str],
) -> raw::Taskset<'a> {
    suite.file("foreign.sh", SLAVE);
    let socket = server.socket();
    let command = format!(
        "set -o pipefail; [[ -e foreign.sh ]]; source /dev/null; bash foreign.sh '{}' '{worker}'",
        socket.display()
    );
    raw::taskset(server, "mixed", files)
        .set("slave_command", &command)
        .submitted()
}

fn trials(server: &Server, taskset: &raw::Taskset, file: &str) -> Vec<String> {
    let trials = server.list(&format!("{}:trial", taskset.task(file)));
    let status = |trial: &String| server.hget(trial, "status").unwrap_or_default();
    trials.iter().map(status).collect()
}

#[test]
fn a_foreign_slave_runs_under_a_worker_and_leaves_a_log() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let taskset = foreign(&server, &suite, "w", &["a", "b"]);
    let _worker = fleet.worker("w", 1, suite.path());
    eventually(PATIENCE, "the verdict", || {
        (taskset.status()? == "succeeded").then_some(())
    });
    let slaves = taskset.list("slave");
    let [slave] = &slaves[..] else {
        panic!("one slave is listed: {slaves:?}");
    };
    assert!(!slave.contains('-'), "named by its process group: {slave}");
    eventually(PATIENCE, "its end", || {
        (server.hget(slave, "status")? == "normal_exit").then_some(())
    });
    let log: String = server.run(&["GET", &format!("{slave}:log")]);
    assert!(log.contains("a foreign slave in"), "{log}");
    for key in [
        slave.clone(),
        format!("{slave}:trial"),
        format!("{slave}:log"),
    ] {
        assert!(server.run::<i64>(&["TTL", &key]) > 0, "{key} expires");
    }
    assert_eq!(taskset.counts(), (2, 0));
}

#[test]
fn the_death_of_a_foreign_slave_ends_its_trial_at_once() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let host = String::from_utf8(std::fs::read("/proc/sys/kernel/hostname").unwrap()).unwrap();
    // It identifies its worker by the host, whatever the worker's id.
    let taskset = foreign(&server, &suite, host.trim(), &["die", "slow", "good"]);
    let _worker = fleet.worker("w", 1, suite.path());
    eventually(PATIENCE, "the verdict", || {
        (taskset.status()? == "failed").then_some(())
    });
    assert_eq!(taskset.counts(), (1, 2));
    assert_eq!(trials(&server, &taskset, "die"), ["error", "error"]);
    assert_eq!(trials(&server, &taskset, "slow"), ["timeout", "timeout"]);
    let ends: Vec<_> = (taskset.list("slave").iter())
        .filter_map(|slave| server.hget(slave, "status"))
        .collect();
    let count = |end: &str| ends.iter().filter(|each| *each == end).count();
    assert_eq!((count("failure_exit"), count("timeout_exit")), (2, 2));
}

#[test]
fn a_foreign_slave_gets_term_before_kill() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let taskset = foreign(&server, &suite, "w", &["wait"]);
    let worker = fleet.worker("w", 1, suite.path());
    let file = |name: &str| suite.path().join(name).exists();
    eventually(PATIENCE, "its trial", || file("waits").then_some(()));
    worker.term();
    worker.wait(PATIENCE);
    assert!(file("asked"), "its trap has run");
    let trial = &server.list(&format!("{}:trial", taskset.task("wait")))[0];
    assert_eq!(server.hget(trial, "status").as_deref(), Some("error"));
    assert!(
        server.hget(trial, "stopped").is_some(),
        "a trial stopped by the worker does not count"
    );
}

#[test]
fn an_idle_slave_asks_for_a_check_when_its_tasks_are_done() {
    let (server, suite) = (Server::new(), Suite::new());
    let taskset = raw::taskset(&server, "idle", &["a"]).running();
    let _worker = Tool::new(&server, "rrr-worker")
        .env("RRR_CHECK_PAUSE", "50")
        .args([
            "--worker-id",
            "w",
            "--slaves",
            "1",
            "--taskset",
            &taskset.key,
        ])
        .arg("--in-place")
        .arg(suite.path())
        .spawn();
    let check = format!("check\t{}", taskset.key);
    // Another implementation's arbiter, which forgets what it was asked.
    for _ in 0..3 {
        eventually(PATIENCE, "a check after the trial", || {
            let queue = server.list("rrrspec:arbiter_queue");
            let is_trial = |message: &String| message.starts_with("trial");
            let trial = queue.iter().position(is_trial)?;
            queue[trial..].contains(&check).then_some(())
        });
        server.run::<i64>(&["LREM", "rrrspec:arbiter_queue", "0", &check]);
    }
}

#[test]
fn cancel_all_names_each_active_taskset() {
    let server = Server::new();
    let all = ["a", "b"].map(|id| raw::taskset(&server, id, &["x"]).running().key);
    Tool::new(&server, "rrr-cancel")
        .arg("--all")
        .run()
        .expect_code(0);
    let named = all.map(|key| format!("cancel\t{key}"));
    assert_eq!(server.list("rrrspec:arbiter_queue"), named);
}

#[test]
fn an_evicted_foreign_worker_gets_work_when_it_returns() {
    let server = Server::new();
    let worker = server.add_worker("w");
    let books = || server.run::<Vec<String>>(&["SMEMBERS", "rrrspec:worker"]);
    server.run::<i64>(&["DEL", &format!("{worker}:heartbeat")]);
    drain(&server, "rrr-dispatch").expect_code(0);
    assert!(books().is_empty(), "it was evicted");
    assert_eq!(
        server.hget(&worker, "worker_type").as_deref(),
        Some("default")
    );
    server.run::<()>(&["SETEX", &format!("{worker}:heartbeat"), "30", "alive"]);
    server.run::<i64>(&["SADD", "rrrspec:worker", &worker]);
    let taskset = raw::taskset(&server, "back", &["a"]).submitted();
    drain(&server, "rrr-dispatch").expect_code(0);
    assert_eq!(
        server.list(&format!("{worker}:worker_queue")),
        [&*taskset.key]
    );
    assert_eq!(server.run::<i64>(&["TTL", &worker]), -1);
}

#[test]
fn a_taskset_reassigned_after_a_failed_setup_fails() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server)
        .dispatchers(0)
        .without_persister()
        .start();
    // Another worker of the type is alive; the taskset is released for it but never assigned.
    server.add_worker("other");
    let _worker = fleet.worker("w", 1, suite.path());
    let taskset = raw::taskset(&server, "again", &["a"])
        .set("setup_command", "false")
        .submitted();
    let queue = "rrrspec:worker:w:worker_queue";
    for _ in 0..2 {
        server.push(queue, &*taskset.key);
        eventually(PATIENCE, "the worker's attempt", || {
            let idle = server.hget("rrrspec:worker:w", "taskset").is_none();
            (idle && server.list(queue).is_empty()).then_some(())
        });
    }
    eventually(PATIENCE, "the verdict", || {
        (taskset.status()? == "failed").then_some(())
    });
}

#[test]
fn a_foreign_slave_without_a_heartbeat_yet_is_not_dead() {
    let server = Server::new();
    let taskset = raw::taskset(&server, "starting", &["a"]).running();
    let slaves = ["7", "8"].map(|pid| format!("rrrspec:worker:w:slave:{pid}"));
    slaves
        .iter()
        .for_each(|slave| taskset.join_slave(slave, false));
    taskset.start_trial("a", "1", &slaves[1]);
    drain(&server, "rrr-arbiter").expect_code(0);
    assert_eq!(server.hget(&slaves[0], "status"), None, "it starts");
    assert_eq!(
        server.hget(&slaves[1], "status").as_deref(),
        Some("failure_exit")
    );
}

#[test]
fn a_key_of_the_wrong_type_is_reported_once_and_skipped() {
    let (server, suite) = (Server::new(), Suite::new());
    let bad = raw::taskset(&server, "bad", &["a"]).running();
    server.run::<i64>(&["DEL", &bad.list_key("tasks_left")]);
    server.run::<()>(&["SET", &bad.list_key("tasks_left"), "no list"]);
    server.run::<()>(&["SET", "rrrspec:estimate_sec:default", "no hash"]);
    server.run::<()>(&["SET", "rrrspec:estimate_ms:default", "no hash"]);
    let good = raw::taskset(&server, "good", &["a"]).submitted();
    let listed = Tool::new(&server, "rrr-list")
        .arg("tasksets")
        .run()
        .expect_code(0);
    assert!(listed.stdout.contains(&good.key), "{listed:#?}");
    assert_eq!(listed.stderr.matches("skipping").count(), 1, "{listed:#?}");
    for tool in ["rrr-fsck", "rrr-stat"] {
        let ended = Tool::new(&server, tool).run();
        assert!(ended.stderr.matches("skipping").count() <= 1, "{ended:#?}");
        assert!(
            !ended.stderr.contains(&format!("{tool}: Redis")),
            "{ended:#?}"
        );
    }
    suite.file("a.sh", "true");
    Tool::new(&server, "rrr-submit")
        .args(["--no-rsync", "a.sh", "--", "true"])
        .dir(suite.path())
        .run()
        .expect_code(0);
}
