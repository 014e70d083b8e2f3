//! The runner protocol: JSON lines between a slave and a runner, as specified in man/rrr-runner.7.

use super::CAPTURE;
use crate::exec::child::capture::Capture;
use crate::protocol::example::{Example, Status};
use crate::protocol::result::TrialResult;
use crate::protocol::status::TrialStatus;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The protocol versions that this slave supports.
pub(crate) const VERSIONS: &[u32] = &[1];

/// A message from the slave.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum RunnerRequest<'a> {
    Hello {
        versions: &'static [u32],
    },
    Run {
        trial: &'a str,
        spec_file: &'a str,
        attempt: u64,
        soft_timeout_sec: u64,
        hard_timeout_sec: u64,
        /// Variables for the test's environment.
        env: BTreeMap<&'a str, String>,
    },
    /// A request to end the trial and answer with its result; sent to runners that support it.
    Stop {
        trial: &'a str,
    },
}

/// A message from the runner.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum RunnerAnswer {
    Hello(Hello),
    Result(Box<RunnerResult>),
}

/// A runner's first line.
#[derive(Debug, Deserialize)]
pub(crate) struct Hello {
    pub version: u32,
    #[serde(default)]
    pub capabilities: Vec<String>,
}

/// The outcome of a trial.
#[derive(Debug, Deserialize)]
pub(crate) struct RunnerResult {
    pub trial: String,
    status: String,
    passed: Option<u64>,
    pending: Option<u64>,
    failed: Option<u64>,
    #[serde(default)]
    examples: Vec<Example>,
    /// Present only if the examples and these errors are complete.
    examples_cut: Option<u64>,
    exit_code: Option<i32>,
    signal: Option<i32>,
    /// Whether a failing trial may be tried again.
    retry: Option<bool>,
    /// The runner asks to be replaced before the next trial.
    #[serde(default)]
    last: bool,
    /// Text for people, added to the trial's stderr.
    message: Option<String>,
    /// The reason why this process should run no further trial, if there is one.
    replace: Option<String>,
}

impl RunnerResult {
    /// Takes the reason why this process should run no further trial, if there is one.
    pub(crate) fn replace(&mut self) -> Option<String> {
        let unnamed = self.last.then(|| "it has run its last trial".into());
        self.replace.take().or(unnamed)
    }

    /// Fills in the result of the trial.
    ///
    /// Errors: the outcome contradicts itself, and nothing was filled in.
    pub(crate) fn fill(self, result: &mut TrialResult) -> Result<(), String> {
        let Some(status) = TrialStatus::parse(&self.status) else {
            return Err(format!("no such status '{}'", self.status.escape_debug()));
        };
        let bad_example = self.examples.iter().any(|example| example.status.is_bad());
        let failures = self.failed.unwrap_or(0) > 0 || bad_example;
        let good = matches!(status, TrialStatus::Passed | TrialStatus::Pending);
        if good && failures {
            return Err(format!("status '{}' with failures", self.status));
        }
        self.sums_agree()?;
        result.set_status_alone(status);
        for (count, told) in [
            (&mut result.passed, self.passed),
            (&mut result.pending, self.pending),
            (&mut result.failed, self.failed),
        ] {
            if self.passed.or(self.pending).or(self.failed).is_some() {
                *count = told.unwrap_or(0);
            }
        }
        result.examples = self.examples;
        result.examples_cut = self.examples_cut.unwrap_or(0);
        result.exit_code = self.exit_code;
        result.signal = self.signal;
        result.is_final = self.retry == Some(false);
        if let Some(message) = self.message {
            let mut bounded = Capture::new(CAPTURE / 2);
            bounded.push(message.as_bytes());
            result.note(String::from_utf8_lossy(&bounded.finish().bytes));
        }
        Ok(())
    }

