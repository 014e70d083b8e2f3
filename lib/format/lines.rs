//! One JSON object for each task: what jq wants to ask.

use super::run::Run;
use crate::record::Trial;
use crate::{task, trial};
use serde_json::json;
use std::io::Write;

/// Writes them, in the order of submission.
pub fn write(run: &Run, out: &mut dyn Write) -> std::io::Result<()> {
    for case in &run.cases {
        let trial = case.trial;
        let line = json!({
            "taskset": run.document.key,
            "spec_file": case.spec_file,
            "status": case.verdict.map(task::Status::as_str),
            "trial_status": trial.and_then(Trial::status).map(trial::Status::as_str),
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
        });
        writeln!(out, "{line}")?;
    }
    Ok(())
}
