//! Slaves: a process that makes trials, one after the other.
//!
//! Written by rrr-slave; ended by rrr-worker, which sees it die, or by rrr-arbiter, when its
//! heartbeat stops.

mod death;
mod foreign;

pub use death::{bury, bury_as, reap};
pub use foreign::{ask_for_check, has_signs, list};

use crate::event::Event;
use crate::heartbeat::Heartbeat;
use crate::key::{self, SlaveKey, TasksetKey, TrialKey};
use crate::store::{
    Refused, Store,
    read::{Text, rows_each},
    script::Answer,
    script::Script,
};
use crate::trial::Result as TrialResult;
use crate::{example, lua, time, trial};

/// Most tasks that a slave takes in one call.
pub const MOST_IN_HAND: u32 = 16;

/// How a slave ended; none at all means that it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    NormalExit,
    TimeoutExit,
    FailureExit,
}

impl Status {
    /// As the protocol writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NormalExit => "normal_exit",
            Self::TimeoutExit => "timeout_exit",
            Self::FailureExit => "failure_exit",
        }
    }
}

/// A task to be tried now.
#[derive(Clone, Debug)]
pub struct Job {
    pub trial: TrialKey,
    pub spec_file: String,
    pub estimate_sec: Option<u64>,
    /// 1 for the task's first trial.
    pub attempt: u64,
    /// Whether Redis knows that the trial has begun.
    pub begun: bool,
}

/// What a slave is told when it asks for its next tasks.
#[derive(Clone, Debug)]
pub enum Next<Work = Vec<Job>> {
    Run(Work),
    /// Nothing waits; the wake stream tells when something does.
    Empty,
    /// Only tasks wait that should be tried by another slave, which lives.
    Skip,
    /// The taskset is over.
    Over(String),
    /// It was declared dead: whatever it does counts no more.
    Fenced,
}

fn next(answer: &Answer, place: usize) -> anyhow::Result<Next> {
    let job = |at| {
        anyhow::Ok(Job {
            trial: answer.text(at).parse()?,
            spec_file: answer.text(at + 1),
            estimate_sec: answer.text(at + 2).parse().ok(),
            attempt: answer.number(at + 3) as u64,
            begun: answer.number(at + 4) == 1,
        })
    };
    Ok(match answer.text(place).as_str() {
        "run" => Next::Run(
            (place + 1..answer.len())
                .step_by(5)
                .map(job)
                .collect::<anyhow::Result<_>>()?,
        ),
        "empty" | "none" => Next::Empty,
        "skip" => Next::Skip,
        "over" => Next::Over(answer.text(place + 1)),
        "fenced" => Next::Fenced,
        other => anyhow::bail!("unexpected answer '{other}' to a reserve"),
    })
}

static JOIN: Script = lua!("slave_join");

/// Joins the taskset, alive, in the place of the name by which its worker has listed it; returns the
/// taskset's status instead when that is not running.
pub fn join(
    store: &mut Store,
    taskset: &TasksetKey,
    slave: &SlaveKey,
    heartbeat: &Heartbeat,
) -> anyhow::Result<Option<String>> {
    let group = rustix::process::getpgrp().as_raw_nonzero();
    let listed = slave.worker().slave(&group.to_string());
    let state: Text = store.call(|c, _| {
        JOIN.key(taskset)
            .key(slave)
            .key(slave.heartbeat())
            .key(&listed)
            .arg(heartbeat.ttl_sec())
            .invoke(c)
    })?;
    Ok((&*state != "joined").then(|| state.into()))
}

static BEAT: Script = lua!("slave_beat");

/// Says that the slave lives; false when it was declared dead.
pub fn beat(store: &mut Store, slave: &SlaveKey, heartbeat: &Heartbeat) -> anyhow::Result<bool> {
    store.call(|c, _| {
        BEAT.key(slave)
            .key(slave.heartbeat())
            .arg(heartbeat.ttl_sec())
            .invoke(c)
    })
}

static RESERVE: Script = lua!("reserve", "event", "hand", "reserve");

/// Takes the next task, and up to `most` where they may share a hand. `patient`: leave a task that has
/// failed here to any other living slave; otherwise only to one that is busy with a trial. `announce`: ask the arbiter for a check when nothing waits.
pub fn reserve(
    store: &mut Store,
    taskset: &TasksetKey,
    slave: &SlaveKey,
    most: usize,
    patient: bool,
    announce: bool,
) -> anyhow::Result<Next> {
    let (trial_id, now) = (trial::fresh_id(), time::now());
    let answer: Answer = store.call(|c, _| {
        RESERVE
            .key(taskset)
            .key(slave)
            .key(key::arbiter_queue())
            .arg(&trial_id)
            .arg(&now)
            .arg(most)
            .arg(u8::from(patient))
            .arg(u8::from(announce))
            .invoke(c)
    })?;
    next(&answer, 0)
}

