//! The submitter's policy for a taskset: which trial decides, and how many failures end the run.
//!
//! shared/policy.lua decides by it. The taskset's field `policy` has it as a JSON object whose
//! limits are numbers, since only the submitter knows the number of tasks for sure; the field is
//! absent if every rule is the default.

use crate::protocol::status::TrialStatus;
use serde_json::{Value, json};
use std::str::FromStr;

/// A number of tasks, or a share of all tasks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    Number(u64),
    Percent(f64),
}

impl Limit {
    /// The number for this many tasks; a share is rounded up.
    fn of(self, tasks: usize) -> u64 {
        match self {
            Self::Number(number) => number,
            Self::Percent(percent) => (tasks as f64 * percent / 100.0).ceil() as u64,
        }
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "neither a number nor a percentage, such as 3 or 10%".to_owned();
        let Some(percent) = text.strip_suffix('%') else {
            return text.parse().map(Self::Number).map_err(|_| wrong());
        };
        match percent.parse::<f64>() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self::Percent(percent)),
            Ok(_) => Err("a percentage is from 0% to 100%".to_owned()),
            Err(_) => Err(wrong()),
        }
    }
}

/// A limit of at least 1: a run that ends at its 0th failure would never start.
pub(crate) fn at_least_one(text: &str) -> Result<Limit, String> {
    match text.parse()? {
        Limit::Number(0) => Err("it must be at least 1".to_owned()),
        Limit::Percent(0.0) => Err("it must be more than 0%".to_owned()),
        limit => Ok(limit),
    }
}

/// A status of a failing trial that may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Retried {
    /// The test failed
    Failed,
    /// The test could not be run, or its runner broke
    Error,
    /// The test took too long
    Timeout,
}

impl Retried {
    /// The status of such a trial.
    fn status(self) -> TrialStatus {
        match self {
            Self::Failed => TrialStatus::Failed,
            Self::Error => TrialStatus::Error,
            Self::Timeout => TrialStatus::Timeout,
        }
    }
}

/// The effect of a flaky task, which passed after a failed trial, on the taskset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Flaky {
    /// The task has passed
    #[default]
    Pass,
    /// The taskset fails
    Fail,
}

/// The rules of a taskset. The default is that of a taskset without a policy.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The number of failed tasks that ends the taskset.
    pub max_fail: Option<Limit>,
    /// The number of retries that failing trials may use in the whole taskset.
    pub retry_budget: Option<Limit>,
    /// The statuses that are tried again; `None` for all.
    pub retry_on: Option<Vec<Retried>>,
    pub flaky: Flaky,
}

impl Policy {
    /// The field's text for a taskset of this many tasks; `None` if every rule is the default.
    pub(crate) fn field(&self, tasks: usize) -> Option<String> {
        let mut rules = serde_json::Map::new();
        if let Some(limit) = self.max_fail {
            rules.insert("max_fail".into(), json!(limit.of(tasks).max(1)));
        }
        if let Some(limit) = self.retry_budget {
            rules.insert("retry_budget".into(), json!(limit.of(tasks)));
        }
        if let Some(statuses) = &self.retry_on {
            let names = statuses.iter().map(|each| each.status().as_str());
            rules.insert("retry_on".into(), names.collect());
        }
        if self.flaky == Flaky::Fail {
            rules.insert("flaky".into(), json!("fail"));
        }
        (!rules.is_empty()).then(|| Value::Object(rules).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_policy_is_no_field() {
        assert_eq!(Policy::default().field(10), None);
    }

    #[test]
    fn a_share_is_a_number_of_tasks_rounded_up() {
        let policy = Policy {
            max_fail: Some("10%".parse().unwrap()),
            retry_budget: Some("2.5%".parse().unwrap()),
            ..Policy::default()
        };
        let fields = [1, 10, 11, 400].map(|tasks| policy.field(tasks).unwrap());
        assert_eq!(
            fields,
            [
                r#"{"max_fail":1,"retry_budget":1}"#,
                r#"{"max_fail":1,"retry_budget":1}"#,
                r#"{"max_fail":2,"retry_budget":1}"#,
                r#"{"max_fail":40,"retry_budget":10}"#,
            ]
        );
    }

    #[test]
    fn every_rule_has_its_place_in_the_field() {
        let policy = Policy {
            max_fail: Some(Limit::Number(3)),
            retry_budget: Some(Limit::Number(0)),
            retry_on: Some(vec![Retried::Failed, Retried::Timeout]),
            flaky: Flaky::Fail,
        };
        assert_eq!(
            policy.field(5).unwrap(),
            r#"{"max_fail":3,"retry_budget":0,"retry_on":["failed","timeout"],"flaky":"fail"}"#
        );
    }

    #[test]
    fn a_limit_that_means_nothing_is_refused() {
        for text in ["", "x", "-1", "1.5", "%", "-1%", "101%", "nan%", "1 %"] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
        for text in ["0", "0%"] {
            assert!(
                text.parse::<Limit>().is_ok() && at_least_one(text).is_err(),
                "{text}"
            );
        }
        assert_eq!(at_least_one("12%"), Ok(Limit::Percent(12.0)));
    }
}
