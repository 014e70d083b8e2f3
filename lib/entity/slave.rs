//! Slaves: a process that makes trials, one after the other.
//!
//! Written by rrr-slave; ended by rrr-worker, which sees it die, or by rrr-arbiter, when its
//! heartbeat stops.

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

/// Joins the taskset, alive, in the place of the name by which its worker has listed it; returns the
/// taskset's status instead when that is not running.
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

/// Says that the slave lives; false when it was declared dead.
pub fn beat(store: &mut Store, slave: &SlaveKey, heartbeat: &Heartbeat) -> anyhow::Result<bool> {
    store.call(|c, _| {
        BEAT.key(slave)
            .key(slave.heartbeat())
            .arg(heartbeat.ttl_sec())
            .invoke(c)
    })
}

static EXIT: Script = lua!("slave_exit");

/// Says how a slave that holds no trial ended.
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

/// How a slave looks from outside.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    /// It has said, or was declared, how it ended.
    Ended,
    /// It has no heartbeat, and nobody has declared it dead.
    Silent,
    /// As that, but it is of another implementation, whose slaves are listed before they have a
    /// heartbeat, and has made no trial.
    Starting,
    /// It lives; this is the trial it made last, or the last that it has on hand.
    Alive(Option<TrialKey>),
}

/// Looks at `slaves`: one round trip for each 2000.
pub(crate) fn look(store: &mut Store, slaves: &[SlaveKey]) -> anyhow::Result<Vec<Seen>> {
    let seen = look_each(store, slaves)?.into_iter();
    Ok(seen.collect::<Result<_, _>>()?)
}

/// As [`look`], with an error alone for each slave whose keys are of the wrong type.
pub(crate) fn look_each(
    store: &mut Store,
    slaves: &[SlaveKey],
) -> anyhow::Result<Vec<Result<Seen, Refused>>> {
    type Facts = (Option<Text>, bool, Option<Text>);
    let mut seen = Vec::with_capacity(slaves.len());
    for chunk in slaves.chunks(2000) {
        // The status first: a slave that leaves sets it before its heartbeat goes.
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
                (Some(_), _) => Seen::Ended,
                (None, false) if trial.is_none() && slave.is_foreign() => Seen::Starting,
                (None, false) => Seen::Silent,
                (None, true) => Seen::Alive(trial.and_then(|text| text.parse().ok())),
            })
        }));
    }
    Ok(seen)
}

/// Whether a task waits to be tried.
pub(crate) fn is_queued(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<bool> {
    store.call(|c, _| redis::cmd("EXISTS").arg(taskset.task_queue()).query(c))
}

/// Whether the slave has made a trial at all.
pub(crate) fn has_trials(store: &mut Store, slave: &SlaveKey) -> anyhow::Result<bool> {
    store.call(|c, _| redis::cmd("EXISTS").arg(slave.trials()).query(c))
}
