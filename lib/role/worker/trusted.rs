//! The checks of a worker with --trust before it runs a taskset, and the file for its slaves.

use super::{CannotRun, Worker};
use crate::entity::taskset::{self, Record};
use crate::protocol::key::{TaskKey, TasksetKey};
use crate::protocol::taskset_field as field;
use crate::protocol::time;
use crate::suite::signing::{self, EndedRuns, Signed, Trust};
use std::io::Write;

/// The keys that a worker trusts, and the signed runs that it has seen finish.
pub(super) struct Wary {
    pub trust: Trust,
    pub ended: EndedRuns,
    /// The run of the current taskset.
    pub on_hand: Option<signing::SignedRun>,
}

impl Worker {
    /// Refuses a taskset that is not signed with a trusted key. Returns the file with the signed
    /// task list, for the slaves: the tasks in Redis may have changed by the time they are
    /// reserved.
    pub(super) fn check_signature(
        &mut self,
        taskset: &TasksetKey,
        record: &Record,
    ) -> anyhow::Result<Option<tempfile::NamedTempFile>> {
        let Some(wary) = &mut self.wary else {
            return Ok(None);
        };
        let refused = |why: String| NotTrusted(format!("the taskset is not trusted: {why}"));
        let tasks = taskset::tasks(&mut self.store, taskset)?;
        let files = || tasks.iter().map(TaskKey::spec_file);
        let now = time::unix_ms() / 1000;
        let run = wary
            .trust
            .check(taskset, &record.0, files(), now)
            .map_err(refused)?;
        // A taskset named on the command line was chosen by the operator; a queue is written by
        // others.
        let own = &self.card.worker_type;
        let wanted = record.get(field::WORKER_TYPE).unwrap_or_default();
        if self.options.taskset.is_none() && wanted != own {
            let why = format!("it was signed for workers of type '{wanted}', not '{own}'");
            return Err(refused(why).into());
        }
        let noted = wary.ended.begin(&run).map_err(|error| {
            let path = wary.ended.path().display();
            CannotRun(format!("cannot record the run in '{path}': {error}"))
        })?;
        if !noted {
            let why = "this worker has already seen it finish; submit it again".to_owned();
            return Err(refused(why).into());
        }
        wary.on_hand = Some(run);
        let cannot = |error| CannotRun(format!("cannot write the signed task list: {error}"));
        let mut file = self.scratch_file().map_err(cannot)?;
        let mut out = std::io::BufWriter::new(&mut file);
        let signed = Signed::of(&record.0, files());
        signed
            .write(&mut out)
            .and_then(|()| out.flush())
            .map_err(cannot)?;
        drop(out);
        Ok(Some(file))
    }

    /// Notes that the current run has finished, so that it cannot be replayed.
    pub(super) fn note_end(&mut self, over: bool) -> anyhow::Result<()> {
        let Some(wary) = &mut self.wary else {
            return Ok(());
        };
        match wary.on_hand.take().filter(|_| over) {
            Some(run) => Ok(wary.ended.end(&run)?),
            None => Ok(()),
        }
    }
}

/// The taskset is not trusted by this worker. This does not mean that the machine is faulty.
#[derive(Debug)]
pub(super) struct NotTrusted(pub String);

impl std::fmt::Display for NotTrusted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotTrusted {}
