//! Finds problems in one snapshot, without Redis.

use super::Stat;
use crate::entity::daemon;
use serde::Serialize;

/// A kind of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Check {
    /// Messages were refused
    Dead,
    /// A message is not being handled
    Queue,
    /// A taskset has no worker
    Waiting,
    /// No arbiter or no dispatcher is running
    Roles,
    /// Redis is almost out of memory
    Memory,
}

/// The limits beyond which a state is a problem.
#[derive(Clone, Debug)]
pub(crate) struct Thresholds {
    pub dead: u64,
    pub queue_sec: u64,
    pub waiting_sec: u64,
    pub memory_percent: u64,
}

/// A problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Trouble {
    pub check: Check,
    pub reason: String,
}

/// All problems, most severe first.
pub(crate) fn troubles(stat: &Stat, limits: &Thresholds) -> Vec<Trouble> {
    let mut found = Vec::new();
    let mut report = |check, reason| found.push(Trouble { check, reason });
    for role in ["arbiter", "dispatch"] {
        if stat.roles.get(role) != Some(&true) && !stat.foreign_roles.contains(&role) {
            let reason = format!("no rrr-{role} has run for {} s", daemon::LIFE_SEC);
            report(Check::Roles, reason);
        }
    }
    for (name, queue) in &stat.queues {
        if let Some(age) = queue.oldest_sec.filter(|age| *age > limits.queue_sec) {
            let reason = format!(
                "the oldest of {} messages in the queue '{name}' is {age} s old",
                queue.messages
            );
            report(Check::Queue, reason);
        }
    }
    let waiting = &stat.tasksets;
    match &waiting.stranded {
        Some(lost) if lost.waiting_sec > limits.waiting_sec => {
            let reason = format!(
                "'{}' has waited for {} s: no worker of the type '{}' is alive",
                lost.taskset, lost.waiting_sec, lost.worker_type
            );
            report(Check::Waiting, reason);
        }
        _ => {
            let oldest = waiting.oldest_waiting_sec;
            if let Some(age) = oldest.filter(|age| *age > limits.waiting_sec) {
                let reason =
                    format!("a taskset has waited for {age} s: all workers of its type are busy");
                report(Check::Waiting, reason);
            }
        }
    }
    let memory = &stat.memory;
    let percent = (memory.used * 100).checked_div(memory.max).unwrap_or(0);
    if percent > limits.memory_percent {
        let reason = format!(
            "Redis uses {percent} % of its maxmemory of {} bytes",
            memory.max
        );
        report(Check::Memory, reason);
    }
    for (name, queue) in stat
        .queues
        .iter()
        .filter(|(_, queue)| queue.dead > limits.dead)
    {
        let reason = format!("{} messages of the queue '{name}' were refused", queue.dead);
        report(Check::Dead, reason);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::{Memory, Queue, Stranded};
    use super::*;

    const LIMITS: Thresholds = Thresholds {
        dead: 0,
        queue_sec: 60,
        waiting_sec: 300,
        memory_percent: 90,
    };

    fn well() -> Stat {
        let mut stat = Stat::default();
        stat.roles.extend([("arbiter", true), ("dispatch", true)]);
        stat.queues.insert("arbiter", Queue::default());
        stat
    }

    fn checks(stat: &Stat) -> Vec<Check> {
        let all = troubles(stat, &LIMITS);
        all.iter().map(|trouble| trouble.check).collect()
    }

    #[test]
    fn each_problem_is_reported_above_its_limit_and_not_at_it() {
        assert_eq!(checks(&well()), []);
        assert_eq!(checks(&Stat::default()), [Check::Roles, Check::Roles]);
        let others = Stat {
            foreign_roles: vec!["dispatch"],
            ..Stat::default()
        };
        assert_eq!(checks(&others), [Check::Roles]);
        let with = |change: &dyn Fn(&mut Stat)| {
            let mut stat = well();
            change(&mut stat);
            checks(&stat)
        };
        let set = |stat: &mut Stat, age, dead| {
            let queue = Queue {
                messages: 1,
                dead,
                oldest_sec: Some(age),
            };
            stat.queues.insert("arbiter", queue);
        };
        assert_eq!(with(&|stat| set(stat, 60, 0)), []);
        assert_eq!(with(&|stat| set(stat, 61, 0)), [Check::Queue]);
        assert_eq!(with(&|stat| set(stat, 0, 1)), [Check::Dead]);
        for (age, found) in [(300, vec![]), (301, vec![Check::Waiting])] {
            assert_eq!(
                with(&|stat| stat.tasksets.oldest_waiting_sec = Some(age)),
                found
            );
        }
        for (used, found) in [(90, vec![]), (91, vec![Check::Memory])] {
            assert_eq!(with(&|stat| stat.memory = Memory { used, max: 100 }), found);
        }
        assert_eq!(with(&|stat| stat.memory = Memory { used: 91, max: 0 }), []);
    }

    #[test]
    fn a_taskset_without_a_matching_worker_is_named() {
        let mut stat = well();
        stat.tasksets.oldest_waiting_sec = Some(400);
        stat.tasksets.stranded = Some(Stranded {
            taskset: "t".into(),
            worker_type: "gpu".into(),
            waiting_sec: 301,
        });
        let found = troubles(&stat, &LIMITS);
        assert_eq!(found.len(), 1);
        assert!(found[0].reason.contains("type 'gpu'"), "{found:?}");
    }
}
