//! A run under virtual time: slaves, a queue and an arbiter as rrr's are, with the real decisions of
//! [`rrr::entity::speculation`] in them. Times are milliseconds.

use rrr::entity::speculation::{self, Running};
use rrr::protocol::key::{TaskKey, TasksetKey};
use rrr::suite::order;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

/// Time between the arbiter's looks at the running tasks, as in rrr-arbiter.
const TICK: u64 = 500;
/// From the end of a trial to the start of the next: a judgement and a round trip.
const TURN: u64 = 1;
/// From the death of a slave until its task is queued again.
const FAILOVER: u64 = 100;
/// From the death of a slave until another takes its place.
const REBOOT: u64 = 2_000;
/// As rrr-submit has it by default, in seconds.
const LEAST_TIMEOUT: f64 = 30.0;
const MAX_TRIALS: u64 = 3;
/// How many tasks that it has tried a slave steps over, as in trial_reserve.lua.
const MOST_SKIPS: usize = 30;

/// A spec file.
#[derive(Clone, Debug)]
pub struct File {
    pub name: String,
    /// How long it takes on a healthy host.
    pub ms: u64,
    /// What earlier runs told of it; none for a new file.
    pub known_ms: Option<u64>,
}

/// What can happen to a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Share of the trials that fail.
    pub flaky: f64,
    /// Share of the trials that take ten times as long.
    pub stalls: f64,
    /// Mean time between the deaths of a slave; never if absent.
    pub deaths_ms: Option<u64>,
}

/// How tasks are given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// By what is known of them; otherwise as they come.
    pub ordered: bool,
    pub speculating: bool,
}

/// What came of a run.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    pub makespan_ms: u64,
    /// Trials, those of tasks that needed one only included.
    pub trials: u64,
    pub failed: usize,
}

/// Nothing can be faster: neither than all work shared evenly, nor than the longest file.
pub fn lower_bound_ms(files: &[File], slaves: usize) -> u64 {
    let total: u64 = files.iter().map(|file| file.ms).sum();
    let longest = files.iter().map(|file| file.ms).max().unwrap_or(0);
    total.div_ceil(slaves as u64).max(longest)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The slave's trial of this number ends, if it still makes it.
    Ends(usize, u64),
    /// The slave dies in its trial of this number, if it still makes it.
    Dies(usize, u64),
    /// The task of a dead slave is put back, or given up.
    Lost(usize),
    /// The slave asks for a task.
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
    /// What each slave tries.
    at_work: Vec<Option<Trial>>,
    /// Slaves that wait for the queue to fill.
    idle: Vec<usize>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    numbers: u64,
    left: usize,
    now: u64,
}

/// Runs `files` on so many slaves; the same `seed` meets the same luck.
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
        order::order(&mut order, &known.collect());
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
        // In the order of their making, when at the same time.
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
            // It goes to a slave that has not tried it, if there is one.
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

    /// The luck of the task's newest trial, which is the same under every policy: so two of them
    /// differ by what they do only.
    fn luck(&self, task: usize) -> [f64; 3] {
        let trial = (task as u64) << 32 | self.tasks[task].trials;
        let mut rng = fastrand::Rng::with_seed(self.seed << 48 ^ trial);
        [rng.f64(), rng.f64(), rng.f64()]
    }

    /// Takes the trial from the slave if it is still at it.
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

    /// As trial_judge.lua.
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
        let running = self.at_work.iter().flatten().map(|trial| Running {
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
