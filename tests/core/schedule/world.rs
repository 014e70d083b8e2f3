//! A run in virtual time: slaves, a queue and an arbiter modelled on rrr's, with the real decisions
//! of [`rrr::entity::speculation`]. Times are milliseconds.

use rrr::entity::speculation::{self, RunningTrial};
use rrr::protocol::key::{TaskKey, TasksetKey};
use rrr::suite::order;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};

/// Interval between the arbiter's checks of the running tasks, as in rrr-arbiter.
const TICK: u64 = 500;
/// From the end of a trial to the start of the next: a judgement and a round trip.
const TURN: u64 = 1;
/// From the death of a slave until its task is queued again.
const FAILOVER: u64 = 100;
/// From the death of a slave until another takes its place.
const REBOOT: u64 = 2_000;
/// The default of rrr-submit, in seconds.
const LEAST_TIMEOUT: f64 = 30.0;
const MAX_TRIALS: u64 = 3;
/// Number of already tried tasks that a slave skips, as in trial_reserve.lua.
const MOST_SKIPS: usize = 30;

/// A spec file.
#[derive(Clone, Debug)]
pub struct File {
    pub name: String,
    /// The duration on a healthy host.
    pub ms: u64,
    /// The estimate from earlier runs; none for a new file.
    pub known_ms: Option<u64>,
}

/// The faults that can affect a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Share of the trials that fail.
    pub flaky: f64,
    /// Share of the trials that take ten times as long.
    pub stalls: f64,
    /// Mean time between the deaths of a slave; never if absent.
    pub deaths_ms: Option<u64>,
}

/// The policy for handing out tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether tasks are ordered by estimate; otherwise as submitted.
    pub ordered: bool,
    pub speculating: bool,
}

/// The result of a run.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    pub makespan_ms: u64,
    /// Number of trials, including those of tasks with only one.
    pub trials: u64,
    pub failed: usize,
}

/// The lower bound of the makespan: all work shared evenly, or the longest file.
pub fn lower_bound_ms(files: &[File], slaves: usize) -> u64 {
    let total: u64 = files.iter().map(|file| file.ms).sum();
    let longest = files.iter().map(|file| file.ms).max().unwrap_or(0);
    total.div_ceil(slaves as u64).max(longest)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The slave's trial with this number ends, if still running.
    Ends(usize, u64),
    /// The slave dies in its trial with this number, if still running.
    Dies(usize, u64),
    /// The task of a dead slave is requeued or failed.
    Lost(usize),
    /// The slave requests a task.
    Asks(usize),
    Tick,
}

#[derive(Clone, Debug, Default)]
struct Task {
    settled: bool,
    failed: bool,
    tries: u64,
    trials: u64,
    speculated: bool,
    tried_by: Vec<usize>,
}

struct Trial {
    number: u64,
    task: usize,
    began: u64,
    passes: bool,
}

struct World<'a> {
    files: &'a [File],
    weather: Weather,
    policy: Policy,
    seed: u64,
    keys: Vec<TaskKey>,
    tasks: Vec<Task>,
    queue: VecDeque<usize>,
    /// The running trial of each slave.
    at_work: Vec<Option<Trial>>,
    /// Slaves waiting for a task.
    idle: Vec<usize>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    numbers: u64,
    left: usize,
    now: u64,
}

/// Runs `files` on `slaves` slaves. The same `seed` causes the same faults.
pub fn run(files: &[File], slaves: usize, policy: Policy, weather: Weather, seed: u64) -> Outcome {
    let taskset: TasksetKey = "rrrspec:taskset:simulated".parse().expect("a key");
    let mut order: Vec<(String, Option<u64>)> = files
        .iter()
        .map(|file| {
            (
                file.name.clone(),
                file.known_ms.map(rrr::protocol::time::whole_seconds),
            )
        })
        .collect();
    if policy.ordered {
        let known = files
            .iter()
            .filter_map(|file| Some((file.name.clone(), file.known_ms?)));
        order::order(&mut order, &known.collect(), &HashSet::new());
    }
    let places: HashMap<&str, usize> = files
        .iter()
        .enumerate()
        .map(|(place, file)| (&*file.name, place))
        .collect();
    let mut world = World {
        files,
        weather,
        policy,
        seed,
        keys: files.iter().map(|file| taskset.task(&file.name)).collect(),
        tasks: vec![Task::default(); files.len()],
        queue: order.iter().map(|(name, _)| places[&**name]).collect(),
        at_work: (0..slaves).map(|_| None).collect(),
        idle: Vec::new(),
        events: BinaryHeap::new(),
        numbers: 0,
        left: files.len(),
        now: 0,
    };
    for slave in 0..slaves {
        world.later(0, Event::Asks(slave));
    }
    world.later(TICK, Event::Tick);
    world.settle_all();
    Outcome {
        makespan_ms: world.now,
        trials: world.tasks.iter().map(|task| task.trials).sum(),
        failed: world.tasks.iter().filter(|task| task.failed).count(),
    }
}

