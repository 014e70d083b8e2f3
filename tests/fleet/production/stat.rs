//! rrr-stat: the metrics page, read by its consumers, and the health checks.

use crate::harness::*;
use serde_json::{Value, json};

fn stat(server: &Server, args: &[&str]) -> Finished {
    Tool::new(server, "rrr-stat").args(args).run()
}

fn look(server: &Server) -> Value {
    serde_json::from_str(&stat(server, &[]).expect_code(0).stdout).expect("one JSON line")
}

/// The failing checks of `--check`, in order.
fn troubles(server: &Server, args: &[&str]) -> Vec<String> {
    let args = [&["--check"], args].concat();
    let done = stat(server, &args);
    let checks = done.events().into_iter().map(|line| {
        assert!(line["reason"].is_string(), "{line}");
        line["check"].as_str().unwrap().to_owned()
    });
    let checks: Vec<String> = checks.collect();
    assert_eq!(done.code, Some(i32::from(!checks.is_empty())), "{done:#?}");
    checks
}

/// The page as Prometheus' own parser reads it: each sample, as `name{labels}`, and each type.
fn parsed(page: &str) -> (Value, Value) {
    const READ: &str = "
import json, sys
from prometheus_client.parser import text_string_to_metric_families as read
samples, types = {}, {}
for family in read(sys.stdin.read()):
    assert family.documentation, family.name
    types[family.name] = family.type
    for s in family.samples:
        key = s.name + ''.join('|%s=%s' % pair for pair in sorted(s.labels.items()))
        assert key not in samples, key
        samples[key] = s.value
print(json.dumps([samples, types]))";
    let done = Tool::program("unused", "/usr/bin/python3")
        .args(["-c", READ])
        .stdin(page)
        .run()
        .expect_code(0);
    let [samples, types]: [Value; 2] = serde_json::from_str(&done.stdout).unwrap();
    (samples, types)
}

/// A run of four files, with all daemons, persisted.
fn ran(server: &Server, suite: &Suite) -> Fleet {
    suite
        .file("passes.sh", "exit 0")
        .file("pending.sh", "exit 77")
        .file("fails.sh", "exit 3")
        .file("flaky.sh", "[ -e seen ] && exit 0; touch seen; exit 1");
    let fleet = Fleet::start(server);
    let worker = fleet.worker("w", 2, suite.path());
    submit(server, suite, &["--max-trials", "2"])
        .wait(PATIENCE)
        .expect_code(1);
    eventually(PATIENCE, "the run is counted", || {
        (look(server)["totals"]["tasksets"]["failed"] == 1).then_some(())
    });
    worker.term();
    worker.wait(PATIENCE);
    eventually(PATIENCE, "the last message is handled", || {
        server
            .list("rrrspec:arbiter_queue")
            .is_empty()
            .then_some(())
    });
    fleet
}

#[test]
fn prometheus_reads_the_page_and_the_totals_match_the_run() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = ran(&server, &suite);
    server.add_worker("odd\"type\\");
    server.hset("rrrspec:worker:odd\"type\\", "worker_type", "a\"b\\c\nd");
    let file = suite.path().join("rrr.prom");
    let args = ["--format", "prometheus", "--file", file.to_str().unwrap()];
    assert_eq!(stat(&server, &args).expect_code(0).stdout, "");
    let page = std::fs::read_to_string(&file).unwrap();
    let (samples, types) = parsed(&page);
    let value = |name: &str| {
        let value = samples[name].as_f64();
        value.unwrap_or_else(|| panic!("no '{name}' in {samples:#}"))
    };
    for (name, wanted) in [
        ("rrr_tasksets_total|status=failed", 1.0),
        ("rrr_tasksets_total|status=cancelled", 0.0),
        ("rrr_tasks_total|status=passed", 2.0),
        ("rrr_tasks_total|status=pending", 1.0),
        ("rrr_tasks_total|status=failed", 1.0),
        ("rrr_flaky_tasks_total", 1.0),
        ("rrr_trials_total|status=failed", 3.0),
        ("rrr_trial_duration_seconds_count", 6.0),
        ("rrr_trial_duration_seconds_bucket|le=+Inf", 6.0),
        ("rrr_taskset_duration_seconds_count", 1.0),
        ("rrr_taskset_wait_seconds_count", 1.0),
        ("rrr_role_up|role=arbiter", 1.0),
        ("rrr_role_up|role=persist", 1.0),
        ("rrr_workers|state=idle|worker_type=a\"b\\c\nd", 1.0),
        ("rrr_queue_messages|queue=arbiter", 0.0),
        ("rrr_tasksets|state=running", 0.0),
    ] {
        assert_eq!(value(name), wanted, "{name}");
    }
    assert!(value("rrr_redis_memory_used_bytes") > 0.0);
    for (name, kind) in types.as_object().unwrap() {
        let page_says = match kind.as_str().unwrap() {
            // The parser removes the suffix of the family's name.
            "counter" => format!("# TYPE {name}_total counter"),
            kind => format!("# TYPE {name} {kind}"),
        };
        assert!(page.contains(&page_says), "{page_says}");
    }
    fleet.stop();
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/man/rrr-deploy.7");
    let manual = std::fs::read_to_string(manual).unwrap();
    let words = manual.split(|c: char| !c.is_ascii_lowercase() && c != '_');
    let named: Vec<&str> = words.filter(|word| word.starts_with("rrr_")).collect();
    assert!(named.len() > 8, "{named:?}");
    for name in named {
        let page_says = format!("# TYPE {name} ");
        assert!(page.contains(&page_says), "rrr-deploy(7) names {name}");
    }
}

