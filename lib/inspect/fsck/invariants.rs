//! The invariants, as functions of a snapshot.

use super::Finding;
use super::snapshot::{Around, Task, Taskset};
use crate::entity::worker_log;
use crate::exec::adapter;
use crate::protocol::key::{self, TasksetKey};
use crate::protocol::limits::STOPPED_ALLOWANCE;
use crate::protocol::status::{TaskStatus, TasksetStatus, TrialStatus};
use crate::protocol::taskset_field as field;
use std::collections::HashSet;

/// Bytes reserved for the line that reports dropped text.
const NOTE: usize = 4096;
/// Maximum events of a taskset and of a task in any normal run.
const EVENTS: usize = 10_000;

type Findings = Vec<Finding>;

struct Checker<'a> {
    seen: &'a Taskset,
    findings: Findings,
}

impl Checker<'_> {
    fn report(&mut self, invariant: &'static str, key: impl ToString, finding: impl Into<String>) {
        self.report_at(0, invariant, key, finding);
    }

    /// A finding about something whose progress is `state`.
    fn report_at(
        &mut self,
        state: usize,
        invariant: &'static str,
        key: impl ToString,
        finding: impl Into<String>,
    ) {
        self.findings.push(Finding {
            invariant,
            taskset: Some(self.seen.key.to_string()),
            key: key.to_string(),
            finding: finding.into(),
            state,
        });
    }
}

/// Checks all rules for one existing taskset.
pub(crate) fn taskset(seen: &Taskset, around: &Around) -> Findings {
    let mut judge = Checker {
        seen,
        findings: Vec::new(),
    };
    judge.active(around);
    if seen.is_persisted() {
        return judge.findings;
    }
    judge.endings();
    judge.counts();
    judge.successes();
    judge.tasks_left();
    judge.trials();
    judge.bytes();
    let status = seen.record.status();
    if status == Some(TasksetStatus::Running) {
        judge.lost();
    }
    if status.is_none_or(|status| !status.is_final()) {
        judge.waiting(around);
    }
    judge.findings
}

