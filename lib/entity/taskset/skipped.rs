//! Tasksets that a daemon must pass over, so that one of them stops none of the others (L8).

use crate::protocol::key::TasksetKey;
use crate::store::error::Refused;
use crate::store::observer::observer;
use std::collections::HashSet;

/// Tasksets about which Redis refuses what it is asked, since somebody has made something else of a
/// key of theirs.
#[derive(Debug, Default)]
pub struct Broken {
    told: HashSet<TasksetKey>,
}

impl Broken {
    /// Passes over a taskset about which Redis has refused something, and says so, once for as long as it
    /// does. Any other error is passed on.
    pub(crate) fn pass_over(
        &mut self,
        taskset: &TasksetKey,
        done: anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        match done {
            Err(error) if error.is::<Refused>() => {
                if self.told.insert(taskset.clone()) {
                    observer().note(&format!("passing over {taskset}: {error}"));
                }
            }
            Err(error) => return Err(error),
            Ok(()) => {
                self.told.remove(taskset);
            }
        }
        Ok(())
    }

    /// Forgets all but these: what is not active any more is not looked at, and its name may come again.
    pub(crate) fn keep(&mut self, active: &[TasksetKey]) {
        self.told.retain(|taskset| active.contains(taskset));
    }
}
