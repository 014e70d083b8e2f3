//! The interpretation of a record: the verdict of each file, the deciding trial, and earlier
//! failures.

use crate::archive::document::{Head, Task, Taskset, Trial};
use crate::process::signals;
use crate::process::text::harmless;
use crate::protocol::example::{Example, Status as ExampleStatus};
use crate::protocol::request::LOCAL;
use crate::protocol::status::{TaskStatus, TasksetStatus, TrialStatus};
use crate::protocol::time;
use crate::show::reason::Facts;
use crate::show::view::note::Remains;
use crate::show::view::summary::{
    FailedTask, FlakyTask, NO_TASK_FAILED, SLOWEST, Summary, counted, only_failure, places,
};
use std::fmt;

/// A task with its result.
pub(crate) struct Case<'a> {
    pub spec_file: &'a str,
    /// `None` if the taskset finished without a verdict for the task.
    pub verdict: Option<TaskStatus>,
    /// The deciding trial: the one that passed, or the last.
    pub trial: Option<&'a Trial>,
    /// Failed trials other than [`Self::trial`], oldest first.
    pub wrong: Vec<&'a Trial>,
    pub trials: usize,
}

fn is_wrong(trial: &Trial) -> bool {
    trial.stopped.is_none() && trial.status().is_some() && !trial.is_good()
}

impl<'a> Case<'a> {
    /// Reads a task.
    pub(crate) fn of(task: &'a Task) -> Self {
        let good = task.trials.iter().find(|trial| trial.is_good());
        let finished = task
            .trials
            .iter()
            .rev()
            .find(|trial| trial.status().is_some());
        let deciding = match task.status() {
            Some(TaskStatus::Failed) => {
                let wrong = task.trials.iter().rev().find(|trial| is_wrong(trial));
                wrong.or(finished)
            }
            _ => good.or(finished),
        };
        let others = |trial: &&Trial| deciding.is_none_or(|one| one.key != trial.key);
        Self {
            spec_file: task.spec_file(),
            verdict: task.status(),
            trial: deciding,
            wrong: task
                .trials
                .iter()
                .filter(|trial| is_wrong(trial))
                .filter(others)
                .collect(),
            trials: task.trials.len(),
        }
    }

    /// Whether the task passed, but not in its first trial.
    pub(crate) fn is_flaky(&self) -> bool {
        self.verdict != Some(TaskStatus::Failed) && self.verdict.is_some() && !self.wrong.is_empty()
    }

    /// Why the first trial failed, if it was not the deciding one.
    pub(crate) fn first_reason(&self) -> Option<String> {
        self.wrong.first().map(|trial| reason(trial))
    }

    /// Whether the verdict is failed.
    pub(crate) fn is_failed(&self) -> bool {
        self.verdict == Some(TaskStatus::Failed)
    }

    /// The duration of the deciding trial.
    pub(crate) fn duration_ms(&self) -> Option<u64> {
        u64::try_from(self.trial?.duration_ms?).ok()
    }

