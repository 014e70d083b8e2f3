//! The state of a run, folded from its events by a pure function.

use super::Detail;
use super::background::Background;
use super::eta;
use super::expectations::Expectations;
use super::note::{Ended, Failed, Note, Remains, Running};
use crate::entity::taskset::{self, Record};
use crate::process::text::one_line;
use crate::protocol::event::Event;
use crate::protocol::key::{SlaveKey, TasksetKey};
use crate::protocol::taskset_field as field;
use crate::store::Store;
use std::collections::{BTreeMap, HashMap, HashSet};

pub(super) struct LastTrial {
    pub key: String,
    pub status: String,
    /// Why it was stopped from outside, or why its slave died.
    pub why: Option<String>,
}

/// The details of a failed trial that were shown.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// The reason in a line.
    pub reason: String,
    pub excerpt: Vec<String>,
}

/// The state of a run according to its events.
pub(crate) struct Progress {
    pub taskset: TasksetKey,
    pub slave_command: String,
    pub background: Background,
    pub detail: Detail,
    pub total: u64,
    pub passed: u64,
    pub pending: u64,
    pub failed: Vec<Failed>,
    /// Files that failed and then passed, with their number of trials.
    pub flaky: Vec<(String, u64)>,
    /// Leftovers by spec file, where there are any.
    pub remains: BTreeMap<String, Remains>,
    pub retries: u64,
    pub copies: u64,
    /// By the key of the trial.
    pub running: BTreeMap<String, Running>,
    pub workers: HashSet<String>,
    pub began_ms: Option<i64>,
    pub ended: Option<Ended>,
    /// The milliseconds and spec files of the trials that were running at the end.
    pub unfinished: Vec<(u64, String)>,
    /// Duration of the deciding trial, by spec file.
    pub took_ms: HashMap<String, u64>,
    /// The examples that the last trial passed, left pending and failed, by spec file.
    examples: HashMap<String, [u64; 3]>,
    pub expected: Expectations,
    pub(super) open: HashSet<String>,
    pub(super) last: HashMap<String, LastTrial>,
    /// By spec file, the first failed trial shown.
    pub(super) told: HashMap<String, Told>,
    doubled: HashSet<String>,
    /// Slaves of each worker, in the order of their first trial.
    slaves: HashMap<String, Vec<String>>,
}

impl Progress {
    /// The state before the first event.
    pub(crate) fn new(
        taskset: &TasksetKey,
        slave_command: &str,
        files: impl IntoIterator<Item = String>,
        expected: Expectations,
    ) -> Self {
        let open: HashSet<String> = files.into_iter().collect();
        Self {
            taskset: taskset.clone(),
            slave_command: slave_command.to_owned(),
            background: Background::default(),
            detail: Detail::Normal,
            total: open.len() as u64,
            passed: 0,
            pending: 0,
            failed: Vec::new(),
            flaky: Vec::new(),
            remains: BTreeMap::new(),
            retries: 0,
            copies: 0,
            running: BTreeMap::new(),
            workers: HashSet::new(),
            began_ms: None,
            ended: None,
            unfinished: Vec::new(),
            took_ms: HashMap::new(),
            examples: HashMap::new(),
            expected,
            open,
            last: HashMap::new(),
            told: HashMap::new(),
            doubled: HashSet::new(),
            slaves: HashMap::new(),
        }
    }

    /// The state before the first event, with the tasks and estimates of a taskset in Redis.
    pub(crate) fn load(
        store: &mut Store,
        taskset: &TasksetKey,
        record: &Record,
    ) -> anyhow::Result<Self> {
        let tasks = taskset::tasks(store, taskset)?;
        let files = tasks.iter().map(|task| task.spec_file().to_owned());
        let slave_command = record.get(field::SLAVE_COMMAND).unwrap_or_default();
        let expected = Expectations::load(store, record)?;
        Ok(Self::new(taskset, slave_command, files, expected))
    }

    /// The numbers of examples that passed, are pending and failed.
    pub(crate) fn examples(&self) -> [u64; 3] {
        let counts = self.examples.values();
        counts.fold([0; 3], |sum, one| {
            std::array::from_fn(|place| sum[place] + one[place])
        })
    }

    /// Number of tasks with a verdict.
    pub(crate) fn done(&self) -> u64 {
        self.passed + self.pending + self.failed.len() as u64
    }

