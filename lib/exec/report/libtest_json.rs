//! The JSON lines of Rust's libtest (`cargo test -- --format json`) and of cargo nextest's
//! `--message-format libtest-json`.

use super::content::{Names, Report, clip};
use super::milliseconds;
use crate::protocol::example::{Example, Status};
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
    reason: Option<String>,
    passed: Option<u64>,
    failed: Option<u64>,
    measured: Option<u64>,
    ignored: Option<u64>,
}

/// Maximum number of unfinished tests: more than any tool runs at once.
const RUNNING: usize = 50_000;

pub(crate) fn read(text: &str, report: &mut Report) -> Result<(), String> {
    let mut run = Run {
        report,
        running: BTreeSet::new(),
        names: Names::default(),
        begun: 0,
        ended: 0,
        bad_suites: 0,
        claimed: [0; 3],
        claims: 0,
    };
    let lines = text.lines().map(str::trim);
    for line in lines.filter(|line| line.starts_with('{')) {
        // The output of a test may look like JSON too.
        if let Ok(line) = serde_json::from_str::<Line>(line) {
            run.line(line)?;
        }
    }
    run.end()
}

struct Run<'r> {
    report: &'r mut Report,
    running: BTreeSet<String>,
    names: Names,
    begun: u64,
    ended: u64,
    bad_suites: u64,
    /// The suites' own counts of passed, failed and ignored tests.
    claimed: [u64; 3],
    /// The number of suites that reported counts.
    claims: u64,
}

impl Run<'_> {
    fn line(&mut self, line: Line) -> Result<(), String> {
        let event = line.event.as_deref().unwrap_or_default();
        match (line.kind.as_str(), event) {
            ("suite", "started") => self.begun += 1,
            ("suite", "ok" | "failed") => {
                self.ended += 1;
                self.bad_suites += u64::from(event == "failed");
                let passed = line
                    .passed
                    .map(|passed| passed + line.measured.unwrap_or(0));
                self.claims += u64::from(passed.is_some() && line.failed.is_some());
                for (sum, number) in
                    self.claimed
                        .iter_mut()
                        .zip([passed, line.failed, line.ignored])
                {
                    *sum = sum.saturating_add(number.unwrap_or(0));
                }
            }
            ("test", "started") => {
                let name = line.name.unwrap_or_default();
                self.running.insert(clip(attempt(&name).0, 4096).to_owned());
                if self.running.len() > RUNNING {
                    return Err(format!("more than {RUNNING} tests run at once"));
                }
            }
            ("test", "ok" | "failed" | "ignored") | ("bench", _) => {
                let status = match event {
                    "failed" => Status::Failed,
                    "ignored" => Status::Pending,
                    _ => Status::Passed,
                };
                return self.test(line, status);
            }
            _ => {}
        }
        Ok(())
    }

    fn test(&mut self, line: Line, status: Status) -> Result<(), String> {
        let name = line.name.unwrap_or_default();
        let (name, number) = attempt(&name);
        self.running.remove(clip(name, 4096));
        let mut example = Example::new(name, status);
        example.duration_ms = line.exec_time.and_then(milliseconds);
        if status != Status::Passed {
            example.message = line.message.or(line.stdout).or(line.reason);
        }
        let earlier = self.names.get(name).filter(|_| number.is_some());
        let place = match earlier {
            // nextest may report each attempt.
            Some(earlier) => self.report.push_again(earlier, example),
            None => self.report.push(example),
        };
        if let Some(number) = number
            && status == Status::Passed
            && let Some(example) = self.report.get(place)
        {
            example.flaky = true;
            let why = || format!("passed in attempt {number}");
            example.message.get_or_insert_with(why);
        }
        // Only nextest's names identify a single test.
        if name.contains('$') {
            self.names.set(name, place)?;
        }
        Ok(())
    }

    fn end(self) -> Result<(), String> {
        let report = self.report;
        if self.begun == 0 {
            return Err("no line starts a suite".into());
        }
        // For an ignored test, nextest may report the start and then only count it with its suite.
        let told = report.count(Status::Pending) + self.running.len() as u64;
        let (status, why) = if self.ended == self.begun && told <= self.claimed[2] {
            (Status::Pending, "ignored")
        } else {
            (Status::Error, "it began and did not end")
        };
        for name in self.running {
            let mut example = Example::new(name, status);
            example.message = Some(why.into());
            report.push(example);
        }
        if self.ended < self.begun {
            let (missing, begun) = (self.begun - self.ended, self.begun);
            report.push_outside(format!("{missing} of {begun} suites did not end"));
        }
        if self.bad_suites > 0 && report.bad() == 0 {
            report.push_outside("a suite failed without a failed test");
        }
        let told = [report.count(Status::Passed), report.count(Status::Failed)];
        if self.claims == self.begun && self.claimed[..2] != told {
            let [passed, failed, _] = self.claimed;
            return Err(format!(
                "its suites claim {passed} passed and {failed} failed tests but list {} and {}",
                told[0], told[1]
            ));
        }
        Ok(())
    }
}