    /// Compares the counts with the examples. An example with an error may count as failed or not:
    /// errors outside of examples are listed among them. A runner that omits `examples_cut` may
    /// list only some kinds of examples, such as failures.
    ///
    /// Errors: the two disagree, with both numbers.
    fn sums_agree(&self) -> Result<(), String> {
        let told = [self.passed, self.pending, self.failed];
        if self.examples.is_empty() && self.examples_cut.is_none()
            || told.iter().all(Option::is_none)
        {
            return Ok(());
        }
        let count = |status| {
            self.examples
                .iter()
                .filter(|it| it.status == status)
                .count() as u64
        };
        let listed = [Status::Passed, Status::Pending, Status::Failed].map(count);
        let errors = count(Status::Error);
        let told = told.map(|count| count.unwrap_or(0));
        let cut = self.examples_cut.unwrap_or(0);
        let agree = |place: usize, errors: u64| {
            let (told, least) = (told[place], listed[place]);
            let is_left_out = self.examples_cut.is_none() && least + errors == 0;
            told >= least && (is_left_out || told <= least + errors + cut)
        };
        let most = listed.iter().sum::<u64>() + errors + cut;
        let too_many = self.examples_cut.is_some() && told.iter().sum::<u64>() > most;
        if agree(0, 0) && agree(1, 0) && agree(2, errors) && !too_many {
            return Ok(());
        }
        let [passed, pending, failed] = told;
        Err(format!(
            "it counts {passed} passed, {pending} pending and {failed} failed, but lists {}, {} and {}, \
             and {errors} with errors",
            listed[0], listed[1], listed[2]
        ))
    }
}

/// Parses a runner's line.
///
/// Test names and messages may hold half of a surrogate pair, which JSON can escape (Python's json
/// module does), or bytes that are not UTF-8. Both become U+FFFD, as an unusual name must not turn a
/// pass into an error.
pub(crate) fn parse(line: &[u8]) -> serde_json::Result<RunnerAnswer> {
    serde_json::from_slice(line).or_else(|_| {
        let text = String::from_utf8_lossy(line);
        serde_json::from_str(&replace_lone_surrogates(&text))
    })
}

