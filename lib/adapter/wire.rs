//! The runner protocol: JSON lines between a slave and a runner. man/rrr-runner.7 is its text.

use crate::example::{Example, Status};
use crate::trial;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The versions that this slave speaks.
pub const VERSIONS: &[u32] = &[1];

/// What a slave says.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Order<'a> {
    Hello {
        versions: &'static [u32],
    },
    Run {
        trial: &'a str,
        spec_file: &'a str,
        attempt: u64,
        soft_timeout_sec: u64,
        hard_timeout_sec: u64,
        /// Variables that the test should find in its environment.
        env: BTreeMap<&'a str, String>,
    },
    /// The runner should end the trial and answer with its result; sent to runners that can.
    Stop {
        trial: &'a str,
    },
}

/// What a runner says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Answer {
    Hello(Hello),
    Result(Box<Outcome>),
}

/// A runner's first line.
#[derive(Debug, Deserialize)]
pub struct Hello {
    pub version: u32,
    #[serde(default)]
    pub capabilities: Vec<String>,
}

/// What came of a trial.
#[derive(Debug, Deserialize)]
pub struct Outcome {
    pub trial: String,
    status: String,
    passed: Option<u64>,
    pending: Option<u64>,
    failed: Option<u64>,
    #[serde(default)]
    examples: Vec<Example>,
    #[serde(default)]
    examples_cut: u64,
    exit_code: Option<i32>,
    signal: Option<i32>,
    /// The runner wants to be replaced before the next trial.
    #[serde(default)]
    pub last: bool,
    /// For people: added to the trial's stderr.
    message: Option<String>,
}

impl Outcome {
    /// Fills in the result of the trial.
    ///
    /// Errors: it contradicts itself, and nothing was filled in.
    pub fn fill(self, result: &mut trial::Result) -> Result<(), String> {
        let Some(status) = trial::Status::parse(&self.status) else {
            return Err(format!("no such status '{}'", self.status.escape_debug()));
        };
        let bad = |example: &Example| matches!(example.status, Status::Failed | Status::Error);
        let failures = self.failed.unwrap_or(0) > 0 || self.examples.iter().any(bad);
        let good = matches!(status, trial::Status::Passed | trial::Status::Pending);
        if good && failures {
            return Err(format!("status '{}' with failures", self.status));
        }
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
        result.examples_cut = self.examples_cut;
        result.exit_code = self.exit_code;
        result.signal = self.signal;
        if let Some(message) = self.message {
            result.note(message);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(json: &str) -> Result<trial::Result, String> {
        let Ok(Answer::Result(outcome)) = serde_json::from_str(json) else {
            return Err("no result".into());
        };
        let mut result = trial::Result::error("");
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
}
