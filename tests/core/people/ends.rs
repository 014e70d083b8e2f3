//! rrr-show: every output format, for every way in which a taskset can finish.

use crate::harness::*;
use serde_json::{Value, json};

pub const FORMS: [&str; 9] = [
    "text",
    "json",
    "jsonl",
    "junit",
    "tap",
    "markdown",
    "github",
    "otlp-json",
    "trace",
];

/// A record of these tasks and statuses ('': none), with one trial per finished task.
pub fn document(taskset: Value, tasks: &[(&str, &str)]) -> Value {
    let task = |(file, status): &(&str, &str)| {
        let key = format!("rrrspec:taskset:t:task:{file}");
        if status.is_empty() {
            return json!({"key": key, "spec_file": file, "trials": []});
        }
        let trial = json!({
            "key": format!("{key}:trial:1"), "status": status, "stdout": "", "stderr": "",
            "slave": "rrrspec:worker:box:slave:1", "duration_ms": 5,
            "started_at": "2026-01-01 00:00:01 +0000", "finished_at": "2026-01-01 00:00:02 +0000",
        });
        json!({"key": key, "spec_file": file, "status": status, "trials": [trial]})
    };
    let mut own = json!({
        "slave_command": "rrr-slave -- sh {}",
        "created_at": "2026-01-01 00:00:00 +0000", "finished_at": "2026-01-01 00:00:05 +0000",
    });
    own.as_object_mut()
        .unwrap()
        .extend(taskset.as_object().unwrap().clone());
    json!({
        "key": "rrrspec:taskset:t", "taskset": own, "log": "", "slaves": [], "worker_logs": [],
        "tasks": tasks.iter().map(task).collect::<Vec<_>>(),
    })
}

/// The record in this format.
pub fn shown(suite: &Suite, document: &Value, form: &str) -> String {
    suite.file("document.json", &document.to_string());
    let args = ["--document", "document.json", "--format", form];
    let tool = Tool::new("unused", "rrr-show").args(args);
    let tool = tool.env_remove("GITHUB_STEP_SUMMARY").dir(suite.path());
    tool.run().expect_code(0).stdout
}

/// Number of occurrences of `part` in a text.
fn count(text: &str, part: &str) -> u64 {
    text.matches(part).count() as u64
}

/// The number of an attribute of `<testsuites>`.
fn total(xml: &str, name: &str) -> u64 {
    let root = xml.split("<testsuites").nth(1).unwrap();
    let root = root.split('>').next().unwrap();
    let value = root.split(&format!(" {name}=\"")).nth(1).unwrap();
    value.split('"').next().unwrap().parse().unwrap()
}

