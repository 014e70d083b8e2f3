//! Slaves: processes that run trials, one at a time.
//!
//! Written by rrr-slave; ended by rrr-worker, which sees the process die, or by rrr-arbiter, when
//! the heartbeat stops.

mod death;
mod foreign;

pub use death::{bury, bury_as, reap};
pub(crate) use foreign::{ask_for_check, has_signs, list};

use crate::entity::heartbeat::Heartbeat;
use crate::lua;
use crate::protocol::key::{SlaveKey, TasksetKey, TrialKey};
use crate::protocol::status::SlaveStatus;
use crate::store::Store;
use crate::store::error::Refused;
use crate::store::read::{Text, rows_each};
use crate::store::script::Script;

static JOIN: Script = lua!("slave_join");

/// Adds the slave to the taskset with a heartbeat, replacing the name under which its worker has
/// listed it. Returns the taskset's status instead if it is not running.
pub fn join(
    store: &mut Store,
    taskset: &TasksetKey,
    slave: &SlaveKey,
    heartbeat: &Heartbeat,
) -> anyhow::Result<Option<String>> {
    let group = rustix::process::getpgrp().as_raw_nonzero();
    let listed = slave.worker().slave(&group.to_string());
    let state: Text = store.call(|c, _| {
        JOIN.key(taskset)
            .key(slave)
            .key(slave.heartbeat())
            .key(&listed)
            .arg(heartbeat.ttl_sec())
            .invoke(c)
    })?;
    Ok((&*state != "joined").then(|| state.into()))
}

static BEAT: Script = lua!("slave_beat");

/// Renews the slave's heartbeat; false if the slave was declared dead.
pub fn beat(store: &mut Store, slave: &SlaveKey, heartbeat: &Heartbeat) -> anyhow::Result<bool> {
    store.call(|c, _| {
        BEAT.key(slave)
            .key(slave.heartbeat())
            .arg(heartbeat.ttl_sec())
            .invoke(c)
    })
}

static EXIT: Script = lua!("slave_exit");

/// Records how a slave without a reserved trial ended.
pub fn exit(
    store: &mut Store,
    taskset: &TasksetKey,
    slave: &SlaveKey,
    status: SlaveStatus,
) -> anyhow::Result<()> {
    store.call(|c, _| {
        EXIT.key(slave)
            .key(slave.heartbeat())
            .key(taskset)
            .arg(status.as_str())
            .invoke::<()>(c)
    })
}

/// The state of a slave, as seen from outside.
#[derive(Clone, Debug)]
pub(crate) enum SlaveState {
    /// Ended: the slave reported it, or was declared dead.
    Ended,
    /// Without a heartbeat, and not declared dead yet.
    Silent,
    /// Without a heartbeat or a trial, and of another implementation, whose slaves are listed
    /// before their first heartbeat.
    Starting,
    /// Alive; with the trial that it ran last, or the last one of its batch.
    Alive(Option<TrialKey>),
}

/// The states of `slaves`, in one round trip per 2000.
pub(crate) fn look(store: &mut Store, slaves: &[SlaveKey]) -> anyhow::Result<Vec<SlaveState>> {
    let seen = look_each(store, slaves)?.into_iter();
    Ok(seen.collect::<Result<_, _>>()?)
}

/// The states of `slaves`, as by [`look`], with a separate error for each slave with keys of the
/// wrong type.
pub(crate) fn look_each(
    store: &mut Store,
    slaves: &[SlaveKey],
) -> anyhow::Result<Vec<Result<SlaveState, Refused>>> {
    type Facts = (Option<Text>, bool, Option<Text>);
    let mut seen = Vec::with_capacity(slaves.len());
    for chunk in slaves.chunks(2000) {
        // The status first: a leaving slave sets it before deleting its heartbeat.
        let facts: Vec<Result<Facts, Refused>> = store.call(|c, _| {
            let mut pipe = redis::pipe();
            for slave in chunk {
                pipe.cmd("HGET").arg(slave).arg("status");
                pipe.cmd("EXISTS").arg(slave.heartbeat());
                pipe.cmd("LINDEX").arg(slave.trials()).arg(-1);
            }
            rows_each(pipe.ignore_errors().query(c)?, 3)
        })?;
        seen.extend(chunk.iter().zip(facts).map(|(slave, facts)| {
            let (status, beats, trial) = facts?;
            Ok(match (status.filter(|status| !status.is_empty()), beats) {
                (Some(_), _) => SlaveState::Ended,
                (None, false) if trial.is_none() && slave.is_foreign() => SlaveState::Starting,
                (None, false) => SlaveState::Silent,
                (None, true) => SlaveState::Alive(trial.and_then(|text| text.parse().ok())),
            })
        }));
    }
    Ok(seen)
}

/// Whether a task is queued.
pub(crate) fn is_queued(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<bool> {
    store.call(|c, _| redis::cmd("EXISTS").arg(taskset.task_queue()).query(c))
}

/// Whether the slave has run any trial.
pub(crate) fn has_trials(store: &mut Store, slave: &SlaveKey) -> anyhow::Result<bool> {
    store.call(|c, _| redis::cmd("EXISTS").arg(slave.trials()).query(c))
}