    /// The verdict in a word, or the status of the last trial if that is more specific.
    pub(crate) fn word(&self) -> &'static str {
        let how = self.trial.and_then(Trial::status);
        match (self.verdict, how) {
            (Some(TaskStatus::Passed), _) => "passed",
            (Some(TaskStatus::Pending), _) => "pending",
            (Some(TaskStatus::Failed), Some(TrialStatus::Timeout)) => "timeout",
            (Some(TaskStatus::Failed), Some(TrialStatus::Error)) => "error",
            (Some(TaskStatus::Failed), _) => "failed",
            (None, _) => "not finished",
        }
    }

    /// The single tests of the deciding trial.
    pub(crate) fn examples(&self) -> &'a [Example] {
        self.trial
            .and_then(|trial| trial.examples.as_deref())
            .unwrap_or_default()
    }

    /// The failed examples of the deciding trial.
    pub(crate) fn failed_examples(&self) -> impl Iterator<Item = &'a Example> {
        let examples = self.examples().iter();
        examples.filter(|example| example.status.is_bad())
    }

    /// The number of examples of the deciding trial missing from its record, if any.
    pub(crate) fn left_out(&self) -> Option<LeftOut> {
        let trial = self.trial?;
        let all = trial.examples_cut();
        if all == 0 {
            return None;
        }
        let kept = |wanted: &[ExampleStatus]| {
            let kept = self.examples().iter();
            kept.filter(|example| wanted.contains(&example.status))
                .count() as u64
        };
        let lacks = |count: Option<i64>, wanted: &[ExampleStatus]| {
            let count = u64::try_from(count.unwrap_or(0)).unwrap_or(0);
            count.saturating_sub(kept(wanted))
        };
        let passed = lacks(trial.passed, &[ExampleStatus::Passed]);
        let pending = lacks(trial.pending, &[ExampleStatus::Pending]);
        let bad = [ExampleStatus::Failed, ExampleStatus::Error];
        let failed = lacks(trial.failed, &bad).min(all);
        let agree = passed + pending + failed == all;
        Some(LeftOut {
            all,
            passed: if agree { passed } else { 0 },
            pending: if agree { pending } else { 0 },
            failed,
        })
    }

    /// The result with details: `failed (exit 1, 3 trials)`.
    pub(crate) fn story(&self) -> String {
        let mut facts = Vec::new();
        if let Some(trial) = self.trial {
            facts.extend(trial.signal.map(|signal| signals::name(signal as i32)));
            let code = trial.exit_code.filter(|_| trial.signal.is_none());
            facts.extend(code.map(|code| format!("exit {code}")));
        }
        facts.extend((self.trials > 1).then(|| format!("{} trials", self.trials)));
        match facts.is_empty() {
            true => self.word().to_owned(),
            false => format!("{} ({})", self.word(), facts.join(", ")),
        }
    }
}

/// Why a trial failed, in a line.
fn reason(trial: &Trial) -> String {
    let facts = Facts {
        status: trial.status().map_or("error", TrialStatus::as_str),
        exit_code: trial.exit_code,
        signal: trial.signal,
        examples: trial.examples.as_deref().unwrap_or_default(),
        stdout: &trial.stdout.text(),
        stderr: &trial.stderr.text(),
    };
    facts.reason()
}

/// The last `most` bytes of a trial's output, from the start of a line, made harmless.
pub(crate) fn tail(bytes: &crate::archive::document::Bytes, most: usize) -> String {
    let bytes = &bytes.0;
    let cut = bytes.len().saturating_sub(most);
    let from = match bytes[cut..].iter().position(|byte| *byte == b'\n') {
        Some(line) if cut > 0 => cut + line + 1,
        _ => cut,
    };
    let text = harmless(&String::from_utf8_lossy(&bytes[from..]));
    match from {
        0 => text,
        left_out => format!("({left_out} bytes before this)\n{text}"),
    }
}

/// Examples of which only the number is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeftOut {
    pub all: u64,
    pub passed: u64,
    pub pending: u64,
    pub failed: u64,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let other = self.all - self.passed - self.pending - self.failed;
        let parts = [
            (self.failed, "failed example"),
            (self.pending, "pending example"),
            (self.passed, "passed example"),
            (other, "example"),
        ];
        let parts = parts.iter().filter(|(count, _)| *count > 0);
        let parts: Vec<String> = parts.map(|(count, noun)| counted(*count, noun)).collect();
        f.write_str(&parts.join(", "))
    }
}

/// The status of a taskset in a word, spelled as in the record.
pub(crate) fn status(taskset: &Taskset) -> &str {
    match (&taskset.status, &taskset.created_at) {
        (Some(status), _) => status,
        (None, Some(_)) => "waiting",
        (None, None) => "unknown",
    }
}

/// The reason why a taskset is red, if its tasks do not show it: a word, and a sentence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub word: String,
    pub message: String,
}

/// The trouble of a taskset with this number of failed tasks. Only a taskset that succeeded has a
/// green report, since CI servers judge by it.
pub(crate) fn trouble(taskset: &Taskset, failed: u64) -> Option<Trouble> {
    let reason = taskset.fail_reason.as_deref();
    let message = match (taskset.status(), reason) {
        (Some(TasksetStatus::Succeeded), _) => return None,
        (Some(TasksetStatus::Failed), None) if failed > 0 => return None,
        (_, Some(reason)) => reason.to_owned(),
        (Some(TasksetStatus::Failed), None) => NO_TASK_FAILED.to_owned(),
        (Some(TasksetStatus::Cancelled), None) => "the taskset was cancelled".to_owned(),
        (Some(TasksetStatus::Running), None) => "the taskset has not finished".to_owned(),
        (None, None) => format!(
            "the taskset has not finished: its status is {}",
            status(taskset)
        ),
    };
    Some(Trouble {
        word: status(taskset).to_owned(),
        message,
    })
}