impl World<'_> {
    fn later(&mut self, after: u64, event: Event) {
        // Simultaneous events are handled in order of creation.
        self.numbers += 1;
        self.events
            .push(Reverse((self.now + after, self.numbers, event)));
    }

    fn settle_all(&mut self) {
        while self.left > 0 {
            let Reverse((at, _, event)) = self.events.pop().expect("a run that ends");
            self.now = at;
            match event {
                Event::Asks(slave) => self.reserve(slave),
                Event::Ends(slave, number) => self.end(slave, number),
                Event::Dies(slave, number) => self.die(slave, number),
                Event::Lost(task) => self.judge(task, false),
                Event::Tick => {
                    self.speculate();
                    self.later(TICK, Event::Tick);
                }
            }
        }
    }

    fn reserve(&mut self, slave: usize) {
        let mut skipped = Vec::new();
        let mut chosen = None;
        while let Some(task) = self.queue.pop_front() {
            if self.tasks[task].settled {
                continue;
            }
            // The task goes to a slave that has not tried it, if there is one.
            let tried_by = &self.tasks[task].tried_by;
            let others = (0..self.at_work.len()).filter(|other| !tried_by.contains(other));
            if tried_by.contains(&slave) && others.count() > 0 {
                skipped.push(task);
                if skipped.len() == MOST_SKIPS {
                    break;
                }
                continue;
            }
            chosen = Some(task);
            break;
        }
        if skipped.len() == MOST_SKIPS {
            self.queue.extend(&skipped);
        } else {
            for task in skipped.iter().rev() {
                self.queue.push_front(*task);
            }
        }
        let Some(task) = chosen else {
            if skipped.is_empty() {
                self.idle.push(slave);
            } else {
                self.later(40, Event::Asks(slave));
            }
            return;
        };
        self.tasks[task].trials += 1;
        let [stalls, fails, dies] = self.luck(task);
        let mut takes = self.files[task].ms;
        if stalls < self.weather.stalls {
            takes *= 10;
        }
        self.numbers += 1;
        let number = self.numbers;
        self.tasks[task].tried_by.push(slave);
        self.at_work[slave] = Some(Trial {
            number,
            task,
            began: self.now,
            passes: fails >= self.weather.flaky,
        });
        let dies = self
            .weather
            .deaths_ms
            .map(|mean| (-dies.max(f64::MIN_POSITIVE).ln() * mean as f64) as u64);
        match dies.filter(|after| *after < takes) {
            Some(after) => self.later(after, Event::Dies(slave, number)),
            None => self.later(takes, Event::Ends(slave, number)),
        }
    }

    /// The random outcome of the task's newest trial. It is the same under every policy, so that
    /// results differ only by policy.
    fn luck(&self, task: usize) -> [f64; 3] {
        let trial = (task as u64) << 32 | self.tasks[task].trials;
        let mut rng = fastrand::Rng::with_seed(self.seed << 48 ^ trial);
        [rng.f64(), rng.f64(), rng.f64()]
    }

    /// Removes the trial from the slave if it is still running.
    fn take(&mut self, slave: usize, number: u64) -> Option<Trial> {
        self.at_work[slave].take_if(|trial| trial.number == number)
    }

    fn end(&mut self, slave: usize, number: u64) {
        if let Some(trial) = self.take(slave, number) {
            self.later(TURN, Event::Asks(slave));
            self.judge(trial.task, trial.passes);
        }
    }

    fn die(&mut self, slave: usize, number: u64) {
        if let Some(trial) = self.take(slave, number) {
            self.later(FAILOVER, Event::Lost(trial.task));
            self.later(REBOOT, Event::Asks(slave));
        }
    }

    /// Judges a trial, as in trial_judge.lua.
    fn judge(&mut self, task: usize, passed: bool) {
        if self.tasks[task].settled {
            return;
        }
        self.tasks[task].tries += 1;
        let busy = |trial: &Option<Trial>| trial.as_ref().is_some_and(|trial| trial.task == task);
        if passed || self.tasks[task].tries >= MAX_TRIALS {
            self.tasks[task].settled = true;
            self.tasks[task].failed = !passed;
            self.left -= 1;
            // The first verdict stops the other copy.
            for slave in 0..self.at_work.len() {
                if busy(&self.at_work[slave]) {
                    self.at_work[slave] = None;
                    self.later(TURN, Event::Asks(slave));
                }
            }
        } else if !self.at_work.iter().any(busy) {
            self.queue.push_front(task);
            self.wake();
        }
    }

    fn wake(&mut self) {
        for slave in std::mem::take(&mut self.idle) {
            self.later(TURN, Event::Asks(slave));
        }
    }

    fn speculate(&mut self) {
        if !self.policy.speculating || !self.queue.is_empty() || self.idle.is_empty() {
            return;
        }
        let running = self.at_work.iter().flatten().map(|trial| RunningTrial {
            task: self.keys[trial.task].clone(),
            age: (self.now - trial.began) as f64 / 1000.0,
            estimate_sec: (self.files[trial.task].known_ms)
                .map(|ms| rrr::protocol::time::whole_seconds(ms) as f64),
            trials: self.tasks[trial.task].trials,
            speculated: self.tasks[trial.task].speculated,
        });
        let chosen = speculation::speculate(running.collect(), self.idle.len(), 1.0, LEAST_TIMEOUT);
        for key in &chosen {
            let task = self.keys.iter().position(|one| one == key).expect("ours");
            self.tasks[task].speculated = true;
            self.queue.push_back(task);
        }
        if !chosen.is_empty() {
            self.wake();
        }
    }
}
