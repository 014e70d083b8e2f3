//! The summary of a finished run for people: the failures and how to rerun them, flaky files, slow
//! files, and the receipt, whose numbers add up.

use super::note::Remains;
use super::progress::Progress;
use super::rerun::{Target, rerun};
use crate::entity::trial;
use crate::process::text::{duration, one_line};
use crate::protocol::example::Example;
use crate::protocol::key::TrialKey;
use crate::show::reason::place;
use crate::store::Store;
use console::Style;

/// Number of slowest files listed.
pub(crate) const SLOWEST: usize = 5;

/// The reason shown for a taskset that failed without one.
pub(crate) const NO_TASK_FAILED: &str = "the taskset failed, though none of its tasks did";

/// A task that failed.
#[derive(Clone, Debug)]
pub(crate) struct FailedTask {
    pub spec_file: String,
    /// The location of the failure, if the runner reported it.
    pub places: Vec<String>,
    /// The id of the only failed example, if there is just one.
    pub example: Option<String>,
    pub status: String,
    pub trials: u64,
}

/// A task that failed and then passed.
#[derive(Clone, Debug)]
pub(crate) struct FlakyTask {
    pub spec_file: String,
    /// The number of trials; the last one passed.
    pub trials: u64,
    /// Why the first trial failed, if known.
    pub reason: Option<String>,
}

impl FlakyTask {
    /// `in trial 2: exit 1: boom`
    pub(crate) fn story(&self) -> String {
        let reason = self.reason.as_ref();
        let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
        format!("in trial {}{reason}", self.trials)
    }
}

/// The contents of a summary.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    /// The command that reruns everything that failed, if there is one.
    pub rerun: Option<String>,
    /// The command that prints the record, if there will be one.
    pub record: Option<String>,
    /// The folder of the suite, if it is not the current one.
    pub folder: Option<String>,
    /// The durations of comparable earlier runs, in milliseconds.
    pub earlier_ms: Vec<u64>,
    pub slave_command: String,
    pub status: String,
    pub fail_reason: Option<String>,
    pub tasks: u64,
    pub passed: u64,
    pub pending: u64,
    pub failures: Vec<FailedTask>,
    pub flaky: Vec<FlakyTask>,
    pub slowest: Vec<(String, u64)>,
    /// Leftovers of tests on their machines.
    pub remains: Vec<(String, Remains)>,
    /// A note on examples missing from the record.
    pub left_out: Vec<(String, String)>,
    /// The milliseconds and spec files of the trials that were stopped with the run.
    pub unfinished: Vec<(u64, String)>,
    /// The numbers of examples that passed, are pending and failed.
    pub examples: [u64; 3],
    pub elapsed_ms: Option<u64>,
}

/// Maximum stopped trials listed.
const MOST_UNFINISHED: usize = 20;
/// Maximum failures whose location is looked up.
const MOST_PLACES: usize = 100;

impl Summary {
    /// The summary of a finished run; reads the locations of the failures from Redis.
    pub(crate) fn of(store: &mut Store, progress: &Progress) -> anyhow::Result<Self> {
        let mut failures = Vec::new();
        for failed in &progress.failed {
            let key = failed
                .trial
                .as_ref()
                .and_then(|key| key.parse::<TrialKey>().ok());
            let examples = match key {
                Some(key) if failures.len() < MOST_PLACES => trial::outcome(store, &key)?.examples,
                _ => Vec::new(),
            };
            failures.push(FailedTask {
                spec_file: failed.spec_file.clone(),
                places: places(&examples),
                example: only_failure(&examples),
                status: failed.status.clone(),
                trials: failed.trials,
            });
        }
        let ended = progress.ended.as_ref();
        let slowest = progress.slowest(SLOWEST).into_iter();
        let elapsed = |at: i64| at.saturating_sub(progress.began_ms.unwrap_or(at)).max(0) as u64;
        Ok(Self {
            rerun: progress.background.rerun.clone(),
            record: (progress.background.lasting)
                .then(|| format!("rrr-show {}", progress.taskset.short())),
            folder: progress.background.folder.clone(),
            earlier_ms: progress.background.earlier_ms.clone(),
            slave_command: progress.slave_command.clone(),
            status: ended.map_or_else(|| "open".to_owned(), |ended| ended.status.clone()),
            fail_reason: ended.and_then(|ended| ended.fail_reason.clone()),
            tasks: progress.total,
            passed: progress.passed,
            pending: progress.pending,
            failures,
            flaky: flaky(progress),
            slowest: slowest
                .map(|(file, took)| (file.to_owned(), took))
                .collect(),
            remains: progress.remains.clone().into_iter().collect(),
            left_out: Vec::new(),
            unfinished: progress.unfinished.clone(),
            examples: progress.examples(),
            elapsed_ms: ended.map(|ended| elapsed(ended.unix_ms)),
        })
    }

