//! A record that is read a few tasks at a time, so that a large one does not need much memory. In
//! Redis it is read again for each pass; a record from the database is in memory.

use super::{Bytes, Document, Slave, Task, Taskset, WorkerLog, gather};
use crate::protocol::key::TasksetKey;
use crate::store::Store;

/// A record that can be read in several passes.
pub(crate) struct Source<'a> {
    pub head: Head,
    pub rest: Rest<'a>,
}

/// The taskset itself.
pub(crate) struct Head {
    pub key: TasksetKey,
    pub taskset: Taskset,
    pub log: Bytes,
}

/// Everything that belongs to the taskset.
pub(crate) enum Rest<'a> {
    Redis(&'a mut Store, TasksetKey),
    Whole {
        tasks: Vec<Task>,
        slaves: Vec<Slave>,
        worker_logs: Vec<WorkerLog>,
    },
}

impl<'a> Source<'a> {
    /// The record of `key` in Redis; `None` when Redis has no such taskset.
    pub(crate) fn open(store: &'a mut Store, key: &TasksetKey) -> anyhow::Result<Option<Self>> {
        let found = gather::head(store, key)?;
        Ok(found.map(|(taskset, log)| Self {
            head: Head {
                key: key.clone(),
                taskset,
                log,
            },
            rest: Rest::Redis(store, key.clone()),
        }))
    }
}

impl From<Document> for Source<'static> {
    fn from(document: Document) -> Self {
        Self {
            head: Head {
                key: document.key,
                taskset: document.taskset,
                log: document.log,
            },
            rest: Rest::Whole {
                tasks: document.tasks,
                slaves: document.slaves,
                worker_logs: document.worker_logs,
            },
        }
    }
}

impl Rest<'_> {
    /// Passes each task to `visit`, in order of submission.
    pub(crate) fn tasks(
        &mut self,
        mut visit: impl FnMut(&Task) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Redis(store, key) => {
                gather::tasks(store, key, |tasks| tasks.iter().try_for_each(&mut visit))
            }
            Self::Whole { tasks, .. } => tasks.iter().try_for_each(visit),
        }
    }

    /// Passes each slave to `visit`.
    pub(crate) fn slaves(
        &mut self,
        mut visit: impl FnMut(&Slave) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Redis(store, key) => gather::slaves(store, key, |slave| visit(&slave)),
            Self::Whole { slaves, .. } => slaves.iter().try_for_each(visit),
        }
    }

    /// Passes each worker's log to `visit`.
    pub(crate) fn worker_logs(
        &mut self,
        mut visit: impl FnMut(&WorkerLog) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Redis(store, key) => gather::logs(store, key, |log| visit(&log)),
            Self::Whole { worker_logs, .. } => worker_logs.iter().try_for_each(visit),
        }
    }
}

impl Source<'_> {
    /// The record without outputs, logs and examples, as a timeline needs it.
    pub(crate) fn outline(&mut self) -> anyhow::Result<Document> {
        let (mut tasks, mut slaves, mut worker_logs) = (Vec::new(), Vec::new(), Vec::new());
        self.rest.tasks(|task| {
            let trials = task.trials.iter().map(|trial| trial.outline());
            tasks.push(Task {
                key: task.key.clone(),
                trials: trials.collect(),
                spec_file: task.spec_file.clone(),
                status: task.status.clone(),
                estimate_sec: task.estimate_sec,
                other: Default::default(),
            });
            Ok(())
        })?;
        self.rest.slaves(|slave| {
            slaves.push(Slave {
                log: Bytes::default(),
                ..slave.clone()
            });
            Ok(())
        })?;
        self.rest.worker_logs(|log| {
            worker_logs.push(WorkerLog {
                log: Bytes::default(),
                ..log.clone()
            });
            Ok(())
        })?;
        Ok(Document {
            key: self.head.key.clone(),
            taskset: self.head.taskset.clone(),
            log: Bytes::default(),
            tasks,
            slaves,
            worker_logs,
        })
    }
}
