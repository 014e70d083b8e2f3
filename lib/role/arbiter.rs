//! rrr-arbiter: judges trials, finds what got lost, and ends tasksets.
//!
//! It keeps nothing that matters in memory: several may run, and any may be killed at any time.

use crate::key::{self, SlaveKey, TaskKey, TasksetKey};
use crate::queue::{self, Message};
use crate::store::Store;
use crate::taskset::{self, Status};
use crate::{exit, slave, stop};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// Judges trials and ends tasksets
#[derive(clap::Parser)]
#[command(name = "rrr-arbiter", version)]
pub struct Options {
    #[command(flatten)]
    redis: crate::cli::Redis,
    /// Handle what is queued, then exit
    #[arg(long)]
    drain: bool,
    /// Try a task a second time on an idle slave when it runs longer than X times its estimate
    #[arg(
        long,
        value_name = "X",
        default_value_t = 1.0,
        env = "RRR_SPECULATE_AFTER"
    )]
    speculate_after: f64,
}

/// Most messages taken in one step: keeps a script under 5 ms.
const BATCH: usize = 256;
/// Time between looks at the active tasksets. What seems dead or lost must seem so twice, so that
/// a slave or a message that is just on its way is left alone.
const TICK: Duration = Duration::from_millis(500);

/// Runs the tool.
pub fn run(options: Options) -> anyhow::Result<u8> {
    if !options.speculate_after.is_finite() || options.speculate_after < 0.0 {
        return Err(crate::cli::usage("--speculate-after must be 0 or more").into());
    }
    let mut store = options.redis.connect()?;
    let mut watch = Watch::new(options.speculate_after);
    let mut last_tick: Option<Instant> = None;
    let mut ticks = 0;
    while !stop::requested() {
        let wait = match last_tick {
            Some(last) => TICK.saturating_sub(last.elapsed()).as_secs_f64().max(0.001),
            None => 0.001,
        };
        let messages = queue::peek(&mut store, &key::arbiter_queue(), BATCH, wait)?;
        handle(&mut store, &messages)?;
        if last_tick.is_none_or(|last| last.elapsed() >= TICK) {
            for taskset in taskset::active(&mut store)? {
                watch.check(&mut store, &taskset)?;
            }
            last_tick = Some(Instant::now());
            ticks += 1;
        }
        if options.drain && messages.is_empty() && ticks >= 2 {
            break;
        }
    }
    Ok(exit::OK)
}

/// Handles messages from the head of the queue, in order: trials in runs, others one by one.
fn handle(store: &mut Store, messages: &[Vec<u8>]) -> anyhow::Result<()> {
    let queue = key::arbiter_queue();
    let mut trials = Vec::new();
    for bytes in messages {
        let message = Message::parse(bytes);
        if let Ok(Message::Trial(trial, task, taskset)) = message {
            trials.push((bytes.clone(), trial, task, taskset));
            continue;
        }
        if !trials.is_empty() && taskset::judge(store, &std::mem::take(&mut trials))? == 0 {
            // Another arbiter is ahead of us: look again.
            return Ok(());
        }
        match message {
            Ok(Message::Trial(..)) => unreachable!("handled above"),
            Ok(Message::Cancel(taskset)) => {
                taskset::close(store, &taskset, bytes, Status::Cancelled, "")?;
            }
            Ok(Message::CancelAll) => {
                for taskset in taskset::active(store)? {
                    taskset::close(store, &taskset, b"", Status::Cancelled, "")?;
                }
                queue::pop(store, &queue, std::slice::from_ref(bytes))?;
            }
            Ok(Message::Fail(taskset)) => {
                let reason = taskset::Record::load(store, &taskset)?
                    .and_then(|record| record.get("fail_reason").map(str::to_owned))
                    .unwrap_or_else(|| "a worker asked to fail it".to_owned());
                taskset::close(store, &taskset, bytes, Status::Failed, &reason)?;
            }
            Ok(Message::Check(taskset)) => {
                // What is lost is found by the tick; this only ends a taskset that is done.
                taskset::recover(store, &taskset, &[])?;
                queue::pop(store, &queue, std::slice::from_ref(bytes))?;
            }
            Err(reason) => queue::refuse(store, &queue, bytes, &reason)?,
        }
    }
    if !trials.is_empty() {
        taskset::judge(store, &trials)?;
    }
    Ok(())
}

/// A trial that a living slave is making.
#[derive(Clone, Debug)]
struct Running {
    task: TaskKey,
    /// Seconds since it began.
    age: f64,
    estimate_sec: Option<f64>,
    trials: u64,
    speculated: bool,
}