/// The time from submission to the end, in whole seconds.
pub(crate) fn elapsed_ms(taskset: &Taskset) -> Option<u64> {
    let at = |text: &Option<String>| time::parse(text.as_deref()?);
    let (from, to) = (at(&taskset.created_at)?, at(&taskset.finished_at)?);
    u64::try_from((to - from).num_milliseconds()).ok()
}

/// The totals of the tasks seen so far.
#[derive(Default)]
pub(crate) struct Tally {
    tasks: u64,
    passed: u64,
    pending: u64,
    pub failures: Vec<FailedTask>,
    flaky: Vec<FlakyTask>,
    slowest: Vec<(String, u64)>,
    remains: Vec<(String, Remains)>,
    left_out: Vec<(String, String)>,
    examples: [u64; 3],
}

impl Tally {
    /// Adds a task.
    pub(crate) fn add(&mut self, case: &Case) {
        let file = || case.spec_file.to_owned();
        self.tasks += 1;
        match case.verdict {
            Some(TaskStatus::Passed) => self.passed += 1,
            Some(TaskStatus::Pending) => self.pending += 1,
            Some(TaskStatus::Failed) => self.failures.push(FailedTask {
                spec_file: file(),
                places: places(case.examples()),
                example: only_failure(case.examples()),
                status: case.word().to_owned(),
                trials: case.trials as u64,
            }),
            None => {}
        }
        if case.is_flaky() {
            self.flaky.push(FlakyTask {
                spec_file: file(),
                trials: case.trials as u64,
                reason: case.first_reason(),
            });
        }
        self.remains.extend(remains(case));
        let left_out = case.left_out();
        self.left_out
            .extend(left_out.map(|cut| (file(), cut.to_string())));
        if let Some(trial) = case.trial {
            let counts = [trial.passed, trial.pending, trial.failed];
            for (sum, count) in self.examples.iter_mut().zip(counts) {
                *sum = sum.saturating_add(count.unwrap_or(0).max(0) as u64);
            }
        }
        if let Some(took) = case.duration_ms() {
            self.slowest.push((file(), took));
            let order = |a: &(String, u64), b: &(String, u64)| b.1.cmp(&a.1).then(a.0.cmp(&b.0));
            self.slowest.sort_by(order);
            self.slowest.truncate(SLOWEST);
        }
    }

    /// The summary that the tools that follow a taskset print at its end.
    pub(crate) fn summary(self, head: &Head) -> Summary {
        Summary {
            rerun: Some(rerun_all(head)),
            record: None,
            folder: None,
            earlier_ms: Vec::new(),
            slave_command: head.taskset.slave_command.clone().unwrap_or_default(),
            status: status(&head.taskset).to_owned(),
            fail_reason: head.taskset.fail_reason.clone(),
            tasks: self.tasks,
            passed: self.passed,
            pending: self.pending,
            failures: self.failures,
            flaky: self.flaky,
            slowest: self.slowest,
            remains: self.remains,
            left_out: self.left_out,
            unfinished: Vec::new(),
            examples: self.examples,
            elapsed_ms: elapsed_ms(&head.taskset),
        }
    }
}

/// The command that reruns what failed.
fn rerun_all(head: &Head) -> String {
    let is_local = head.taskset.rsync_name.as_deref() == Some(LOCAL);
    let tool = if is_local { "rrr-local" } else { "rrr-submit" };
    format!("{tool} --rerun-failed {}", head.key)
}

fn remains(case: &Case) -> Option<(String, Remains)> {
    let trial = case.trial?;
    let leaked = trial.leaked.unwrap_or(0).max(0) as u64;
    let remains = Remains::of(leaked, trial.outputs.as_deref())?;
    Some((case.spec_file.to_owned(), remains))
}