    /// The lines of the summary.
    pub(crate) fn lines(&self) -> Vec<String> {
        let slowest = match self.tasks {
            0 | 1 => &[][..],
            _ => &self.slowest,
        };
        let mut lines = section(
            "Failed:",
            self.failures.iter().flat_map(|it| self.failed(it)),
        );
        if let Some(rerun) = self.rerun.as_ref().filter(|_| self.failures.len() > 1) {
            lines.push(format!("  all of them: {rerun}"));
        }
        let unfinished = self.unfinished.iter().take(MOST_UNFINISHED);
        lines.extend(section(
            "Stopped while running:",
            unfinished.map(|(took, file)| format!("  {:>6}  {}", duration(*took), one_line(file))),
        ));
        let flaky = self.flaky.iter();
        lines.extend(section(
            "Flaky (failed, then passed):",
            flaky.map(|task| format!("  {} {}", one_line(&task.spec_file), task.story())),
        ));
        lines.extend(section(
            "Slowest:",
            slowest
                .iter()
                .map(|(file, took)| format!("  {:>6}  {}", duration(*took), one_line(file))),
        ));
        lines.extend(section(
            "Left behind:",
            self.remains
                .iter()
                .flat_map(|(file, it)| left_behind(file, it)),
        ));
        let left_out = self.left_out.iter();
        lines.extend(section(
            "Left out of the record:",
            left_out.map(|(file, what)| format!("  {}: {what}", one_line(file))),
        ));
        lines.push(String::new());
        if let Some(reason) = self.reason() {
            lines.push(format!("reason: {}", one_line(reason)));
        }
        lines.push(self.receipt());
        lines.extend(
            self.record
                .as_ref()
                .map(|command| format!("record: {command}")),
        );
        lines
    }

    /// The lines for one failed task.
    fn failed(&self, failure: &FailedTask) -> Vec<String> {
        let trials = match failure.trials {
            0 | 1 => String::new(),
            many => format!(" in {many} trials"),
        };
        let (file, status) = (one_line(&failure.spec_file), one_line(&failure.status));
        let mut lines = vec![format!("  {file}: {status}{trials}")];
        let places = failure.places.iter();
        lines.extend(places.map(|place| format!("      at {}", one_line(place))));
        let target = Target {
            task: &failure.spec_file,
            example: failure.example.as_deref(),
            folder: self.folder.as_deref(),
        };
        let command = rerun(&self.slave_command, &target);
        lines.push(format!("      {command}"));
        lines
    }

    /// The reason why the taskset failed, if its tasks do not show it.
    pub(crate) fn reason(&self) -> Option<&str> {
        let silent = self.status == "failed" && self.failures.is_empty();
        self.fail_reason
            .as_deref()
            .or(silent.then_some(NO_TASK_FAILED))
    }

    /// `failed: 6 tasks = 4 passed + 1 failed + 1 pending; 1 flaky; in 2.4s`
    pub(crate) fn receipt(&self) -> String {
        let style = Style::new().for_stderr().bold();
        let style = match self.status.as_str() {
            "succeeded" => style.green(),
            "failed" => style.red(),
            _ => style.yellow(),
        };
        let failed = self.failures.len() as u64;
        let open = self
            .tasks
            .saturating_sub(self.passed + failed + self.pending);
        let mut text = format!(
            "{}: {} = {} passed + {failed} failed + {} pending",
            style.apply_to(one_line(&self.status)),
            counted(self.tasks, "task"),
            self.passed,
            self.pending
        );
        if open > 0 {
            text += &format!(" + {open} not finished");
        }
        if !self.flaky.is_empty() {
            text += &format!("; {} flaky", self.flaky.len());
        }
        let [passed, pending, failed] = self.examples;
        let tests = passed + pending + failed;
        // Where each file is one test, the tasks have said it all.
        if tests > self.tasks {
            let parts = [(passed, "passed"), (failed, "failed"), (pending, "pending")];
            let parts = parts.iter().filter(|(count, _)| *count > 0);
            let parts: Vec<String> = parts
                .map(|(count, word)| format!("{count} {word}"))
                .collect();
            text += &format!("; {}: {}", counted(tests, "test"), parts.join(", "));
        }
        if let Some(elapsed) = self.elapsed_ms {
            text += &format!("; in {}", duration(elapsed));
            if self.status == "succeeded" {
                text += &compared(elapsed, &self.earlier_ms).unwrap_or_default();
            }
        }
        text
    }
}

