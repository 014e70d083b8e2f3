//! Tasks whose end no event tells, since the arbiter or the slave belongs to another implementation:
//! their results are read from Redis when the taskset has finished.

use super::progress::{LastTrial, Progress};
use crate::entity::settled::{FinishedTrial, settled};
use crate::entity::taskset;
use crate::store::Store;

/// Settles the tasks that have a status in Redis and are open according to the events.
pub(super) fn fill(store: &mut Store, progress: &mut Progress) -> anyhow::Result<()> {
    if progress.open.is_empty() {
        return Ok(());
    }
    let mut tasks = taskset::tasks(store, &progress.taskset)?;
    tasks.retain(|task| progress.open.contains(task.spec_file()));
    for (task, status, trials) in settled(store, &tasks)? {
        settle(progress, task.spec_file(), &status, &trials);
    }
    Ok(())
}

fn settle(progress: &mut Progress, spec_file: &str, status: &str, trials: &[FinishedTrial]) {
    let passes = |trial: &FinishedTrial| matches!(&*trial.status, "passed" | "pending");
    let decided = trials.iter().find(|trial| passes(trial)).or(trials.last());
    if let Some(trial) = decided {
        let last = LastTrial {
            key: trial.key.clone(),
            status: trial.status.clone(),
            why: None,
        };
        progress.last.insert(spec_file.to_owned(), last);
        if let Some(took) = trial.took_ms {
            progress.took_ms.insert(spec_file.to_owned(), took);
        }
    }
    let flaky = status != "failed" && !trials.iter().all(passes);
    progress.settle(spec_file, status, trials.len() as u64, flaky);
}