    /// Applies one event; returns the noteworthy changes.
    pub(crate) fn apply(&mut self, unix_ms: i64, event: &Event) -> Option<Note> {
        self.began_ms.get_or_insert(unix_ms);
        match event {
            Event::TasksetSubmitted { tasks } => {
                self.total = *tasks;
                self.background.lasting.then_some(Note::Submitted)
            }
            Event::TasksetRunning => None,
            Event::WorkerJoined { worker } => {
                self.workers.insert(worker.clone());
                Some(Note::WorkerJoined(worker.clone()))
            }
            Event::TrialStarted { .. } => {
                self.start(unix_ms, event);
                None
            }
            Event::TrialFinished { .. } => {
                self.finish(event);
                None
            }
            Event::TaskRequeued { spec_file, reason } => {
                self.retries += 1;
                let why = self.last.get(spec_file).and_then(|last| last.why.as_ref());
                let reason = why.map_or_else(|| reason.clone(), |why| format!("{reason}: {why}"));
                let spec_file = spec_file.clone();
                Some(Note::Retry { spec_file, reason })
            }
            Event::TaskSpeculated { spec_file } => {
                self.copies += 1;
                self.doubled.insert(spec_file.clone());
                Some(Note::Copy {
                    spec_file: spec_file.clone(),
                })
            }
            Event::TaskFinished {
                spec_file,
                status,
                trials,
                flaky,
            } => self.settle(spec_file, status, *trials, *flaky),
            Event::RetryBudgetSpent { budget } => Some(Note::BudgetSpent { budget: *budget }),
            Event::TasksetFinished { .. } => {
                self.end(unix_ms, event);
                Some(Note::Ended)
            }
        }
    }

    /// Applies the start of a trial.
    fn start(&mut self, unix_ms: i64, event: &Event) {
        let Event::TrialStarted {
            spec_file,
            trial,
            slave,
            attempt,
            ..
        } = event
        else {
            return;
        };
        let is_same = |run: &Running| &run.spec_file == spec_file;
        let running = Running {
            spec_file: spec_file.clone(),
            place: self.place(slave),
            started_ms: unix_ms,
            attempt: *attempt,
            copy: self.doubled.contains(spec_file) && self.running.values().any(is_same),
        };
        self.running.insert(trial.clone(), running);
    }

    /// Applies the end of a trial.
    fn finish(&mut self, event: &Event) {
        let Event::TrialFinished {
            spec_file,
            trial,
            status,
            duration_ms,
            leaked,
            outputs,
            passed,
            pending,
            failed,
            stopped,
            reason,
            ..
        } = event
        else {
            return;
        };
        self.running.remove(trial);
        match Remains::of(leaked.unwrap_or(0), outputs.as_deref()) {
            Some(remains) => self.remains.insert(spec_file.clone(), remains),
            None => self.remains.remove(spec_file),
        };
        if let Some(took) = duration_ms {
            self.took_ms.insert(spec_file.clone(), *took);
        }
        let counts = [passed, pending, failed].map(|count| count.unwrap_or(0));
        self.examples.insert(spec_file.clone(), counts);
        let last = LastTrial {
            key: trial.clone(),
            status: status.clone(),
            why: stopped.clone().or_else(|| reason.clone()),
        };
        self.last.insert(spec_file.clone(), last);
    }

    /// Applies the end of the taskset.
    fn end(&mut self, unix_ms: i64, event: &Event) {
        let Event::TasksetFinished {
            status,
            tasks,
            fail_reason,
            ..
        } = event
        else {
            return;
        };
        let running = std::mem::take(&mut self.running).into_values();
        let since = |run: &Running| unix_ms.saturating_sub(run.started_ms).max(0) as u64;
        self.unfinished = running.map(|run| (since(&run), run.spec_file)).collect();
        self.unfinished.sort_by(|one, other| other.cmp(one));
        self.total = *tasks;
        self.ended = Some(Ended {
            status: status.clone(),
            tasks: *tasks,
            fail_reason: fail_reason.clone(),
            unix_ms,
        });
    }

    pub fn settle(&mut self, file: &str, status: &str, trials: u64, flaky: bool) -> Option<Note> {
        self.open.remove(file);
        if let Some(took) = self.took_ms.get(file) {
            self.expected.learn(file, *took);
        }
        match status {
            "failed" => {
                let last = self.last.get(file);
                let failed = Failed {
                    spec_file: file.to_owned(),
                    trial: last.map(|last| last.key.clone()),
                    status: last.map_or_else(|| status.to_owned(), |last| last.status.clone()),
                    trials,
                };
                self.failed.push(failed.clone());
                return Some(Note::Failed(failed));
            }
            "pending" => self.pending += 1,
            _ => self.passed += 1,
        }
        let spec_file = file.to_owned();
        if flaky {
            self.flaky.push((spec_file.clone(), trials));
            return Some(Note::Flaky { spec_file, trials });
        }
        (self.detail == Detail::Verbose).then_some(Note::Passed { spec_file })
    }

    fn place(&mut self, slave: &str) -> String {
        let Ok(key) = slave.parse::<SlaveKey>() else {
            return one_line(slave);
        };
        let worker = key.worker().id().to_owned();
        let known = self.slaves.entry(worker.clone()).or_default();
        let at = known.iter().position(|name| name == slave);
        let at = at.unwrap_or_else(|| {
            known.push(slave.to_owned());
            known.len() - 1
        });
        format!("{}/{}", one_line(&worker), at + 1)
    }