/// Replaces the escapes of unpaired surrogates in JSON by that of U+FFFD.
fn replace_lone_surrogates(json: &str) -> String {
    let unit = |text: &str| {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut replaced = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        replaced.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match unit(rest) {
            Some(0xd800..=0xdbff)
                if matches!(rest.get(6..).and_then(unit), Some(0xdc00..=0xdfff)) =>
            {
                12
            }
            Some(0xd800..=0xdfff) => {
                replaced.push_str("\\ufffd");
                rest = &rest[6..];
                continue;
            }
            Some(_) => 6,
            // Any other escape, such as an escaped backslash.
            None => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        replaced.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    replaced + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(json: &str) -> Result<TrialResult, String> {
        let Ok(RunnerAnswer::Result(outcome)) = serde_json::from_str(json) else {
            return Err("no result".into());
        };
        let mut result = TrialResult::error("");
        outcome.fill(&mut result).map(|()| result)
    }

    #[test]
    fn a_status_alone_counts_as_one_example() {
        let result = fill(r#"{"type":"result","trial":"t","status":"passed"}"#).unwrap();
        assert_eq!((result.passed, result.pending, result.failed), (1, 0, 0));
        let result =
            fill(r#"{"type":"result","trial":"t","status":"failed","passed":4,"failed":2}"#);
        let result = result.unwrap();
        assert_eq!((result.passed, result.pending, result.failed), (4, 0, 2));
    }

    #[test]
    fn a_failure_is_final_only_if_the_result_refuses_a_retry() {
        for (retry, is_final) in [("false", true), ("true", false), ("null", false)] {
            let line =
                format!(r#"{{"type":"result","trial":"t","status":"failed","retry":{retry}}}"#);
            assert_eq!(fill(&line).unwrap().is_final, is_final, "{retry}");
        }
    }

    #[test]
    fn a_pass_with_failures_and_an_unknown_status_are_refused() {
        for bad in [
            r#"{"type":"result","trial":"t","status":"passed","failed":1}"#,
            r#"{"type":"result","trial":"t","status":"pending","examples":[{"id":"a","name":"a","status":"error"}]}"#,
            r#"{"type":"result","trial":"t","status":"ok"}"#,
            r#"{"type":"result","status":"passed"}"#,
            r#"{"type":"hello"}"#,
        ] {
            assert!(fill(bad).is_err(), "{bad}");
        }
    }
    /// A result with these counts and examples of these statuses.
    fn sums(counts: [u64; 3], statuses: &[&str], cut: Option<u64>) -> Result<TrialResult, String> {
        let examples: Vec<_> = statuses
            .iter()
            .map(|status| serde_json::json!({"id": "a", "name": "a", "status": status}))
            .collect();
        let [passed, pending, failed] = counts;
        let line = serde_json::json!({
            "type": "result", "trial": "t", "status": "error", "passed": passed,
            "pending": pending, "failed": failed, "examples": examples, "examples_cut": cut,
        });
        fill(&line.to_string())
    }

    #[test]
    fn counts_must_agree_with_the_examples() {
        for (counts, statuses, cut) in [
            ([1, 1, 1], &["passed", "pending", "failed"][..], Some(0)),
            ([0, 0, 0], &["error"], Some(0)),
            ([0, 0, 1], &["error"], Some(0)),
            ([3, 0, 1], &["failed"], Some(3)),
            ([0, 0, 0], &[], Some(0)),
            ([3, 0, 0], &[], None),
            ([3, 0, 1], &["failed"], None),
        ] {
            let sums = sums(counts, statuses, cut);
            assert!(sums.is_ok(), "{counts:?} {statuses:?} {sums:?}");
        }
        for (counts, statuses, cut) in [
            ([2, 0, 0], &["passed"][..], None),
            ([0, 0, 0], &["passed"], None),
            ([0, 0, 0], &["failed"], None),
            ([0, 0, 2], &["failed"], None),
            ([0, 1, 0], &["passed"], None),
            ([3, 0, 1], &["failed"], Some(0)),
            ([3, 0, 0], &[], Some(0)),
            ([5, 0, 1], &["failed"], Some(3)),
            ([0, 0, 1], &["passed", "failed"], Some(3)),
        ] {
            let sums = sums(counts, statuses, cut);
            assert!(sums.is_err(), "{counts:?} {statuses:?} {sums:?}");
        }
    }

    #[test]
    fn a_message_is_bounded_like_an_output() {
        let line = serde_json::json!({
            "type": "result", "trial": "t", "status": "failed", "message": "ü".repeat(7 << 19),
        });
        let result = fill(&line.to_string()).unwrap();
        assert!(result.stderr.len() < CAPTURE / 2 + 100);
        let text = String::from_utf8_lossy(&result.stderr);
        assert!(text.contains(" bytes dropped ...]"));
    }

    #[test]
    fn half_a_surrogate_pair_and_invalid_utf8_become_a_replacement() {
        let name = |line: &[u8]| match parse(line) {
            Ok(RunnerAnswer::Result(result)) => result.examples[0].name.clone(),
            other => panic!("{other:?}"),
        };
        let line = |name: &str| {
            format!(
                r#"{{"type":"result","trial":"t","status":"passed","examples":[{{"id":"a","name":"{name}","status":"passed"}}]}}"#
            )
        };
        for (escaped, wanted) in [
            (r"a\ud800b", "a\u{fffd}b"),
            (r"\udc00", "\u{fffd}"),
            (r"\ud83d\ude00\ud83d", "\u{1f600}\u{fffd}"),
            (r"\ud800\ud83d\ude00", "\u{fffd}\u{1f600}"),
            (r"\\ud800 \ud800", "\\ud800 \u{fffd}"),
        ] {
            assert_eq!(name(line(escaped).as_bytes()), wanted, "{escaped}");
        }
        let mut bytes = line("a?b").into_bytes();
        let at = bytes.iter().position(|byte| *byte == b'?').unwrap();
        bytes[at] = 0xff;
        assert_eq!(name(&bytes), "a\u{fffd}b");
        assert!(parse(br#"{"type":"result","trial":"\u12"}"#).is_err());
    }
}