/// Whether the format reports the taskset as failed; also checks that its counts agree.
fn is_red(form: &str, text: &str) -> bool {
    let json = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    match form {
        "text" => {
            let words: Vec<&str> = text.lines().next().unwrap().split(' ').collect();
            let receipt = text.lines().last().unwrap();
            assert!(receipt.starts_with(&format!("{}: ", words[1])), "{text}");
            words[1] != "succeeded"
        }
        "json" => json(text)["taskset"]["status"] != "succeeded",
        "jsonl" => text
            .lines()
            .any(|line| json(line)["taskset_status"] != "succeeded"),
        "junit" => {
            assert_eq!(total(text, "tests"), count(text, "<testcase "), "{text}");
            assert_eq!(total(text, "errors"), count(text, "<error "), "{text}");
            assert_eq!(total(text, "failures"), count(text, "<failure "), "{text}");
            total(text, "errors") + total(text, "failures") > 0
        }
        "tap" => {
            let is_point = |line: &&str| line.starts_with("ok ") || line.starts_with("not ok ");
            let points = text.lines().filter(is_point).count();
            assert!(text.contains(&format!("\n1..{points}\n")), "{text}");
            text.contains("\nnot ok ")
        }
        "markdown" => !text.starts_with("## ✅"),
        "github" => text.contains("::error "),
        "otlp-json" => {
            let root = json(text.lines().next().unwrap());
            let root = &root["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
            root["status"]["code"] != 1
        }
        _ => json(text)["otherData"]["status"] != "succeeded",
    }
}

#[test]
fn no_format_is_green_unless_the_taskset_succeeded() {
    let suite = Suite::new();
    let why = "the setup failed on every worker";
    let reason = |status: &str| json!({"status": status, "fail_reason": why});
    let (good, open) = (("a.sh", "passed"), ("b.sh", ""));
    let ends: [(Value, &[(&str, &str)]); 12] = [
        (json!({"status": "succeeded"}), &[good, ("b.sh", "pending")]),
        (json!({"status": "succeeded"}), &[]),
        (json!({"status": "failed"}), &[good, ("b.sh", "failed")]),
        (reason("failed"), &[good, ("b.sh", "failed")]),
        (reason("failed"), &[open]),
        (reason("failed"), &[good]),
        (json!({"status": "failed"}), &[good]),
        (reason("failed"), &[]),
        (json!({"status": "cancelled"}), &[good, open]),
        (json!({"status": "running"}), &[good, open]),
        (json!({"status": "running"}), &[good]),
        (json!({}), &[open]),
    ];
    for (taskset, tasks) in ends {
        let document = document(taskset.clone(), tasks);
        let green = taskset["status"] == "succeeded";
        let reported = |text: &str| taskset["fail_reason"].is_null() || text.contains(why);
        for form in FORMS {
            let text = shown(&suite, &document, form);
            // One line per task: no task, no line.
            if form == "jsonl" && tasks.is_empty() {
                assert_eq!(text, "");
                continue;
            }
            assert_eq!(is_red(form, &text), !green, "{form} of {taskset}:\n{text}");
            assert!(reported(&text), "{form} of {taskset}:\n{text}");
        }
    }
}

#[test]
fn a_failed_setup_is_an_error_in_reports_also_from_the_database() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("a.sh", "").file("b.sh", "");
    let fleet = Fleet::start(&server);
    let _worker = fleet.worker("box", 1, suite.path());
    let args = ["--setup", "echo broken; exit 3"];
    let done = submit(&server, &suite, &args).wait(PATIENCE).expect_code(1);
    let key = done.events()[0]["taskset"].as_str().unwrap().to_owned();
    eventually(PATIENCE, "the record is persisted", || {
        (server.run::<i64>(&["TTL", &key]) >= 0).then_some(())
    });
    let all = || {
        FORMS.map(|form| {
            let tool = Tool::new(&server, "rrr-show").args([&key, "--format", form]);
            let tool = tool
                .args(["--db", &fleet.db(), "--log-dir"])
                .arg(fleet.log_dir());
            let done = tool.env_remove("GITHUB_STEP_SUMMARY").run();
            done.expect_code(0).stdout
        })
    };
    let before = all();
    server.run::<String>(&["FLUSHALL"]);
    let after = all();
    for ((form, before), after) in FORMS.iter().zip(before).zip(after) {
        assert!(is_red(form, &before), "{form}: {before}");
        assert_eq!(before, after, "{form}");
    }
}

#[test]
fn examples_missing_from_a_record_are_reported_in_every_format() {
    let suite = Suite::new();
    let mut document = document(json!({"status": "failed"}), &[("a.py", "failed")]);
    let example = |status: &str| json!({"id": status, "name": status, "status": status});
    let trial = &mut document["tasks"][0]["trials"][0];
    trial["examples"] = json!([example("passed"), example("failed")]);
    trial["examples_cut"] = "30010".into();
    trial["passed"] = 30001.into();
    trial["pending"] = 10.into();
    trial["failed"] = 1.into();
    for form in FORMS {
        let text = shown(&suite, &document, form);
        let words = match form {
            "json" | "jsonl" | "otlp-json" | "trace" => "30010",
            _ => "10 pending examples, 30000 passed examples",
        };
        assert!(text.contains(words), "{form}:\n{text}");
    }
    let xml = shown(&suite, &document, "junit");
    let totals = ["tests", "skipped", "failures", "errors"].map(|name| total(&xml, name));
    assert_eq!(totals, [30012, 10, 1, 0], "{xml}");
}
