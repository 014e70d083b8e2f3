//! The quality of ordering and second copies: whole runs in virtual time, compared with the lower
//! bound. Every figure is exact for its seeds; `scripts/sim` prints them.

mod world;

use self::world::{File, Outcome, Policy, Weather, lower_bound_ms, run};

const SEEDS: std::ops::Range<u64> = 0..40;
const SLAVES: [usize; 3] = [2, 8, 32];
const FILES: usize = 400;

const AS_THEY_COME: Policy = Policy {
    ordered: false,
    speculating: false,
};
const ORDERED: Policy = Policy {
    ordered: true,
    speculating: false,
};
const BOTH: Policy = Policy {
    ordered: true,
    speculating: true,
};

const CALM: Weather = Weather {
    flaky: 0.0,
    stalls: 0.0,
    deaths_ms: None,
};
const FLAKY: Weather = Weather {
    flaky: 0.05,
    ..CALM
};
const STALLS: Weather = Weather {
    stalls: 0.01,
    ..CALM
};
const DEATHS: Weather = Weather {
    deaths_ms: Some(60_000),
    ..CALM
};

/// The distribution of durations in a suite.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// From one to three seconds.
    Uniform,
    /// Most take a second, a few take minutes.
    HeavyTailed,
}

/// A suite whose estimates are off by up to a fifth; one file in twenty has none.
fn suite(shape: Shape, seed: u64) -> Vec<File> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..FILES)
        .map(|number| {
            let luck = rng.f64().max(1e-9);
            let ms = match shape {
                Shape::Uniform => 1_000.0 + 2_000.0 * luck,
                Shape::HeavyTailed => (500.0 / luck.powf(0.8)).min(120_000.0),
            };
            let off = 0.8 + 0.4 * rng.f64();
            let known = rng.f64() >= 0.05;
            File {
                name: format!("spec/{number}_spec.rb"),
                ms: ms as u64,
                known_ms: known.then_some((ms * off) as u64),
            }
        })
        .collect()
}

/// The mean of `value` over all suites and their seeds.
fn mean(shape: Shape, value: impl Fn(&[File], u64) -> f64) -> f64 {
    let values = SEEDS.map(|seed| value(&suite(shape, seed), seed));
    values.sum::<f64>() / SEEDS.count() as f64
}

/// The mean makespan as a multiple of the lower bound.
fn over_the_bound(shape: Shape, slaves: usize, policy: Policy, weather: Weather) -> f64 {
    mean(shape, |files, seed| {
        let Outcome { makespan_ms, .. } = run(files, slaves, policy, weather, seed);
        makespan_ms as f64 / lower_bound_ms(files, slaves) as f64
    })
}

/// Both means for each suite, weather and number of slaves, printed and shown to `check`.
fn compare(what: &str, without: Policy, with: Policy, check: impl Fn(&str, f64, f64)) {
    for shape in [Shape::Uniform, Shape::HeavyTailed] {
        for (sky, weather) in [
            ("calm", CALM),
            ("flaky", FLAKY),
            ("stalls", STALLS),
            ("deaths", DEATHS),
        ] {
            for slaves in SLAVES {
                let before = over_the_bound(shape, slaves, without, weather);
                let after = over_the_bound(shape, slaves, with, weather);
                let name = format!("{shape:?}, {sky}, {slaves} slaves");
                let line = serde_json::json!({
                    "policy": what,
                    "suite": format!("{shape:?}"),
                    "weather": sky,
                    "slaves": slaves,
                    "without": (before * 1000.0).round() / 1000.0,
                    "with": (after * 1000.0).round() / 1000.0,
                });
                println!("{line}");
                check(&name, before, after);
            }
        }
    }
}

/// The maximum cost of a policy where it cannot help.
const HURT: f64 = 1.01;

#[test]
fn longest_first_never_hurts() {
    compare(
        "longest first",
        AS_THEY_COME,
        ORDERED,
        |name, before, after| {
            assert!(
                after <= HURT * before,
                "{name}: {before:.3}, then {after:.3}"
            );
        },
    );
}

#[test]
fn speculation_never_hurts() {
    compare("speculation", ORDERED, BOTH, |name, before, after| {
        assert!(
            after <= HURT * before,
            "{name}: {before:.3}, then {after:.3}"
        );
    });
}

#[test]
fn longest_first_gains_where_a_few_files_take_most_of_the_time() {
    for slaves in [8, 32] {
        let before = over_the_bound(Shape::HeavyTailed, slaves, AS_THEY_COME, CALM);
        let after = over_the_bound(Shape::HeavyTailed, slaves, ORDERED, CALM);
        assert!(
            after <= 0.9 * before,
            "{slaves}: {before:.3}, then {after:.3}"
        );
    }
}

#[test]
fn longest_first_comes_within_a_twentieth_of_the_bound() {
    for shape in [Shape::Uniform, Shape::HeavyTailed] {
        let two = over_the_bound(shape, 2, ORDERED, CALM);
        assert!(two <= 1.05, "{shape:?}: {two:.3}");
    }
}

#[test]
fn speculation_gains_where_hosts_stall() {
    for (shape, slaves) in [
        (Shape::Uniform, 32),
        (Shape::HeavyTailed, 8),
        (Shape::HeavyTailed, 32),
    ] {
        let before = over_the_bound(shape, slaves, ORDERED, STALLS);
        let after = over_the_bound(shape, slaves, BOTH, STALLS);
        assert!(
            after <= 0.9 * before,
            "{shape:?}, {slaves}: {before:.3}, then {after:.3}"
        );
    }
}

#[test]
fn a_run_without_faults_tries_each_file_once_repeatably() {
    let files = suite(Shape::HeavyTailed, 7);
    for policy in [AS_THEY_COME, ORDERED] {
        let (once, again) = (
            run(&files, 8, policy, CALM, 7),
            run(&files, 8, policy, CALM, 7),
        );
        assert_eq!(once.trials, FILES as u64);
        assert_eq!(once.failed, 0);
        assert_eq!(once.makespan_ms, again.makespan_ms);
        assert!(once.makespan_ms >= lower_bound_ms(&files, 8));
    }
}