/// What the arbiter remembers between two ticks: only what makes it look twice.
struct Watch {
    speculate_after: f64,
    ended: HashSet<SlaveKey>,
    silent: HashSet<SlaveKey>,
    missing: HashMap<TasksetKey, HashSet<TaskKey>>,
    begun: HashMap<String, Instant>,
}

impl Watch {
    fn new(speculate_after: f64) -> Self {
        Self {
            speculate_after,
            ended: HashSet::new(),
            silent: HashSet::new(),
            missing: HashMap::new(),
            begun: HashMap::new(),
        }
    }

    /// Reaps dead slaves, puts lost tasks back, finalises, and speculates.
    fn check(&mut self, store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<()> {
        let (alive, running) = self.look_at_slaves(store, taskset)?;
        let state = State::load(store, taskset)?;
        let running_tasks: HashSet<&TaskKey> = running.iter().map(|r| &r.task).collect();
        let mut lost = Vec::new();
        if state.queued == 0 && state.left > running_tasks.len() {
            let candidates: HashSet<TaskKey> = tasks_left(store, taskset)?
                .into_iter()
                .filter(|task| !running_tasks.contains(task))
                .collect();
            if let Some(before) = self.missing.get(taskset) {
                lost.extend(
                    candidates
                        .iter()
                        .filter(|task| before.contains(task))
                        .cloned(),
                );
            }
            self.missing.insert(taskset.clone(), candidates);
        } else {
            self.missing.remove(taskset);
        }
        if lost.is_empty() {
            taskset::recover(store, taskset, &[])?;
        }
        for chunk in lost.chunks(500) {
            taskset::recover(store, taskset, chunk)?;
        }
        let idle = alive.saturating_sub(running.len());
        if state.queued == 0 && state.left > 0 && lost.is_empty() && idle > 0 {
            let chosen = speculate(running, idle, self.speculate_after, state.least_sec);
            if !chosen.is_empty() {
                taskset::speculate(store, taskset, &chosen)?;
            }
        }
        Ok(())
    }

    /// Finds the living slaves and what they run; reaps those that are silent for the second time.
    fn look_at_slaves(
        &mut self,
        store: &mut Store,
        taskset: &TasksetKey,
    ) -> anyhow::Result<(usize, Vec<Running>)> {
        let slaves: Vec<SlaveKey> = taskset::slaves(store, taskset)?
            .into_iter()
            .filter(|slave| !self.ended.contains(slave))
            .collect();
        let mut alive = 0;
        let mut current = Vec::new();
        for seen in slave_states(store, &slaves)? {
            match seen {
                Seen::Ended(slave) => {
                    self.silent.remove(&slave);
                    self.ended.insert(slave);
                }
                Seen::Silent(slave) => {
                    if !self.silent.insert(slave.clone()) {
                        slave::reap(
                            store,
                            taskset,
                            &slave,
                            "the slave's heartbeat stopped",
                            false,
                        )?;
                    }
                }
                Seen::Alive(slave, trial) => {
                    self.silent.remove(&slave);
                    alive += 1;
                    current.extend(trial);
                }
            }
        }
        let mut running = Vec::new();
        let mut begun = HashMap::new();
        for (trial, mut run) in unfinished(store, &current)? {
            let since = *self.begun.get(&trial).unwrap_or(&Instant::now());
            run.age = since.elapsed().as_secs_f64();
            begun.insert(trial, since);
            running.push(run);
        }
        // Other tasksets' trials are kept as long as they are seen.
        self.begun
            .retain(|trial, _| !trial.starts_with(taskset.as_str()));
        self.begun.extend(begun);
        Ok((alive, running))
    }
}

/// Which running tasks get a second copy, most wanted first: the least tried, then those with the
/// longest expected time still to go; never one that has a copy already (C8).
fn speculate(mut running: Vec<Running>, idle: usize, after: f64, least_sec: f64) -> Vec<TaskKey> {
    let estimate = |r: &Running| r.estimate_sec.unwrap_or(least_sec).max(1.0);
    running.retain(|r| !r.speculated && r.age >= after * estimate(r));
    running.sort_by(|a, b| {
        let remaining = |r: &Running| estimate(r) - r.age;
        a.trials
            .cmp(&b.trials)
            .then(remaining(b).total_cmp(&remaining(a)))
    });
    running.into_iter().take(idle).map(|r| r.task).collect()
}

enum Seen {
    Ended(SlaveKey),
    Silent(SlaveKey),
    Alive(SlaveKey, Option<String>),
}

fn slave_states(store: &mut Store, slaves: &[SlaveKey]) -> anyhow::Result<Vec<Seen>> {
    let mut seen = Vec::with_capacity(slaves.len());
    for chunk in slaves.chunks(500) {
        let states: Vec<(bool, Option<String>, Option<String>)> = store.call(|c, _| {
            let mut pipe = redis::pipe();
            for slave in chunk {
                pipe.cmd("EXISTS").arg(slave.heartbeat());
                pipe.cmd("HGET").arg(slave).arg("status");
                pipe.cmd("LINDEX").arg(slave.trials()).arg(-1);
            }
            let flat: Vec<redis::Value> = pipe.query(c)?;
            flat.chunks(3)
                .map(|three| {
                    Ok(redis::from_redis_value(redis::Value::Array(
                        three.to_vec(),
                    ))?)
                })
                .collect()
        })?;
        for (slave, (heartbeat, status, trial)) in chunk.iter().zip(states) {
            seen.push(match (status.filter(|s| !s.is_empty()), heartbeat) {
                (Some(_), _) => Seen::Ended(slave.clone()),
                (None, false) => Seen::Silent(slave.clone()),
                (None, true) => Seen::Alive(slave.clone(), trial),
            });
        }
    }
    Ok(seen)
}

/// Those of `trials` that have not finished, with what is known of their tasks.
fn unfinished(store: &mut Store, trials: &[String]) -> anyhow::Result<Vec<(String, Running)>> {
    let trials: Vec<key::TrialKey> = trials.iter().filter_map(|text| text.parse().ok()).collect();
    let mut running = Vec::new();
    for chunk in trials.chunks(500) {
        type Facts = (Option<String>, Vec<Option<String>>, u64);
        let facts: Vec<Facts> = store.call(|c, _| {
            let mut pipe = redis::pipe();
            for trial in chunk {
                let task = trial.task();
                pipe.cmd("HGET").arg(trial).arg("status");
                pipe.cmd("HMGET")
                    .arg(&task)
                    .arg("estimate_sec")
                    .arg("speculated");
                pipe.cmd("LLEN").arg(task.trials());
            }
            let flat: Vec<redis::Value> = pipe.query(c)?;
            flat.chunks(3)
                .map(|three| {
                    Ok(redis::from_redis_value(redis::Value::Array(
                        three.to_vec(),
                    ))?)
                })
                .collect()
        })?;
        for (trial, (status, task, tried)) in chunk.iter().zip(facts) {
            if status.is_none_or(|s| s.is_empty()) {
                running.push((
                    trial.to_string(),
                    Running {
                        task: trial.task(),
                        age: 0.0,
                        estimate_sec: task.first().cloned().flatten().and_then(|s| s.parse().ok()),
                        trials: tried,
                        speculated: task.get(1).is_some_and(Option::is_some),
                    },
                ));
            }
        }
    }
    Ok(running)
}

/// The lengths that tell whether anything can be lost.
struct State {
    queued: usize,
    left: usize,
    least_sec: f64,
}

impl State {
    fn load(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<Self> {
        let (queued, left, least): (usize, usize, Option<String>) = store.call(|c, _| {
            redis::pipe()
                .cmd("LLEN")
                .arg(taskset.task_queue())
                .cmd("LLEN")
                .arg(taskset.tasks_left())
                .cmd("HGET")
                .arg(taskset)
                .arg("least_timeout_sec")
                .query(c)
        })?;
        Ok(Self {
            queued,
            left,
            least_sec: least.and_then(|text| text.parse().ok()).unwrap_or(30.0),
        })
    }
}

fn tasks_left(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<Vec<TaskKey>> {
    let keys: Vec<String> = store.call(|c, _| {
        redis::cmd("LRANGE")
            .arg(taskset.tasks_left())
            .arg(0)
            .arg(-1)
            .query(c)
    })?;
    Ok(keys.iter().filter_map(|text| text.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(file: &str, age: f64, estimate_sec: Option<f64>, trials: u64) -> Running {
        let taskset: TasksetKey = "rrrspec:taskset:t".parse().unwrap();
        Running {
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
    fn only_tasks_past_their_estimate_are_speculated_on() {
        let all = vec![
            running("early", 4.0, Some(5.0), 1),
            running("late", 6.0, Some(5.0), 1),
        ];
        assert_eq!(files(&speculate(all, 5, 1.0, 30.0)), ["late"]);
    }

    #[test]
    fn the_least_tried_goes_first_and_then_the_longest_to_go() {
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