/// The event that tells of the start of a trial.
pub fn started(slave: &SlaveKey, job: &Job) -> Event {
    Event::TrialStarted {
        task: job.trial.task().to_string(),
        spec_file: job.spec_file.clone(),
        trial: job.trial.to_string(),
        slave: slave.to_string(),
        attempt: job.attempt,
    }
}

/// A trial that has ended.
#[derive(Clone, Debug)]
pub struct Done {
    pub job: Job,
    pub result: TrialResult,
    /// The event that tells of its end, as JSON.
    pub told: String,
}

impl Done {
    /// The trial of `job`, with what came of it.
    pub fn new(slave: &SlaveKey, job: Job, result: TrialResult) -> Self {
        let event = Event::TrialFinished {
            task: job.trial.task().to_string(),
            spec_file: job.spec_file.clone(),
            trial: job.trial.to_string(),
            slave: slave.to_string(),
            status: result.status.as_str().to_owned(),
            duration_ms: Some(result.duration_ms),
            passed: Some(result.passed),
            pending: Some(result.pending),
            failed: Some(result.failed),
            stopped: result.stopped.clone(),
            reason: None,
            leaked: Some(result.leaked).filter(|leaked| *leaked > 0),
            outputs: result.outputs.clone(),
        };
        let told = event.json();
        Self { job, result, told }
    }

    /// What the trial's hash gets besides what each has: field, value, ….
    fn more_fields(&self, now: &str) -> Vec<(&'static str, String)> {
        let result = &self.result;
        let mut fields = Vec::new();
        if !self.job.begun {
            fields.push(("started_at", now.to_owned()));
        }
        if let Some(code) = result.exit_code {
            fields.push(("exit_code", code.to_string()));
        }
        if let Some(signal) = result.signal {
            fields.push(("signal", signal.to_string()));
        }
        if let Some(why) = &result.stopped {
            fields.push(("stopped", why.clone()));
        }
        if result.leaked > 0 {
            fields.push(("leaked", result.leaked.to_string()));
        }
        if let Some(folder) = &result.outputs {
            fields.push(("outputs", folder.clone()));
        }
        if !result.examples.is_empty() {
            let (json, left_out) = example::bounded_json(&result.examples);
            fields.push(("examples", json));
            let cut = left_out + result.examples_cut;
            if cut > 0 {
                fields.push(("examples_cut", cut.to_string()));
            }
        }
        fields
    }
}

static FINISH: Script = lua!("finish", "event", "hand", "reserve");

/// Ends trials, and takes up to `most` next tasks (0: none): one round trip. The first value tells of
/// each trial whether its result was the one that counts.
pub fn finish(
    store: &mut Store,
    taskset: &TasksetKey,
    slave: &SlaveKey,
    done: &[Done],
    most: usize,
) -> anyhow::Result<(Vec<bool>, Next)> {
    let (trial_id, now) = (trial::fresh_id(), time::now());
    let answer: Answer = store.call(|c, _| {
        let mut call = FINISH.key(taskset);
        call.key(slave).key(key::arbiter_queue());
        call.arg(&trial_id).arg(&now).arg(most);
        for one in done {
            let (result, more) = (&one.result, one.more_fields(&now));
            let started = (!one.job.begun).then(|| started(slave, &one.job).json());
            call.key(&one.job.trial)
                .arg(9 + 2 * more.len())
                .arg(result.status.as_str())
                .arg(result.duration_ms)
                .arg(started.unwrap_or_default())
                .arg(&one.told)
                .arg(result.stdout.as_slice())
                .arg(result.stderr.as_slice())
                .arg(result.passed)
                .arg(result.pending)
                .arg(result.failed);
            for (field, value) in more {
                call.arg(field).arg(value);
            }
        }
        call.invoke(c)
    })?;
    let counted = (0..done.len()).map(|place| answer.text(place) == "recorded");
    Ok((counted.collect(), next(&answer, done.len())?))
}

static GIVE_BACK: Script = lua!("give_back", "event", "hand");

/// Tells that the trial of `running` has begun, if there is one that nobody was told of, and puts the
/// tasks of `rest`, which have not begun, back into the queue.
pub fn give_back(
    store: &mut Store,
    taskset: &TasksetKey,
    slave: &SlaveKey,
    running: Option<&Job>,
    rest: &[Job],
) -> anyhow::Result<()> {
    let started = running.map(|job| self::started(slave, job).json());
    store.call(|c, _| {
        let mut call = GIVE_BACK.key(taskset);
        call.key(slave);
        for job in rest {
            call.key(&job.trial);
        }
        call.arg(time::now())
            .arg(running.map_or("", |job| job.trial.as_str()))
            .arg(started.as_deref().unwrap_or_default())
            .invoke::<()>(c)
    })
}

static EXIT: Script = lua!("slave_exit");