/// The name of a test, and the number that nextest appends to it from the second attempt on.
fn attempt(name: &str) -> (&str, Option<u64>) {
    let parts = name.rsplit_once('#').filter(|_| name.contains('$'));
    let parts = parts.and_then(|(name, number)| Some((name, Some(number.parse().ok()?))));
    parts.unwrap_or((name, None))
}

#[cfg(test)]
mod tests {
    use super::super::{ReportFormat, parse};
    use super::*;
    use crate::protocol::status::TrialStatus;

    use Status::{Failed, Passed, Pending};

    const WHOLE: &str = r#"{ "type": "suite", "event": "started", "test_count": 3 }
{ "type": "test", "event": "started", "name": "a" }
{ "type": "test", "name": "a", "event": "ok", "exec_time": 0.25 }
{ "type": "test", "event": "ignored", "name": "b" }
{"printed": "by a test"}
{ "type": "test", "event": "started", "name": "c" }
{ "type": "test", "name": "c", "event": "failed", "stdout": "boom" }
{ "type": "suite", "event": "failed", "passed": 1, "failed": 1, "ignored": 1 }
"#;

    fn report(text: &str) -> Report {
        parse(ReportFormat::LibtestJson, text.as_bytes())
    }

    fn counts(report: &Report) -> [u64; 3] {
        [Passed, Pending, Failed].map(|status| report.count(status))
    }

    #[test]
    fn counts_match_those_of_cargo() {
        let report = report(WHOLE);
        assert_eq!(counts(&report), [1, 1, 1]);
        assert_eq!(report.examples[0].duration_ms, Some(250));
        assert_eq!(report.examples[2].message.as_deref(), Some("boom"));
        assert!(report.outside.is_empty() && report.broken.is_none());
    }

    #[test]
    fn a_started_test_counts_as_ignored_only_if_the_total_says_so() {
        let text = WHOLE.replace(
            "{ \"type\": \"test\", \"event\": \"ignored\", \"name\": \"b\" }",
            "{ \"type\": \"test\", \"event\": \"started\", \"name\": \"b\" }",
        );
        let read = report(&text);
        let bad = |report: &Report| (report.count(Pending), report.count(Status::Error));
        assert_eq!(bad(&read), (1, 0));
        let read = report(&text.replace("\"ignored\": 1", "\"ignored\": 0"));
        assert_eq!(bad(&read), (0, 1));
    }

    #[test]
    fn a_test_retried_by_nextest_is_one_example() {
        let retried = |end: &str, more: &str| {
            let (passed, failed) = if end == "ok" { (1, 0) } else { (0, 1) };
            format!(
                r#"{{"type":"suite","event":"started","test_count":1}}
{{"type":"test","event":"started","name":"one::one$t::x"}}
{more}{{"type":"test","event":"{end}","name":"one::one$t::x#3","exec_time":0.1}}
{{"type":"suite","event":"{end}","passed":{passed},"failed":{failed},"ignored":0}}"#
            )
        };
        let first = "{\"type\":\"test\",\"event\":\"failed\",\"name\":\"one::one$t::x\",\"stdout\":\"no\"}\n";
        let second = first.replace("x\"", "x#2\"");
        for more in ["", &second, &format!("{first}{second}")] {
            let read = report(&retried("ok", more));
            assert_eq!(counts(&read), [1, 0, 0]);
            assert_eq!(read.examples[0].id, "one::one$t::x");
            assert!(read.examples[0].flaky && read.broken.is_none());
            let read = report(&retried("failed", more));
            assert_eq!(counts(&read), [0, 0, 1]);
            assert_eq!(read.examples.len(), 1);
            assert!(!read.examples[0].flaky && read.broken.is_none());
        }
        // Other names may end like this.
        assert_eq!(attempt("t::r#2"), ("t::r#2", None));
        assert_eq!(attempt("p$t::r#type"), ("p$t::r#type", None));
    }

    #[test]
    fn a_suite_whose_count_differs_from_its_list_is_an_error() {
        for (right, wrong) in [
            ("\"passed\": 1", "\"passed\": 2"),
            ("\"failed\": 1", "\"failed\": 0"),
            ("\"failed\": 1", "\"failed\": 2"),
        ] {
            let report = report(&WHOLE.replace(right, wrong));
            assert!(report.broken.is_some(), "{wrong}");
            assert_eq!(counts(&report), [1, 1, 1]);
        }
    }

    #[test]
    fn a_binary_that_dies_midway_never_passes() {
        let lines: Vec<&str> = WHOLE.lines().collect();
        for end in 1..lines.len() - 1 {
            let report = report(&lines[..end].join("\n"));
            assert_eq!(report.verdict(), Some(TrialStatus::Error), "{end}");
        }
    }
}
