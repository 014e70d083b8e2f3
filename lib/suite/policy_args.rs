//! The flags of the policy, shared by rrr-submit and rrr-local.

use crate::protocol::policy::{Flaky, Limit, Policy, Retried, at_least_one};

/// The flags that decide which trial counts, and how many failures end the run.
#[derive(Clone, clap::Args)]
pub(crate) struct PolicyArgs {
    /// End the run at the first failed task
    ///
    /// Same as --max-fail 1.
    #[arg(long, conflicts_with = "max_fail")]
    fail_fast: bool,
    /// End the run once N tasks, or N% of them, have failed
    ///
    /// Running trials are stopped, and the receipt counts the tasks without a verdict as not_run.
    /// Only final failures count: a task that will be tried again has not failed yet.
    #[arg(long, value_name = "N|N%", value_parser = at_least_one, hide_short_help = true)]
    max_fail: Option<Limit>,
    /// Retry at most N times in the whole run, or N% of its tasks
    ///
    /// Once that many failing trials have been retried, every further failure is final. Trials that
    /// were lost with their slave or their machine do not count.
    #[arg(long, value_name = "N|N%", hide_short_help = true)]
    retry_budget: Option<Limit>,
    /// Retry only trials with these statuses
    ///
    /// A list separated by commas. By default all of them are retried.
    #[arg(
        long,
        value_name = "STATUS",
        value_enum,
        value_delimiter = ',',
        hide_short_help = true
    )]
    retry_on: Option<Vec<Retried>>,
    /// Verdict on a task that passed after a failure
    #[arg(long, value_name = "VERDICT", value_enum, default_value_t = Flaky::Pass, hide_short_help = true)]
    flaky: Flaky,
}

impl PolicyArgs {
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            max_fail: match self.fail_fast {
                true => Some(Limit::Number(1)),
                false => self.max_fail,
            },
            retry_budget: self.retry_budget,
            retry_on: self.retry_on.clone(),
            flaky: self.flaky,
        }
    }
}