/// Says how a slave that holds no trial ended.
pub fn exit(
    store: &mut Store,
    taskset: &TasksetKey,
    slave: &SlaveKey,
    status: Status,
) -> anyhow::Result<()> {
    store.call(|c, _| {
        EXIT.key(slave)
            .key(slave.heartbeat())
            .key(taskset)
            .arg(status.as_str())
            .invoke::<()>(c)
    })
}

/// How a slave looks from outside.
#[derive(Clone, Debug)]
pub enum Seen {
    /// It has said, or was declared, how it ended.
    Ended,
    /// It has no heartbeat, and nobody has declared it dead.
    Silent,
    /// As that, but it is of another implementation, whose slaves are listed before they have a
    /// heartbeat, and has made no trial.
    Starting,
    /// It lives; this is the trial it made last, or the last that it has on hand.
    Alive(Option<TrialKey>),
}

/// Looks at `slaves`: one round trip for each 2000.
pub fn look(store: &mut Store, slaves: &[SlaveKey]) -> anyhow::Result<Vec<Seen>> {
    let seen = look_each(store, slaves)?.into_iter();
    Ok(seen.collect::<Result<_, _>>()?)
}

/// As [`look`], with an error alone for each slave whose keys are of the wrong type.
pub fn look_each(
    store: &mut Store,
    slaves: &[SlaveKey],
) -> anyhow::Result<Vec<Result<Seen, Refused>>> {
    type Facts = (Option<Text>, bool, Option<Text>);
    let mut seen = Vec::with_capacity(slaves.len());
    for chunk in slaves.chunks(2000) {
        // The status first: a slave that leaves sets it before its heartbeat goes.
        let facts: Vec<Result<Facts, Refused>> = store.call(|c, _| {
            let mut pipe = redis::pipe();
            for slave in chunk {
                pipe.cmd("HGET").arg(slave).arg("status");
                pipe.cmd("EXISTS").arg(slave.heartbeat());
                pipe.cmd("LINDEX").arg(slave.trials()).arg(-1);
            }
            rows_each(pipe.ignore_errors().query(c)?, 3)
        })?;
        seen.extend(chunk.iter().zip(facts).map(|(slave, facts)| {
            let (status, beats, trial) = facts?;
            Ok(match (status.filter(|status| !status.is_empty()), beats) {
                (Some(_), _) => Seen::Ended,
                (None, false) if trial.is_none() && slave.is_foreign() => Seen::Starting,
                (None, false) => Seen::Silent,
                (None, true) => Seen::Alive(trial.and_then(|text| text.parse().ok())),
            })
        }));
    }
    Ok(seen)
}

/// What the wake stream tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Something was put in the queue.
    Work,
    /// This task has its verdict: other copies may stop.
    Stop(String),
    /// No task is left: what comes after the last may be done.
    End,
    /// The taskset is over, with this status.
    Over(String),
}

/// Reads the wake stream behind `after`, waiting at most `wait_ms`; moves `after` on. A taskset
/// that has gone from Redis is over.
pub fn wakes(
    store: &mut Store,
    taskset: &TasksetKey,
    after: &mut String,
    wait_ms: u64,
) -> anyhow::Result<Vec<Wake>> {
    type Streams = Option<Vec<(String, Vec<(String, Vec<Text>)>)>>;
    let (status, streams): (Option<Text>, Streams) = store.call(|c, _| {
        redis::pipe()
            .cmd("HGET")
            .arg(taskset)
            .arg("status")
            .cmd("XREAD")
            .arg("BLOCK")
            .arg(wait_ms)
            .arg("STREAMS")
            .arg(taskset.wake())
            .arg(after.as_str())
            .query(c)
    })?;
    let mut wakes = Vec::new();
    for (_, entries) in streams.unwrap_or_default() {
        for (id, fields) in entries {
            *after = id;
            let about = fields.get(1).cloned().unwrap_or_default().into();
            match fields.first().map(|verb| &**verb) {
                Some("work") => wakes.push(Wake::Work),
                Some("stop") => wakes.push(Wake::Stop(about)),
                Some("end") => wakes.push(Wake::End),
                Some("over") => wakes.push(Wake::Over(about)),
                _ => {}
            }
        }
    }
    // Another implementation's arbiter writes no wake stream.
    if status.as_deref() != Some("running") {
        wakes.push(Wake::Over(
            status.map_or_else(|| "gone".into(), String::from),
        ));
    }
    Ok(wakes)
}

/// Whether a task waits to be tried.
pub fn is_queued(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<bool> {
    store.call(|c, _| redis::cmd("EXISTS").arg(taskset.task_queue()).query(c))
}

/// Whether the slave has made a trial at all.
pub fn has_trials(store: &mut Store, slave: &SlaveKey) -> anyhow::Result<bool> {
    store.call(|c, _| redis::cmd("EXISTS").arg(slave.trials()).query(c))
}
