//! One JSON object per task, for queries with jq.

use super::run::Case;
use crate::archive::document::{Head, Rest, Trial};
use crate::process::text::harmless_json;
use crate::protocol::status::{TaskStatus, TrialStatus};
use serde_json::json;
use std::io::Write;

/// Writes the objects, in the order of submission.
pub(crate) fn write(head: &Head, rest: &mut Rest, out: &mut dyn Write) -> anyhow::Result<()> {
    rest.tasks(|task| {
        let case = Case::of(task);
        let trial = case.trial;
        let line = json!({
            "taskset": head.key,
            "spec_file": case.spec_file,
            "status": case.verdict.map(TaskStatus::as_str),
            "trial_status": trial.and_then(Trial::status).map(TrialStatus::as_str),
            "flaky": case.is_flaky(),
            "trials": case.trials,
            "duration_ms": case.duration_ms(),
            "passed": trial.and_then(|trial| trial.passed),
            "pending": trial.and_then(|trial| trial.pending),
            "failed": trial.and_then(|trial| trial.failed),
            "exit_code": trial.and_then(|trial| trial.exit_code),
            "signal": trial.and_then(|trial| trial.signal),
            "slave": trial.and_then(|trial| trial.slave.as_deref()),
            "trial": trial.map(|trial| trial.key.as_str()),
            "failed_examples": case.failed_examples().collect::<Vec<_>>(),
            "examples_cut": trial.map_or(0, Trial::examples_cut),
            "taskset_status": head.taskset.status,
            "fail_reason": head.taskset.fail_reason,
        });
        writeln!(out, "{}", harmless_json(line.to_string()))?;
        Ok(())
    })
}
