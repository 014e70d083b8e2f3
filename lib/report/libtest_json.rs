//! The JSON lines of Rust's libtest (`cargo test -- --format json`) and of cargo nextest's
//! `--message-format libtest-json`.

use super::{Report, milliseconds};
use crate::example::{Example, Status};
use serde::Deserialize;
use std::collections::BTreeSet;

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    event: Option<String>,
    name: Option<String>,
    exec_time: Option<f64>,
    stdout: Option<String>,
    message: Option<String>,
    ignored: Option<u64>,
}

pub fn parse(text: &str) -> Result<Report, String> {
    let mut report = Report::default();
    let mut running: BTreeSet<String> = BTreeSet::new();
    let (mut begun, mut ended) = (0, 0);
    let (mut bad_suites, mut ignored) = (0, 0);
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with('{'))
    {
        // What a test prints may look like JSON too.
        let Ok(line) = serde_json::from_str::<Line>(line) else {
            continue;
        };
        let event = line.event.as_deref().unwrap_or_default();
        match (line.kind.as_str(), event) {
            ("suite", "started") => begun += 1,
            ("suite", "ok" | "failed") => {
                ended += 1;
                bad_suites += u64::from(event == "failed");
                ignored += line.ignored.unwrap_or(0);
            }
            ("test", "started") => {
                running.extend(line.name);
            }
            ("test", "ok" | "failed" | "ignored") | ("bench", _) => {
                let name = line.name.unwrap_or_default();
                running.remove(&name);
                let status = match event {
                    "failed" => Status::Failed,
                    "ignored" => Status::Pending,
                    _ => Status::Passed,
                };
                let mut example = Example::new(name, status);
                example.duration_ms = line.exec_time.and_then(milliseconds);
                if status != Status::Passed {
                    example.message = line.message.or(line.stdout);
                }
                report.examples.push(example);
            }
            _ => {}
        }
    }
    if begun == 0 {
        return Err("no line of it begins a suite".into());
    }
    // Of an ignored test nextest may say that it begins, and then only count it with its suite.
    let told = report.count(Status::Pending) + running.len() as u64;
    let (status, why) = if ended == begun && told <= ignored {
        (Status::Pending, "ignored")
    } else {
        (Status::Error, "it began and did not end")
    };
    for name in running {
        let mut example = Example::new(name, status);
        example.message = Some(why.into());
        report.examples.push(example);
    }
    if ended < begun {
        report
            .outside
            .push(format!("{} of {begun} suites did not end", begun - ended));
    }
    if bad_suites > 0 && report.count(Status::Failed) + report.count(Status::Error) == 0 {
        report
            .outside
            .push("a suite failed without a failed test".into());
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{ "type": "suite", "event": "started", "test_count": 3 }
{ "type": "test", "event": "started", "name": "a" }
{ "type": "test", "name": "a", "event": "ok", "exec_time": 0.25 }
{ "type": "test", "event": "ignored", "name": "b" }
{"printed": "by a test"}
{ "type": "test", "event": "started", "name": "c" }
{ "type": "test", "name": "c", "event": "failed", "stdout": "boom" }
{ "type": "suite", "event": "failed", "passed": 1, "failed": 1, "ignored": 1 }
"#;

    #[test]
    fn tests_are_counted_as_cargo_counts_them() {
        let report = parse(WHOLE).unwrap();
        use Status::{Failed, Passed, Pending};
        assert_eq!(
            [Passed, Pending, Failed].map(|s| report.count(s)),
            [1, 1, 1]
        );
        assert_eq!(report.examples[0].duration_ms, Some(250));
        assert_eq!(report.examples[2].message.as_deref(), Some("boom"));
        assert!(report.outside.is_empty());
    }

    #[test]
    fn a_test_that_nextest_only_counts_is_ignored_and_no_other() {
        let text = WHOLE.replace(
            "{ \"type\": \"test\", \"event\": \"ignored\", \"name\": \"b\" }",
            "{ \"type\": \"test\", \"event\": \"started\", \"name\": \"b\" }",
        );
        let report = parse(&text).unwrap();
        assert_eq!(
            (report.count(Status::Pending), report.count(Status::Error)),
            (1, 0)
        );
        let report = parse(&text.replace("\"ignored\": 1", "\"ignored\": 0")).unwrap();
        assert_eq!(
            (report.count(Status::Pending), report.count(Status::Error)),
            (0, 1)
        );
    }

    #[test]
    fn a_binary_that_dies_half_way_is_never_a_pass() {
        let lines: Vec<&str> = WHOLE.lines().collect();
        for end in 1..lines.len() - 1 {
            let report = parse(&lines[..end].join("\n")).unwrap();
            assert_eq!(report.verdict(), Some(crate::trial::Status::Error), "{end}");
        }
    }
}
