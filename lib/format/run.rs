//! What a record means: the verdict of each file, the trial that decided it, and what went wrong
//! before.

use crate::example::{Example, Status as ExampleStatus};
use crate::plain::harmless;
use crate::record::{Document, Task, Trial};
use crate::view::progress::Remains;
use crate::view::summary::{Failure, SLOWEST, Summary, places};
use crate::{task, time, trial};

/// A task with what became of it.
pub struct Case<'a> {
    pub spec_file: &'a str,
    /// None when the taskset ended before it.
    pub verdict: Option<task::Status>,
    /// The trial that says most: the one that passed, or the last.
    pub trial: Option<&'a Trial>,
    /// Trials that went wrong, other than [`Self::trial`], oldest first.
    pub wrong: Vec<&'a Trial>,
    pub trials: usize,
}

/// A record, read.
pub struct Run<'a> {
    pub document: &'a Document,
    pub cases: Vec<Case<'a>>,
}

fn is_wrong(trial: &Trial) -> bool {
    trial.stopped.is_none() && trial.status().is_some() && !trial.is_good()
}

impl<'a> Case<'a> {
    fn of(task: &'a Task) -> Self {
        let good = task.trials.iter().find(|trial| trial.is_good());
        let finished = task
            .trials
            .iter()
            .rev()
            .find(|trial| trial.status().is_some());
        let deciding = match task.status() {
            Some(task::Status::Failed) => {
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

    /// Passed, but not at once.
    pub fn is_flaky(&self) -> bool {
        self.verdict != Some(task::Status::Failed)
            && self.verdict.is_some()
            && !self.wrong.is_empty()
    }

    /// Failed for good.
    pub fn is_failed(&self) -> bool {
        self.verdict == Some(task::Status::Failed)
    }

    /// What the deciding trial took.
    pub fn duration_ms(&self) -> Option<u64> {
        u64::try_from(self.trial?.duration_ms?).ok()
    }

    /// Its verdict in a word: how the last trial ended where that says more.
    pub fn word(&self) -> &'static str {
        let how = self.trial.and_then(Trial::status);
        match (self.verdict, how) {
            (Some(task::Status::Passed), _) => "passed",
            (Some(task::Status::Pending), _) => "pending",
            (Some(task::Status::Failed), Some(trial::Status::Timeout)) => "timeout",
            (Some(task::Status::Failed), Some(trial::Status::Error)) => "error",
            (Some(task::Status::Failed), _) => "failed",
            (None, _) => "not finished",
        }
    }

    /// The single tests of the deciding trial.
    pub fn examples(&self) -> &'a [Example] {
        self.trial
            .and_then(|trial| trial.examples.as_deref())
            .unwrap_or_default()
    }

    /// Those of them that failed.
    pub fn failed_examples(&self) -> impl Iterator<Item = &'a Example> {
        let bad = |e: &&Example| matches!(e.status, ExampleStatus::Failed | ExampleStatus::Error);
        self.examples().iter().filter(bad)
    }

    /// How it ended, with the facts: `failed (exit 1, 3 trials)`.
    pub fn story(&self) -> String {
        let mut facts = Vec::new();
        if let Some(trial) = self.trial {
            facts.extend(trial.signal.map(|signal| format!("signal {signal}")));
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

/// The last `most` bytes of what a trial printed, from the start of a line; harmless.
pub fn tail(bytes: &crate::record::Bytes, most: usize) -> String {
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

impl<'a> Run<'a> {
    /// Reads a record.
    pub fn of(document: &'a Document) -> Self {
        Self {
            document,
            cases: document.tasks.iter().map(Case::of).collect(),
        }
    }

    /// The taskset's status in a word.
    pub fn status(&self) -> &str {
        match (
            &self.document.taskset.status,
            &self.document.taskset.created_at,
        ) {
            (Some(status), _) => status,
            (None, Some(_)) => "waiting",
            (None, None) => "unknown",
        }
    }

    /// How many tasks have this verdict.
    pub fn count(&self, verdict: task::Status) -> usize {
        self.cases
            .iter()
            .filter(|case| case.verdict == Some(verdict))
            .count()
    }

    /// From its submission to its end, as far as whole seconds tell.
    pub fn elapsed_ms(&self) -> Option<u64> {
        let at = |text: &Option<String>| time::parse(text.as_deref()?);
        let (from, to) = (
            at(&self.document.taskset.created_at)?,
            at(&self.document.taskset.finished_at)?,
        );
        u64::try_from((to - from).num_milliseconds()).ok()
    }

    /// The summary that the tools that follow a taskset print at its end.
    pub fn summary(&self) -> Summary {
        let failed = self.cases.iter().filter(|case| case.is_failed());
        let flaky = self.cases.iter().filter(|case| case.is_flaky());
        let taskset = &self.document.taskset;
        Summary {
            taskset: Some(self.document.key.clone()),
            slave_command: taskset.slave_command.clone().unwrap_or_default(),
            status: self.status().to_owned(),
            fail_reason: taskset.fail_reason.clone(),
            tasks: self.cases.len() as u64,
            passed: self.count(task::Status::Passed) as u64,
            pending: self.count(task::Status::Pending) as u64,
            failures: failed
                .map(|case| Failure {
                    spec_file: case.spec_file.to_owned(),
                    places: places(case.examples()),
                    status: case.word().to_owned(),
                    trials: case.trials as u64,
                })
                .collect(),
            flaky: flaky
                .map(|case| (case.spec_file.to_owned(), case.trials as u64))
                .collect(),
            slowest: self.slowest(),
            remains: self.cases.iter().filter_map(remains).collect(),
            elapsed_ms: self.elapsed_ms(),
        }
    }

    fn slowest(&self) -> Vec<(String, u64)> {
        let took = |case: &Case| Some((case.spec_file.to_owned(), case.duration_ms()?));
        let mut all: Vec<(String, u64)> = self.cases.iter().filter_map(took).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        all.truncate(SLOWEST);
        all
    }
}

fn remains(case: &Case) -> Option<(String, Remains)> {
    let trial = case.trial?;
    let leaked = trial.leaked.unwrap_or(0).max(0) as u64;
    let remains = Remains::of(leaked, trial.outputs.as_deref())?;
    Some((case.spec_file.to_owned(), remains))
}
