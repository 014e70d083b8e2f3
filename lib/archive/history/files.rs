//! Statistics of each spec file over its runs: pure sums over [`PastRun`]s.

use super::PastRun;
use std::collections::{BTreeMap, BTreeSet};

/// Number of recent run times kept.
const RECENT: usize = 20;

/// The history of one spec file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct File {
    pub spec_file: String,
    /// The number of runs with a verdict.
    pub runs: u64,
    pub failed: u64,
    pub flaky: u64,
    pub total_ms: i64,
    pub timed: i64,
    pub longest_ms: i64,
    /// The last run times, oldest first.
    pub recent_ms: Vec<i64>,
    /// Whether each of the last runs was flaky, oldest first.
    pub recent_flaky: Vec<bool>,
    /// The first flaky run, in milliseconds since 1970.
    pub first_flaky_ms: Option<i64>,
    pub last_flaky_ms: Option<i64>,
    /// The hosts of the failed trials of flaky runs.
    pub hosts: BTreeSet<String>,
}

impl File {
    fn add(&mut self, run: &PastRun) {
        if run.status.is_none() {
            return;
        }
        self.runs += 1;
        self.failed += u64::from(run.status.as_deref() == Some("failed"));
        if let Some(ms) = run.duration_ms() {
            self.total_ms += ms;
            self.timed += 1;
            self.longest_ms = self.longest_ms.max(ms);
            keep(&mut self.recent_ms, ms);
        }
        keep(&mut self.recent_flaky, run.is_flaky());
        if run.is_flaky() {
            self.flaky += 1;
            self.first_flaky_ms.get_or_insert(run.finished_ms);
            self.last_flaky_ms = Some(run.finished_ms);
            self.hosts.extend(run.bad_hosts().map(str::to_owned));
        }
    }

    /// The mean run time; none when the file never passed.
    pub(crate) fn mean_ms(&self) -> Option<i64> {
        (self.timed > 0).then(|| self.total_ms / self.timed)
    }

    /// The fraction of runs that were flaky, 0 to 1.
    pub(crate) fn flaky_rate(&self) -> f64 {
        self.flaky as f64 / self.runs.max(1) as f64
    }
}

fn keep<T>(list: &mut Vec<T>, last: T) {
    if list.len() == RECENT {
        list.remove(0);
    }
    list.push(last);
}

/// Sums up runs, which are added oldest first.
#[derive(Default)]
pub(crate) struct Files(BTreeMap<String, File>);

impl Files {
    /// Adds a run.
    pub(crate) fn add(&mut self, run: &PastRun) {
        let file = self.0.entry(run.spec_file.clone()).or_default();
        file.spec_file.clone_from(&run.spec_file);
        file.add(run);
    }

    /// The files with a mean run time, slowest first.
    pub(crate) fn slowest(self) -> Vec<File> {
        let timed = self.0.into_values().filter(|file| file.timed > 0);
        let mut files: Vec<File> = timed.collect();
        files.sort_by_key(|file| std::cmp::Reverse(file.mean_ms()));
        files
    }

    /// The flaky files, most often flaky first.
    pub(crate) fn flaky(self) -> Vec<File> {
        let mut files: Vec<File> = self.0.into_values().filter(|f| f.flaky > 0).collect();
        files.sort_by(|a, b| b.flaky_rate().total_cmp(&a.flaky_rate()));
        files
    }
}

/// Draws these numbers as a line of bars.
pub(crate) fn sparkline(numbers: &[i64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = numbers.iter().copied().max().unwrap_or(0).max(1);
    let bar = |number: &i64| BARS[((number.max(&0) * 7 + most / 2) / most) as usize];
    numbers.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::super::runs::Try;
    use super::*;

    fn run(file: &str, at: i64, status: &str, tries: &[(&str, i64, &str)]) -> PastRun {
        PastRun {
            taskset_id: at,
            taskset: format!("t{at}"),
            finished_ms: at,
            position: 0,
            spec_file: file.into(),
            status: Some(status.into()),
            tries: tries
                .iter()
                .map(|(status, ms, host)| Try {
                    status: (*status).into(),
                    duration_ms: Some(*ms),
                    host: (*host).into(),
                    stopped: false,
                })
                .collect(),
        }
    }

    #[test]
    fn flaky_files_have_a_rate_times_and_hosts() {
        let mut files = Files::default();
        files.add(&run("a", 1, "passed", &[("passed", 10, "x")]));
        files.add(&run(
            "a",
            2,
            "passed",
            &[("failed", 5, "y"), ("passed", 30, "x")],
        ));
        files.add(&run(
            "a",
            3,
            "failed",
            &[("failed", 5, "z"), ("failed", 5, "x")],
        ));
        files.add(&run("b", 3, "passed", &[("passed", 5, "x")]));
        let flaky = files.flaky();
        let [a] = &flaky[..] else { panic!("{flaky:?}") };
        assert_eq!((a.runs, a.flaky, a.failed), (3, 1, 1));
        assert_eq!((a.first_flaky_ms, a.last_flaky_ms), (Some(2), Some(2)));
        assert_eq!(a.hosts, BTreeSet::from(["y".to_owned()]));
        assert_eq!(a.recent_ms, [10, 30]);
    }

    #[test]
    fn the_slowest_come_first_and_only_passes_count() {
        let mut files = Files::default();
        files.add(&run("a", 1, "passed", &[("passed", 10, "x")]));
        files.add(&run("b", 1, "passed", &[("passed", 20, "x")]));
        files.add(&run("c", 1, "failed", &[("failed", 99, "x")]));
        let slowest: Vec<String> = files.slowest().into_iter().map(|f| f.spec_file).collect();
        assert_eq!(slowest, ["b", "a"]);
    }

    #[test]
    fn a_sparkline_has_a_bar_for_each_number() {
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&[0, 1, 2, 4, 8]), "▁▂▃▅█");
        assert_eq!(sparkline(&[0, 0]), "▁▁");
    }
}
