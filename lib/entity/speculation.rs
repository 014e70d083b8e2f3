//! The choice of tasks to run twice: a pure decision, with the clock passed in.

use crate::protocol::key::TaskKey;

/// A task that a live slave is running.
#[derive(Clone, Debug)]
pub struct RunningTrial {
    pub task: TaskKey,
    /// Seconds since the trial began.
    pub age: f64,
    pub estimate_sec: Option<f64>,
    /// Trials of the task so far, including this one.
    pub trials: u64,
    /// Whether the task had an extra copy before.
    pub speculated: bool,
}

/// The running tasks that get a second copy, in order of need: the fewest trials first, then the
/// longest expected remaining time. A task gets at most one copy (C8), and none before `after`
/// times its estimate. A task without an estimate counts as one of `least_sec` seconds.
pub fn speculate(
    mut running: Vec<RunningTrial>,
    idle: usize,
    after: f64,
    least_sec: f64,
) -> Vec<TaskKey> {
    let estimate = |r: &RunningTrial| r.estimate_sec.unwrap_or(least_sec).max(1.0);
    running.retain(|r| !r.speculated && r.age >= after * estimate(r));
    running.sort_by(|a, b| {
        let remaining = |r: &RunningTrial| estimate(r) - r.age;
        a.trials
            .cmp(&b.trials)
            .then(remaining(b).total_cmp(&remaining(a)))
    });
    running.into_iter().take(idle).map(|r| r.task).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::key::TasksetKey;

    fn running(file: &str, age: f64, estimate_sec: Option<f64>, trials: u64) -> RunningTrial {
        let taskset: TasksetKey = "rrrspec:taskset:t".parse().unwrap();
        RunningTrial {
            task: taskset.task(file),
            age,
            estimate_sec,
            trials,
            speculated: false,
        }
    }

    fn files(chosen: &[TaskKey]) -> Vec<&str> {
        chosen.iter().map(TaskKey::spec_file).collect()
    }

    #[test]
    fn only_tasks_past_their_estimate_get_a_second_copy() {
        let all = vec![
            running("early", 4.0, Some(5.0), 1),
            running("late", 6.0, Some(5.0), 1),
        ];
        assert_eq!(files(&speculate(all, 5, 1.0, 30.0)), ["late"]);
    }

    #[test]
    fn speculation_prefers_fewest_trials_then_longest_remaining() {
        let all = vec![
            running("tried", 9.0, Some(5.0), 2),
            running("short", 9.0, Some(5.0), 1),
            running("long", 9.0, Some(8.0), 1),
        ];
        assert_eq!(files(&speculate(all, 2, 1.0, 30.0)), ["long", "short"]);
    }

    #[test]
    fn a_task_gets_one_extra_copy_only() {
        let mut twice = running("a", 9.0, Some(1.0), 2);
        twice.speculated = true;
        assert!(speculate(vec![twice], 3, 0.0, 30.0).is_empty());
    }
}
