//! Untrusted text (names, messages, outputs, keys, reasons) in output for people and CI servers.

use super::ends::{FORMS, document, shown};
use crate::harness::*;
use serde_json::{Value, json};

/// Control characters, bidirectional marks, line separators, and noncharacters.
const BAD: &str = "\u{1b}[2J\u{1b}]0;x\u{7}\u{7f}\u{9b}31m\u{85}\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\r\u{fffe}\u{ffff}";

/// Whether a terminal or CI log may receive this character.
fn is_fine(c: char) -> bool {
    let bad = BAD.contains(c) && !matches!(c, '\u{fffe}' | '\u{ffff}') && !c.is_ascii_graphic();
    c == '\n' || c == '\t' || !(bad || c.is_control())
}

#[track_caller]
fn assert_fine(text: &str, of: &str) {
    let bad: Vec<char> = text.chars().filter(|c| !is_fine(*c)).collect();
    assert!(bad.is_empty(), "{of}: {bad:?} in {text:?}");
}

/// A record with bad characters in every untrusted field.
fn hostile() -> Value {
    let taskset = json!({
        "status": "failed", "fail_reason": format!("reason {BAD}"),
        "slave_command": format!("rrr-slave -- sh '{BAD}' {{}}"), "worker_type": BAD,
        "taskset_class": BAD,
    });
    let mut document = document(taskset, &[("a.sh", "failed"), ("b.sh", "passed")]);
    for place in 0..2 {
        let task = &mut document["tasks"][place];
        let file = format!("f{place}{BAD}::error::<b>,%0A");
        task["spec_file"] = file.clone().into();
        let trial = &mut task["trials"][0];
        let bad = format!("say {BAD}\n::error::x\r\n%0Ay\tz");
        let status = if place == 0 { "failed" } else { "passed" };
        trial["examples"] = json!([
            {"id": BAD, "name": bad, "file": BAD, "line": 3, "status": status, "message": bad},
        ]);
        trial["stdout"] = bad.clone().into();
        trial["stderr"] = bad.into();
        trial["outputs"] = BAD.into();
        trial["stopped"] = BAD.into();
        trial["leaked"] = 1.into();
    }
    document
}

#[test]
fn s9_no_format_of_a_record_contains_terminal_controls() {
    let suite = Suite::new();
    for form in FORMS {
        let text = shown(&suite, &hostile(), form);
        assert_fine(&text, form);
        if form == "github" {
            let is_command = |line: &&str| line.trim_start().starts_with("::");
            let commands = text.lines().filter(is_command).count();
            assert_eq!(commands, 2, "the reason and one failure: {text}");
        }
        if form == "junit" {
            suite.file("report.xml", &text);
            let args = ["--noout", "report.xml"];
            let lint = Tool::program("unused", "xmllint").args(args);
            lint.dir(suite.path()).run().expect_code(0);
            assert!(text.contains("%0Ay&#9;z"), "a tab in a name: {text}");
            assert!(text.contains("%0Ay\tz"), "a tab in a message: {text}");
        }
    }
}