    /// The time left at this moment: median and 90th percentile.
    pub(crate) fn left(&self, now_ms: i64) -> Option<eta::Left> {
        let mean = eta::mean(self.took_ms.values().copied());
        let expected = |file: &str| self.expected.ms(file).or(mean);
        let age = |file: &str| {
            let runs = self.running.values().filter(|run| run.spec_file == file);
            runs.map(|run| now_ms.saturating_sub(run.started_ms).max(0) as u64)
                .max()
        };
        let runs: HashSet<&str> = self
            .running
            .values()
            .map(|run| run.spec_file.as_str())
            .collect();
        let mut work = Vec::with_capacity(self.open.len());
        for file in &self.open {
            let age = if runs.contains(file.as_str()) {
                age(file)
            } else {
                None
            };
            work.push((expected(file)?, age.unwrap_or(0)));
        }
        let seats = self.running.len().max(1);
        Some(eta::left(&work, seats, &self.expected.ratios))
    }

    /// The `count` slowest files, slowest first.
    pub(crate) fn slowest(&self, count: usize) -> Vec<(&str, u64)> {
        let mut all: Vec<(&str, u64)> = self
            .took_ms
            .iter()
            .map(|(file, took)| (file.as_str(), *took))
            .collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        all.truncate(count);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(events: &[&str]) -> (Progress, Vec<Note>) {
        let taskset: TasksetKey = "rrrspec:taskset:t".parse().unwrap();
        let files = ["a", "b", "c"].map(str::to_owned);
        let mut progress = Progress::new(
            &taskset,
            "rrr-slave -- sh {}",
            files,
            Expectations::new(HashMap::new()),
        );
        let notes = events
            .iter()
            .enumerate()
            .filter_map(|(at, json)| {
                progress.apply(at as i64 * 1000, &serde_json::from_str(json).unwrap())
            })
            .collect();
        (progress, notes)
    }

    fn started(file: &str, trial: u32, slave: u32, attempt: u32) -> String {
        format!(
            r#"{{"event":"trial_started","task":"x","spec_file":"{file}","trial":"{trial}","slave":"rrrspec:worker:h:slave:{slave}","attempt":{attempt}}}"#
        )
    }

    fn finished(file: &str, trial: u32, status: &str) -> String {
        format!(
            r#"{{"event":"trial_finished","task":"x","spec_file":"{file}","trial":"{trial}","slave":"s","status":"{status}","duration_ms":{trial}00}}"#
        )
    }

    fn verdict(file: &str, status: &str, trials: u32, flaky: bool) -> String {
        format!(
            r#"{{"event":"task_finished","spec_file":"{file}","status":"{status}","trials":{trials},"flaky":{flaky}}}"#
        )
    }

    #[test]
    fn progress_matches_the_events() {
        let events = [
            started("a", 1, 1, 1),
            started("b", 2, 2, 1),
            finished("a", 1, "passed"),
            verdict("a", "passed", 1, false),
            finished("b", 2, "failed"),
            r#"{"event":"task_requeued","spec_file":"b","reason":"failed"}"#.to_owned(),
            started("b", 3, 1, 2),
            finished("b", 3, "timeout"),
            verdict("b", "failed", 2, false),
            started("c", 4, 2, 1),
            finished("c", 4, "passed"),
            verdict("c", "passed", 2, true),
        ];
        let (progress, notes) = run(&events.each_ref().map(String::as_str));
        assert_eq!((progress.done(), progress.passed), (3, 2));
        assert!(progress.running.is_empty());
        assert_eq!(progress.failed[0].trial.as_deref(), Some("3"));
        assert_eq!(progress.failed[0].status, "timeout");
        assert_eq!(progress.flaky, [("c".to_owned(), 2)]);
        assert_eq!(progress.slowest(2), [("c", 400), ("b", 300)]);
        assert_eq!(
            notes.len(),
            3,
            "a retry, a failure, a flaky file: {notes:?}"
        );
    }

    #[test]
    fn slaves_are_numbered_and_copies_differ_from_retries() {
        let events = [
            started("a", 1, 7, 1),
            r#"{"event":"task_speculated","spec_file":"a"}"#.to_owned(),
            started("a", 2, 9, 2),
            started("b", 3, 7, 2),
        ];
        let (progress, _) = run(&events.each_ref().map(String::as_str));
        let runs = &progress.running;
        assert_eq!(
            (runs["1"].place.as_str(), runs["2"].place.as_str()),
            ("h/1", "h/2")
        );
        assert!(runs["2"].copy && !runs["1"].copy && !runs["3"].copy);
    }

    #[test]
    fn time_left_is_unknown_until_each_open_file_has_an_estimate() {
        let (progress, _) = run(&[]);
        assert!(progress.left(0).is_none());
        let (progress, _) = run(&[
            &finished("a", 10, "passed"),
            &verdict("a", "passed", 1, false),
        ]);
        let left = progress.left(0).unwrap();
        assert_eq!(left.p50_ms, 2000, "two files of 1 s on one seat");
    }
}
