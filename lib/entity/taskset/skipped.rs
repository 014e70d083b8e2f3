//! Tasksets that a daemon must skip, so that none of them blocks the others (L8).

use crate::protocol::key::TasksetKey;
use crate::store::error::Refused;
use crate::store::observer::observer;
use std::collections::HashSet;

/// Tasksets with a key of the wrong type, for which Redis refuses commands.
#[derive(Debug, Default)]
pub struct Skipped {
    told: HashSet<TasksetKey>,
}

impl Skipped {
    /// Skips a taskset for which Redis refused a command, and reports that once for as long as it
    /// lasts. Any other error is returned.
    pub(crate) fn pass_over(
        &mut self,
        taskset: &TasksetKey,
        done: anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        match done {
            Err(error) if error.is::<Refused>() => {
                if self.told.insert(taskset.clone()) {
                    observer().note(&format!("skipping {taskset}: {error}"));
                }
            }
            Err(error) => return Err(error),
            Ok(()) => {
                self.told.remove(taskset);
            }
        }
        Ok(())
    }

    /// Forgets all but these tasksets: one that is not active is not read any more, and its name
    /// may be used again.
    pub(crate) fn keep(&mut self, active: &[TasksetKey]) {
        self.told.retain(|taskset| active.contains(taskset));
    }
}