/// Minimum number of earlier runs to compare with.
const FEW: usize = 3;

/// How the duration compares with those of earlier runs: `, 12% faster than the median of the last
/// 8 runs`. None if there are too few, or the difference is small.
fn compared(elapsed_ms: u64, earlier_ms: &[u64]) -> Option<String> {
    let mut sorted = earlier_ms.to_vec();
    sorted.sort_unstable();
    let middle = *sorted.get(sorted.len() / 2)?;
    let part = elapsed_ms as f64 / middle.max(1) as f64;
    let (percent, word) = match part < 1.0 {
        true => ((1.0 - part) * 100.0, "faster"),
        false => ((part - 1.0) * 100.0, "slower"),
    };
    let runs = sorted.len();
    (runs >= FEW && percent >= 5.0)
        .then(|| format!(", {percent:.0}% {word} than the median of the last {runs} runs"))
}

/// The lines under a heading, after an empty line; nothing if there are none.
fn section(heading: &str, lines: impl Iterator<Item = String>) -> Vec<String> {
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() {
        return lines;
    }
    let heading = Style::new().for_stderr().bold().apply_to(heading);
    [vec![String::new(), heading.to_string()], lines].concat()
}

/// The lines on the leftovers of a test.
fn left_behind(file: &str, remains: &Remains) -> Vec<String> {
    let file = one_line(file);
    let mut lines = Vec::new();
    if remains.leaked > 0 {
        let noun = match remains.leaked {
            1 => "process",
            _ => "processes",
        };
        lines.push(format!("  {file}: {} {noun}", remains.leaked));
    }
    if let Some(folder) = &remains.outputs {
        lines.push(format!("  {file}: outputs in {}", one_line(folder)));
    }
    lines
}

fn flaky(progress: &Progress) -> Vec<FlakyTask> {
    let reason = |file: &str| progress.told.get(file).map(|told| told.reason.clone());
    let flaky = progress.flaky.iter().map(|(file, trials)| FlakyTask {
        spec_file: file.clone(),
        trials: *trials,
        reason: reason(file),
    });
    flaky.collect()
}

/// `1 task`, `2 tasks`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The id of the only failed example, if there is just one.
pub(crate) fn only_failure(examples: &[Example]) -> Option<String> {
    let mut failed = bad(examples);
    let only = failed.next().filter(|_| failed.next().is_none());
    only.map(|example| example.id.clone())
}

/// `file:line name` of the examples that failed.
pub(crate) fn places(examples: &[Example]) -> Vec<String> {
    bad(examples).map(place).collect()
}

fn bad(examples: &[Example]) -> impl Iterator<Item = &Example> {
    examples.iter().filter(|example| example.status.is_bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_receipt_adds_up() {
        let summary = Summary {
            rerun: None,
            record: None,
            folder: None,
            earlier_ms: vec![3000, 2000, 4000],
            slave_command: "rrr-slave -- sh {}".into(),
            status: "cancelled".into(),
            fail_reason: None,
            tasks: 10,
            passed: 4,
            pending: 1,
            failures: vec![FailedTask {
                spec_file: "a".into(),
                places: Vec::new(),
                example: None,
                status: "failed".into(),
                trials: 3,
            }],
            flaky: vec![FlakyTask {
                spec_file: "b".into(),
                trials: 2,
                reason: Some("exit 1: boom".into()),
            }],
            slowest: Vec::new(),
            remains: Vec::new(),
            left_out: Vec::new(),
            unfinished: vec![(1500, "c".into())],
            examples: [28, 0, 2],
            elapsed_ms: Some(2400),
        };
        let receipt = console::strip_ansi_codes(&summary.receipt()).into_owned();
        let wanted = "cancelled: 10 tasks = 4 passed + 1 failed + 1 pending + 4 not finished; 1 flaky; \
                      30 tests: 28 passed, 2 failed; in 2.4s";
        assert_eq!(receipt, wanted);
        let lines = summary.lines().join("\n");
        assert!(
            lines.contains("a: failed in 3 trials\n      sh a\n"),
            "{lines}"
        );
        assert!(lines.contains("  b in trial 2: exit 1: boom\n"), "{lines}");
        assert!(
            lines.contains("Stopped while running:\n    1.5s  c\n"),
            "{lines}"
        );
    }
}