#[test]
fn s9_messages_hints_and_lists_contain_no_terminal_controls() {
    let server = Server::new();
    let suite = Suite::new();
    let key = format!("rrrspec:taskset:t{}", BAD.replace(['\r', '\u{7}'], ""));
    suite.file("document.json", &hostile().to_string());
    server.run::<i64>(&[
        "HSET",
        "rrrspec:taskset:x",
        "status",
        BAD,
        "worker_type",
        BAD,
    ]);
    server.run::<i64>(&["RPUSH", "rrrspec:active_taskset", "rrrspec:taskset:x", BAD]);
    server.run::<i64>(&["RPUSH", "rrrspec:arbiter_queue", BAD]);
    server.run::<i64>(&["RPUSH", "rrrspec:arbiter_queue:dead", BAD]);
    server.run::<i64>(&["SADD", "rrrspec:worker", "rrrspec:worker:w\u{202e}"]);
    server.run::<i64>(&["HSET", "rrrspec:worker:w\u{202e}", "worker_type", BAD]);
    server.run::<i64>(&[
        "HSET",
        "rrrspec:totals",
        BAD,
        "1",
        &format!("tasksets:{BAD}"),
        "2",
    ]);
    let calls: &[&[&str]] = &[
        &["rrr-show", &key],
        &["rrr-show", "--document", BAD],
        &["rrr-show", "--document", "document.json", "--task", BAD],
        &["rrr-show", "--document", "document.json", "--log"],
        &["rrr-submit", "--rerun-failed", &key, "--no-rsync"],
        &[
            "rrr-submit",
            "--rerun-failed",
            "rrrspec:taskset:x",
            "--no-rsync",
        ],
        &["rrr-submit", "--no-rsync", BAD, "--", "sh", "{}"],
        &["rrr-submit", BAD],
        &["rrr-list", "tasksets"],
        &["rrr-list", "workers"],
        &["rrr-list", "queues"],
        &["rrr-stat"],
        &["rrr-stat", "--check"],
        &["rrr-stat", "--format", "prometheus"],
        &["rrr-fsck", "--pause", "0"],
        &["rrr-history", "file", BAD],
        &["rrr-cancel", &key],
        &["rrr-wait", &key, "--timeout", "0"],
        &["rrr", BAD],
        &["rrr-local", "--output", "plain", BAD, "--", "sh", "{}"],
    ];
    for call in calls {
        let tool = Tool::new(&server, call[0]).args(&call[1..]);
        let done = tool.dir(suite.path()).run();
        let said = format!("{}{}", done.stdout, done.stderr);
        assert_fine(&said, &format!("{call:?}"));
        assert!(done.code.is_some(), "{call:?}: {said}");
    }
}

/// A file that writes a JUnit report of many cases: 20,000 pass, 300 fail with long messages.
const MANY: &str = r#"awk 'BEGIN {
print "<testsuite name=\"s\">"
for (n = 0; n < 20000; n++) print "<testcase name=\"test_many[a-rather-long-parameter-" n "]\"/>"
for (n = 0; n < 6; n++) text = text "why it went wrong, in many words " n " " text
for (n = 0; n < 300; n++) {
  print "<testcase name=\"test_bad[" n "]\"><failure message=\"no\">" text text text "</failure></testcase>"
}
print "<testcase name=\"same\"/><testcase name=\"same\"/><testcase name=\"same (2)\"/>"
print "</testsuite>" }' >"$1"; printf 'col1\tcol2 \357\277\276 \355\240\200\n'; exit 1"#;

#[test]
fn a_file_with_many_examples_keeps_its_counts_and_its_failures() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file("many.sh", MANY);
    let slave = "rrr-slave --report junit -- sh {} {report}";
    let fleet = Fleet::plan(&server).without_persister().start();
    let _worker = fleet.worker("box", 1, suite.path());
    let args = [
        "--no-rsync",
        "--follow",
        "--max-trials",
        "1",
        "--slave",
        slave,
    ];
    let tool = Tool::new(&server, "rrr-submit").args(args).arg("many.sh");
    let done = tool.dir(suite.path()).run().expect_code(1);
    let key = done.events()[0]["taskset"].as_str().unwrap().to_owned();
    let show = |form: &str| {
        let tool = Tool::new(&server, "rrr-show").args([&key, "--format", form]);
        tool.env_remove("GITHUB_STEP_SUMMARY")
            .run()
            .expect_code(0)
            .stdout
    };
    let line: Value = serde_json::from_str(&show("jsonl")).unwrap();
    assert_eq!(
        (&line["passed"], &line["failed"]),
        (&20003.into(), &300.into())
    );
    assert_eq!(line["failed_examples"].as_array().unwrap().len(), 300);
    let cut = line["examples_cut"].as_u64().unwrap();
    assert!(cut > 0);
    let xml = show("junit");
    let totals =
        "<testsuites name=\"rrr\" tests=\"20303\" skipped=\"0\" failures=\"300\" errors=\"0\"";
    assert!(xml.contains(totals), "{}", &xml[..300]);
    let cases = xml.matches("<testcase ").count() as u64;
    assert_eq!(cases + cut, 20303);
    assert!(xml.contains(&format!(
        "rrr: {cut} passed examples left out of the record"
    )));
    assert!(xml.contains("col1\tcol2 \\u{fffe} "), "a tab in an output");
    let names: Vec<&str> = xml.split("<testcase name=\"").skip(1).collect();
    let names = names.iter().map(|rest| rest.split('"').next().unwrap());
    let unique: std::collections::HashSet<&str> = names.clone().collect();
    assert_eq!(unique.len(), names.count(), "no two cases have one name");
}