impl Checker<'_> {
    /// I1, I7: a final status is reported once, and matches the stored status.
    fn endings(&mut self) {
        let stands = self.seen.record.status().filter(|status| status.is_final());
        let told = &self.seen.endings;
        if told.len() > 1 {
            let all = told.join(", ");
            self.report(
                "I1",
                self.seen.key.events(),
                format!("it finished more than once: {all}"),
            );
        }
        if told
            .iter()
            .any(|status| TasksetStatus::parse(status) != stands)
        {
            let now = self.seen.record.get(field::STATUS).unwrap_or("none");
            let finding = format!("it finished as {}, but its status is {now}", told[0]);
            self.report("I7", &self.seen.key, finding);
        }
        for task in &self.seen.tasks {
            let Some(told) = self.seen.task_endings.get(&Taskset::spec_file(task)) else {
                continue;
            };
            if told.len() > 1 {
                let finding = format!("it has more than one verdict: {}", told.join(", "));
                self.report("I1", &task.key, finding);
            }
            if told
                .iter()
                .any(|status| TaskStatus::parse(status) != task.status)
            {
                self.report("I7", &task.key, "its status differs from its verdict");
            }
        }
    }

    /// I2: the counts match the tasks, and at a normal end they cover all tasks.
    fn counts(&mut self) {
        let has = |wanted: &[TaskStatus]| {
            let tasks = self.seen.tasks.iter();
            let those = tasks.filter(|task| task.status.is_some_and(|s| wanted.contains(&s)));
            those.count() as u64
        };
        let (good, bad) = (
            has(&[TaskStatus::Passed, TaskStatus::Pending]),
            has(&[TaskStatus::Failed]),
        );
        let (succeeded, failed) = self.seen.record.counts();
        if (succeeded, failed) != (good, bad) {
            let finding = format!(
                "it counts {succeeded} succeeded and {failed} failed; its tasks are {good} and {bad}"
            );
            self.report("I2", &self.seen.key, finding);
        }
        if self.seen.record.status() == Some(TasksetStatus::Succeeded)
            && (bad > 0 || good != self.seen.tasks.len() as u64 || good == 0)
        {
            let finding = format!(
                "it succeeded with {good} good tasks of {}",
                self.seen.tasks.len()
            );
            self.report("I2", &self.seen.key, finding);
        }
    }

    /// I3: a passed task has a passed trial.
    fn successes(&mut self) {
        let seen = self.seen;
        for task in &seen.tasks {
            let wanted = match task.status {
                Some(TaskStatus::Passed) => TrialStatus::Passed,
                Some(TaskStatus::Pending) => TrialStatus::Pending,
                _ => continue,
            };
            if !task.trials.iter().any(|trial| trial.status == Some(wanted)) {
                let finding = format!("it is {} without such a trial", wanted.as_str());
                self.report("I3", &task.key, finding);
            }
        }
    }

    /// I4: tasks_left contains the tasks without a status, each once.
    fn tasks_left(&mut self) {
        let seen = self.seen;
        let left: HashSet<&String> = seen.left.iter().collect();
        if left.len() != seen.left.len() {
            self.report("I4", seen.key.tasks_left(), "it contains a task twice");
        }
        for task in &seen.tasks {
            match (task.status, left.contains(&task.key)) {
                (Some(_), true) => {
                    self.report("I4", &task.key, "it has a verdict and is in tasks_left")
                }
                (None, false) => self.report(
                    "I4",
                    &task.key,
                    "it has no verdict and is not in tasks_left",
                ),
                _ => {}
            }
        }
    }

    /// I5: each open task is queued, running, or announced to the arbiter.
    fn lost(&mut self) {
        let seen = self.seen;
        let is_lost = |task: &&Task| {
            task.status.is_none()
                && !seen.queue.contains(&task.key)
                && !task.trials.iter().any(|trial| trial.live)
        };
        for task in seen.tasks.iter().filter(is_lost) {
            self.report_at(
                task.trials.len(),
                "I5",
                &task.key,
                "it is not queued, not running on a living slave, and not announced",
            );
        }
    }

    /// I6: no task has more trials than allowed.
    fn trials(&mut self) {
        let seen = self.seen;
        let most = seen.record.number(field::MAX_TRIALS).unwrap_or(1).max(1) as usize;
        for task in &seen.tasks {
            let tries = task.trials.iter().filter(|trial| !trial.stopped).count();
            // One speculative trial may start while the last trial is running.
            if tries > most + 1 || task.trials.len() > most + 1 + STOPPED_ALLOWANCE {
                let finding = format!("it has {} trials; the maximum is {most}", task.trials.len());
                self.report("I6", &task.key, finding);
            }
        }
    }

    /// I8, I14: unfinished tasksets are active; finished ones are not, and are queued for the
    /// persister.
    fn active(&mut self, around: &Around) {
        let seen = self.seen;
        let key = seen.key.to_string();
        let times = around
            .active
            .iter()
            .filter(|active| **active == key)
            .count();
        let is_final = seen.record.status().is_some_and(TasksetStatus::is_final);
        // Arbiters of other implementations, which write no events, leave them.
        if is_final && seen.has_ends && !seen.endings.is_empty() {
            let finding = "the taskset has finished, but ends of its suites are left";
            self.report("I8", seen.key.ends(), finding);
        }
        if times > 1 {
            self.report(
                "I8",
                key::active_taskset(),
                "the taskset is active more than once",
            );
        } else if is_final && times > 0 {
            self.report(
                "I8",
                key::active_taskset(),
                "the taskset has finished but is still active",
            );
        } else if seen.record.status() == Some(TasksetStatus::Running) && times == 0 {
            self.report("I8", &seen.key, "it is running but not active");
        }
        if is_final && !seen.is_persisted() && !around.to_persist.contains(&key) {
            self.report(
                "I14",
                &seen.key,
                "it has finished but is not queued for rrr-persist",
            );
        }
    }

    /// I12: a waiting taskset waits for something that can happen.
    fn waiting(&mut self, around: &Around) {
        let seen = self.seen;
        let key = seen.key.to_string();
        if !around.active.contains(&key) {
            return;
        }
        if seen.tasks.is_empty() {
            self.report("I12", &seen.key, "it is active but has no tasks");
        }
        let is_done = seen.left.is_empty() && seen.record.status() == Some(TasksetStatus::Running);
        if is_done && !seen.awaits_end && !around.spoken_of.contains(&key) && !seen.tasks.is_empty()
        {
            let finding = "it is running, but has no tasks left and no end of a suite to wait for";
            self.report_at(seen.events, "I12", &seen.key, finding);
        }
        let engaged = |worker: &&_| {
            let worker: &super::snapshot::Worker = worker;
            worker.taskset.as_ref() == Some(&key)
        };
        if around.workers.iter().find(engaged).is_some() || seen.queue.is_empty() {
            return;
        }
        let wanted = seen.record.worker_type();
        let idle = around.workers.iter().find(|worker| {
            worker.taskset.is_none()
                && !worker.benched
                && worker.worker_type == wanted
                && !seen.given_up.contains(&worker.key)
        });
        if let Some(idle) = idle {
            let finding = format!(
                "it waits though '{}' is idle: is rrr-dispatch running?",
                idle.key
            );
            self.report("I12", &seen.key, finding);
        }
    }

    /// I15: output of tests and tools does not fill Redis. Another implementation has no such bound.
    fn bytes(&mut self) {
        let seen = self.seen;
        for trial in seen.tasks.iter().flat_map(|task| &task.trials) {
            if !trial.foreign && trial.output > adapter::CAPTURE + NOTE {
                let finding = format!("its output has {} bytes", trial.output);
                self.report("I15", &trial.key, finding);
            }
        }
        for (log, bytes) in &seen.logs {
            if *bytes > worker_log::LOG_LIMIT + NOTE {
                self.report("I15", log, format!("the log has {bytes} bytes"));
            }
        }
        let trials: usize = seen.tasks.iter().map(|task| task.trials.len()).sum();
        let most = EVENTS + 10 * (seen.tasks.len() + trials);
        if seen.events > most {
            let finding = format!("it has {} events, more than {most}", seen.events);
            self.report("I15", seen.key.events(), finding);
        }
    }
}

/// Reports an active taskset that no longer exists.
pub(crate) fn gone(taskset: &TasksetKey, around: &Around) -> Findings {
    if !around.active.iter().any(|key| key == taskset.as_str()) {
        return Vec::new();
    }
    vec![Finding {
        invariant: "I8",
        taskset: Some(taskset.to_string()),
        key: key::active_taskset(),
        finding: "the taskset is active but does not exist".into(),
        state: 0,
    }]
}

/// Finds queues without a reader (I12): the same message is at the head in both snapshots. Requests
/// for a check do not count, since slaves repeat the same one.
pub(crate) fn queues(around: &Around) -> Findings {
    let head = around.arbiter_head.iter();
    let telling = head.filter(|message| !message.starts_with("check"));
    telling
        .map(|message| Finding {
            invariant: "I12",
            taskset: None,
            key: key::arbiter_queue(),
            finding: format!(
                "'{}' stays at its head: is rrr-arbiter running?",
                message.escape_debug()
            ),
            state: 0,
        })
        .collect()
}
