//! Estimates the remaining time of a run, from estimates and their accuracy so far.
//!
//! A run finishes once all slaves together have done the work, and not before its longest task has
//! finished. The sum of many tasks varies little but a single task varies much, so the margin
//! between median and 90th percentile differs between the two.

/// The time left in milliseconds: median and 90th percentile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub p50_ms: u64,
    pub p90_ms: u64,
}

/// The ratios of actual to estimated run time of the finished tasks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ratios(Vec<f64>);

/// The prior for the ratios, used until three tasks have finished.
const PRIOR: [f64; 3] = [0.7, 1.0, 1.3];
/// Maximum number of ratios kept, the latest ones.
const KEPT: usize = 500;
/// An overdue task is expected to run for this fraction of its age longer: median, 90th percentile.
const OVERDUE: (f64, f64) = (0.2, 1.0);
/// The 90th percentile of a normal distribution, in standard deviations.
const Z90: f64 = 1.28;

impl Ratios {
    /// Learns from one finished task.
    pub(crate) fn add(&mut self, took_ms: u64, estimate_ms: u64) {
        if self.0.len() == KEPT {
            self.0.remove(0);
        }
        self.0.push(took_ms as f64 / estimate_ms.max(1) as f64);
    }

    fn all(&self) -> Vec<f64> {
        // The prior counts only until there are enough observations.
        let mut all = self.0.clone();
        if all.len() < 3 {
            all.extend(PRIOR);
        }
        all.sort_by(f64::total_cmp);
        all
    }
}

fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}

/// The mean, if there is any value.
pub(crate) fn mean(values: impl Iterator<Item = u64>) -> Option<u64> {
    let (sum, count) = values.fold((0u64, 0u64), |(sum, count), value| (sum + value, count + 1));
    sum.checked_div(count)
}

/// The time left for `work`, a list of (estimate, age so far), on this number of slaves.
pub(crate) fn left(work: &[(u64, u64)], seats: usize, ratios: &Ratios) -> Left {
    let ratios = ratios.all();
    let count = ratios.len() as f64;
    let mean = ratios.iter().sum::<f64>() / count;
    let variance = ratios
        .iter()
        .map(|ratio| (ratio - mean).powi(2))
        .sum::<f64>()
        / count;
    let to_go = |ratio: f64, again: f64| {
        work.iter().map(move |(estimate, age)| {
            let (whole, age) = (*estimate as f64 * ratio, *age as f64);
            if whole > age {
                whole - age
            } else {
                age * again
            }
        })
    };
    let shared: f64 = to_go(mean, OVERDUE.0).sum::<f64>() / seats as f64;
    let squares: f64 = work
        .iter()
        .map(|(estimate, _)| (*estimate as f64).powi(2))
        .sum();
    let spread = (squares * variance).sqrt() / seats as f64;
    let longest = |part: f64, again: f64| to_go(quantile(&ratios, part), again).fold(0.0, f64::max);
    let p50 = shared.max(longest(0.5, OVERDUE.0));
    let p90 = (shared + Z90 * spread)
        .max(longest(0.9, OVERDUE.1))
        .max(p50);
    Left {
        p50_ms: p50.round() as u64,
        p90_ms: p90.round() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact() -> Ratios {
        let mut ratios = Ratios::default();
        (0..10).for_each(|_| ratios.add(1000, 1000));
        ratios
    }

    #[test]
    fn exact_estimates_give_an_exact_eta() {
        let work = vec![(1000, 0); 40];
        let guess = left(&work, 4, &exact());
        assert_eq!((guess.p50_ms, guess.p90_ms), (10_000, 10_000));
    }

    #[test]
    fn the_longest_task_bounds_the_eta_with_any_number_of_slots() {
        let mut work = vec![(1000, 0); 40];
        work.push((60_000, 20_000));
        assert_eq!(left(&work, 40, &exact()).p50_ms, 40_000);
    }

    #[test]
    fn eta_upper_bound_is_not_below_the_guess_nor_raised_by_slots() {
        let mut ratios = Ratios::default();
        [300, 900, 1000, 4000]
            .iter()
            .for_each(|took| ratios.add(*took, 1000));
        let work: Vec<(u64, u64)> = (1..100).map(|n| (n * 100, 0)).collect();
        let mut before = u64::MAX;
        for seats in 1..50 {
            let guess = left(&work, seats, &ratios);
            assert!(guess.p90_ms >= guess.p50_ms);
            assert!(guess.p50_ms <= before);
            before = guess.p50_ms;
        }
    }

    #[test]
    fn overlong_estimates_are_corrected() {
        let mut ratios = Ratios::default();
        (0..10).for_each(|_| ratios.add(100, 1000));
        assert_eq!(left(&[(1000, 0)], 1, &ratios).p50_ms, 100);
    }

    #[test]
    fn a_task_past_its_estimate_is_not_expected_to_end_at_once() {
        let guess = left(&[(1000, 10_000)], 1, &exact());
        assert_eq!((guess.p50_ms, guess.p90_ms), (2000, 10_000));
    }

    #[test]
    fn an_empty_run_takes_no_time() {
        let guess = left(&[], 3, &exact());
        assert_eq!((guess.p50_ms, guess.p90_ms), (0, 0));
    }
}
