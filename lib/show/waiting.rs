//! The reason why a taskset waits, as text.

use crate::entity::taskset::{self, Record};
use crate::entity::{queue, worker, worker_log};
use crate::protocol::key::{self, TasksetKey};
use crate::store::Store;

/// Describes the cause of an active taskset's wait, unless it waits for its own tests.
pub(crate) fn standing(
    store: &mut Store,
    taskset: &TasksetKey,
    record: &Record,
) -> anyhow::Result<Option<String>> {
    let wanted = record.worker_type();
    let workers = worker::survey(store)?;
    let alive: Vec<_> = workers
        .iter()
        .filter(|worker| worker.alive && worker.worker_type.as_deref() == Some(wanted))
        .collect();
    let idle = alive
        .iter()
        .filter(|worker| worker.taskset.is_none())
        .count();
    let ours = alive
        .iter()
        .any(|worker| worker.taskset.as_deref() == Some(taskset.as_str()));
    if ours {
        // Once there are slaves, silence is normal: their tests are running.
        if taskset::slaves(store, taskset)?.is_empty() {
            let preparing = worker_log::preparing(store, taskset)?;
            let told = preparing.first().map(|one| {
                let id = one.worker.parse::<key::WorkerKey>();
                let id = id.map_or_else(|_| one.worker.clone(), |key| key.id().to_owned());
                format!("waiting for the {} of worker '{id}'", one.step)
            });
            return Ok(told);
        }
        let messages = queue::length(store, &key::arbiter_queue())?;
        return Ok((messages > 0)
            .then(|| format!("waiting for rrr-arbiter ({messages} messages in its queue)")));
    }
    Ok(Some(match (alive.len(), idle) {
        (0, _) => format!("waiting for a worker of type '{wanted}' (0 alive)"),
        (alive, 0) => format!("waiting for a worker of type '{wanted}' ({alive} alive, all busy)"),
        (_, idle) => {
            format!(
                "waiting for rrr-dispatch to give it to a worker of type '{wanted}' ({idle} idle)"
            )
        }
    }))
}