#[test]
fn a_taskset_is_counted_once_however_often_it_is_persisted() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = ran(&server, &suite);
    let before = look(&server)["totals"].clone();
    let tasksets: Vec<String> = server.run(&["KEYS", "rrrspec:taskset:*:tasks"]);
    let taskset = tasksets[0].trim_end_matches(":tasks");
    server.push("rrrspec:persister_queue", taskset);
    eventually(PATIENCE, "it is persisted again", || {
        server
            .list("rrrspec:persister_queue")
            .is_empty()
            .then_some(())
    });
    assert_eq!(look(&server)["totals"], before);
    fleet.stop();
}

#[test]
fn a_scrape_mid_run_sees_the_current_state() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.many(5, "until [ -e go ]; do sleep 0.05; done");
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("w", 2, suite.path());
    let run = submit(&server, &suite, &[]);
    eventually(PATIENCE, "both slaves are at work", || {
        (look(&server)["trials"]["running"] == 2).then_some(())
    });
    let seen = look(&server);
    let wanted = json!({"succeeded": 0, "failed": 0, "left": 5, "queued": 3});
    assert_eq!(seen["tasks"], wanted);
    assert_eq!(seen["slaves"], 2);
    assert_eq!(seen["tasksets"]["running"], 1);
    let workers = json!({"default": {"idle": 0, "busy": 1, "benched": 0, "slaves": 2}});
    assert_eq!(seen["workers"], workers);
    // The arbiter and the persister have not been needed so far: they may just be starting.
    eventually(PATIENCE, "all roles have started", || {
        let lacking = troubles(&server, &[]);
        assert!(lacking.iter().all(|check| check == "roles"), "{lacking:?}");
        lacking.is_empty().then_some(())
    });
    suite.file("go", "");
    run.wait(PATIENCE).expect_code(0);
}

#[test]
fn a_check_fails_for_each_problem_unless_it_is_ignored() {
    let server = Server::new();
    assert_eq!(troubles(&server, &[]), ["roles", "roles"]);
    let ignore = ["--ignore", "roles"];
    assert_eq!(troubles(&server, &ignore), [""; 0]);
    let waiting = raw::taskset(&server, "waiting", &["a"]).submitted();
    assert_eq!(troubles(&server, &ignore), ["waiting"], "since 2013");
    let lines = stat(&server, &["--check", "--ignore", "roles"]).events();
    let reason = lines[0]["reason"].as_str().unwrap().to_owned();
    assert!(
        reason.contains("no worker of the type 'default'"),
        "{reason}"
    );
    server.add_worker("w");
    assert_eq!(troubles(&server, &ignore), ["waiting"]);
    assert_eq!(
        troubles(
            &server,
            &["--ignore", "roles", "--max-waiting", "99999999999"]
        ),
        [""; 0]
    );
    let trial = waiting.running().finish_trial("a", "1", "passed");
    server.tell_arbiter(format!("trial\t{trial}"));
    assert_eq!(troubles(&server, &ignore), ["queue"]);
    server.push("rrrspec:arbiter_queue:dead", "{}");
    server.push("rrrspec:worker:w:worker_queue:dead", "{}");
    assert_eq!(troubles(&server, &ignore), ["queue", "dead", "dead"]);
    assert_eq!(troubles(&server, &["--ignore", "roles,dead"]), ["queue"]);
    let args = ["--ignore", "roles,queue", "--max-dead", "1"];
    assert_eq!(troubles(&server, &args), [""; 0]);
}

#[test]
fn a_scrape_costs_the_same_for_any_taskset_length() {
    let calls = |tasks: usize| {
        let server = Server::new();
        let files: Vec<String> = (0..tasks).map(|n| format!("f{n}")).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let _taskset = raw::taskset(&server, "t", &files).running();
        let mut conn = server.conn();
        let before = Counts::take(&mut conn);
        stat(&server, &[]).expect_code(0);
        let counts = Counts::take(&mut conn).since(&before);
        assert_eq!(counts.get("keys") + counts.get("scan"), 0);
        counts.iter().map(|(_, calls)| calls).sum::<u64>()
    };
    let (short, long) = (calls(3), calls(3000));
    assert_eq!(short, long);
    assert!(long < 60, "{long} commands");
}
