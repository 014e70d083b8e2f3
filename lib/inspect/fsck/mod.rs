//! Checks the invariants of all data in Redis, without changing anything.
//!
//! A snapshot of a run in progress is not atomic: between two of its reads a slave may finish its
//! trial. So a violation counts only when several snapshots show it with no change in between: most
//! transient ones do not recur, and those that do (a task between two trials, a worker between two
//! tasksets) either show progress in their [`Finding::state`] or are missing from one snapshot.
//! [`snapshot`] and [`load`] read, [`invariants`] decides (without Redis), [`leaks`] scans all
//! keys.
//!
//! The invariants are numbered as in tests/core/faults/README.md: I1 one final status, I2 counts,
//! I3 a success has its passes, I4 tasks_left, I5 no task is lost, I6 trials, I7 a final status
//! stays, I8 active, I9 no key lives for ever, I12 every waiting message has a reader, I14 each
//! finished taskset is persisted or will be, I15 bounded bytes. I10, I11 and I13 are about
//! processes and files, which Redis does not know.

mod invariants;
mod leaks;
mod load;
mod snapshot;

use crate::entity::worker;
use crate::protocol::key::TasksetKey;
use crate::store::Store;
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::Duration;

/// A violated invariant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Finding {
    /// `I1` to `I15`.
    pub invariant: &'static str,
    /// The taskset concerned, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taskset: Option<String>,
    /// The key that shows the violation.
    pub key: String,
    /// A description for people.
    pub finding: String,
    /// The progress of the object concerned: a number that grows with every change.
    #[serde(skip)]
    pub state: usize,
}

/// The extent of a check.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    /// Number of existing tasksets.
    pub tasksets: usize,
    /// Number of keys whose time to live was read.
    pub keys: usize,
}

/// Snapshots after the second, while suspicions remain.
const MORE_LOOKS: u32 = 4;

/// Checks `tasksets`, or everything if none are named. Suspicions are checked again after `pause`,
/// and those that remain a few more times within another pause.
///
/// Errors: Redis refuses a command, or is unreachable for longer than the store waits.
pub(crate) fn check(
    store: &mut Store,
    tasksets: &[TasksetKey],
    pause: Duration,
) -> anyhow::Result<(Report, Vec<Finding>)> {
    let (mut report, mut findings) = look_once(store, tasksets)?;
    for look in 0..=MORE_LOOKS {
        if findings.is_empty() {
            break;
        }
        crate::process::signals::sleep(match look {
            0 => pause,
            _ => pause / MORE_LOOKS,
        });
        let again = if look == 0 {
            let (again, seen) = look_once(store, tasksets)?;
            report = again;
            seen
        } else {
            look_once(
                store,
                &suspects(&findings).unwrap_or_else(|| tasksets.to_owned()),
            )?
            .1
        };
        findings = findings.intersection(&again).cloned().collect();
    }
    Ok((report, findings.into_iter().collect()))
}

/// The tasksets concerned by the findings; none if a finding concerns something else, or a key that
/// only a full check can see.
fn suspects(findings: &BTreeSet<Finding>) -> Option<Vec<TasksetKey>> {
    let of = |finding: &Finding| finding.taskset.as_ref()?.parse().ok();
    let suspects: Option<BTreeSet<TasksetKey>> = findings.iter().map(of).collect();
    suspects.map(|suspects| suspects.into_iter().collect())
}

fn look_once(
    store: &mut Store,
    named: &[TasksetKey],
) -> anyhow::Result<(Report, BTreeSet<Finding>)> {
    let mut findings = BTreeSet::new();
    let mut report = Report::default();
    let scan = leaks::scan(store, named)?;
    report.keys = scan.keys;
    let around = snapshot::Around::load(store)?;
    let mut tasksets: BTreeSet<TasksetKey> = named.iter().cloned().collect();
    if named.is_empty() {
        tasksets.extend(scan.tasksets.iter().cloned());
        tasksets.extend(around.active.iter().filter_map(|key| key.parse().ok()));
        findings.extend(invariants::queues(&around));
    }
    let alive = around.workers.iter();
    let alive: Vec<_> = alive.filter_map(|one| one.key.parse().ok()).collect();
    let others = worker::of_another_kind(store, &alive)?.into_iter();
    let mut lasting = leaks::Lasting {
        workers: others.map(|worker| worker.to_string()).collect(),
        ..leaks::Lasting::default()
    };
    let tasksets: Vec<TasksetKey> = tasksets.into_iter().collect();
    for some in tasksets.chunks(load::MANY) {
        for (taskset, seen) in some.iter().zip(load::tasksets(store, some, &around)?) {
            let Some(seen) = seen else {
                findings.extend(invariants::gone(taskset, &around));
                continue;
            };
            report.tasksets += 1;
            if !seen.is_persisted() {
                lasting.tasksets.insert(taskset.clone());
                lasting.slaves.extend(seen.slaves.iter().cloned());
            }
            findings.extend(invariants::taskset(&seen, &around));
        }
    }
    findings.extend(leaks::leaks(&scan, &lasting));
    Ok((report, findings))
}
