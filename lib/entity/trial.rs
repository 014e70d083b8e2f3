//! Trials: one execution of a task by a slave.

use crate::entity::speculation::RunningTrial;
use crate::protocol::example::Example;
use crate::protocol::key::TrialKey;
use crate::store::error::Refused;
use crate::store::read::{Text, rows_each};
use crate::store::{KEY_TTL, Store};

/// The `$TRIAL_ID` of a new trial. It must be unique only among the trials of its task, and is
/// short because Redis stores it many times.
pub(crate) fn fresh_id() -> String {
    let (_, random) = uuid::Uuid::new_v4().as_u64_pair();
    format!("{random:016x}")
}

/// The task and the age of each of `trials`, `None` if the trial has finished, in one round trip
/// per 2000. The age is that of the trial's key by Redis' clock, since the clocks of machines
/// differ (C12). A trial of another implementation has no expiry: its age is unknown and counts as
/// 0.
pub(crate) fn unfinished_each(
    store: &mut Store,
    trials: &[TrialKey],
) -> anyhow::Result<Vec<std::result::Result<Option<RunningTrial>, Refused>>> {
    type Facts = (Option<Text>, i64, (Option<Text>, Option<Text>), u64);
    let mut running = Vec::with_capacity(trials.len());
    for chunk in trials.chunks(2000) {
        let facts: Vec<std::result::Result<Facts, Refused>> = store.call(|c, _| {
            let mut pipe = redis::pipe();
            for trial in chunk {
                let task = trial.task();
                pipe.cmd("HGET").arg(trial).arg("status");
                pipe.cmd("TTL").arg(trial);
                pipe.cmd("HMGET")
                    .arg(&task)
                    .arg("estimate_sec")
                    .arg("speculated");
                pipe.cmd("LLEN").arg(task.trials());
            }
            rows_each(pipe.ignore_errors().query(c)?, 4)
        })?;
        running.extend(chunk.iter().zip(facts).map(|(trial, facts)| {
            let (status, ttl, (estimate, speculated), trials) = facts?;
            let is_open = status.is_none_or(|status| status.is_empty());
            Ok(is_open.then(|| RunningTrial {
                task: trial.task(),
                age: age_sec(ttl),
                estimate_sec: estimate.and_then(|text| text.parse().ok()),
                trials,
                speculated: speculated.is_some(),
            }))
        }));
    }
    Ok(running)
}

/// Minimum whole seconds since a key's expiry was set, from its remaining seconds, which Redis
/// rounds.
fn age_sec(ttl: i64) -> f64 {
    match u64::try_from(ttl) {
        Ok(left) => KEY_TTL.saturating_sub(left.saturating_add(1)) as f64,
        Err(_) => 0.0,
    }
}

/// The details of a failed trial, for display.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrialDetail {
    pub stdout: String,
    pub stderr: String,
    pub examples: Vec<Example>,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
}

/// Maximum size of an output that is fetched to show its last lines.
const GLANCE: usize = 256 << 10;

/// The details of a finished trial; outputs longer than [`GLANCE`] are not fetched.
pub(crate) fn outcome(store: &mut Store, trial: &TrialKey) -> anyhow::Result<TrialDetail> {
    type Fields = (Option<Vec<u8>>, Option<Text>, Option<Text>);
    let ((out_length, err_length), (examples, exit_code, signal)): ((usize, usize), Fields) = store
        .call(|c, _| {
            let mut pipe = redis::pipe();
            pipe.cmd("HSTRLEN").arg(trial).arg("stdout");
            pipe.cmd("HSTRLEN").arg(trial).arg("stderr");
            pipe.cmd("HMGET")
                .arg(trial)
                .arg(&["examples", "exit_code", "signal"]);
            let (out, err, fields): (usize, usize, Fields) = pipe.query(c)?;
            Ok(((out, err), fields))
        })?;
    let mut text = |field: &str, length: usize| -> anyhow::Result<String> {
        if length > GLANCE {
            return Ok(format!("({length} bytes of {field})"));
        }
        let bytes: Option<Vec<u8>> =
            store.call(|c, _| redis::cmd("HGET").arg(trial).arg(field).query(c))?;
        Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
    };
    let number = |field: Option<Text>| field.and_then(|text| text.parse().ok());
    Ok(TrialDetail {
        stdout: text("stdout", out_length)?,
        stderr: text("stderr", err_length)?,
        examples: serde_json::from_slice(&examples.unwrap_or_default()).unwrap_or_default(),
        exit_code: number(exit_code),
        signal: number(signal),
    })
}

/// The start of an unfinished trial in the protocol's format ('' if unknown); `None` for a finished
/// one.
pub(crate) fn running_since(store: &mut Store, trial: &TrialKey) -> anyhow::Result<Option<String>> {
    let (started, status): (Option<Text>, Option<Text>) = store.call(|c, _| {
        redis::cmd("HMGET")
            .arg(trial)
            .arg(&["started_at", "status"])
            .query(c)
    })?;
    let finished = status.is_some_and(|status| !status.is_empty());
    Ok((!finished).then(|| started.unwrap_or_default().into()))
}
