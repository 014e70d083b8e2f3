//! Reservations: a slave reserves tasks, reports their trials and releases those it has not begun.
//!
//! Written by rrr-slave through the scripts `trial_reserve`, `trial_finish` and `trial_release`;
//! read by the arbiter.

use crate::entity::trial;
use crate::lua;
use crate::protocol::event::Event;
use crate::protocol::job::Job;
use crate::protocol::key::{self, SlaveKey, TasksetKey};
use crate::protocol::result::TrialResult;
use crate::protocol::{example, time};
use crate::store::Store;
use crate::store::script::{Answer, Script};

static RESERVE: Script = lua!("trial_reserve", "event", "batch", "reserve");

static FINISH: Script = lua!("trial_finish", "event", "batch", "reserve");

static RELEASE: Script = lua!("trial_release", "event", "batch");

/// The answer to a slave that asks for its next tasks.
#[derive(Clone, Debug)]
pub enum Next<Work = Vec<Job>> {
    Run(Work),
    /// The queue is empty; the wake stream announces new tasks.
    Empty,
    /// Every queued task should go to another live slave.
    Skip,
    /// The taskset is finished.
    Over(String),
    /// The slave was declared dead: nothing that it reports counts any more.
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

/// Reserves the next task, or up to `most` tasks if they may share a batch. `patient`: leave a task
/// that has failed here to any other live slave; otherwise only to one that is busy with a trial.
/// `announce`: ask the arbiter for a check if the queue is empty.
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

/// Records the results of trials and reserves up to `most` next tasks (0: none), in one round trip.
/// The first value holds, for each trial, whether its result is the one that counts.
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

/// Reports that the trial of `running` has begun, if that was not reported yet, and requeues the
/// tasks of `rest`, which have not begun.
pub fn release(
    store: &mut Store,
    taskset: &TasksetKey,
    slave: &SlaveKey,
    running: Option<&Job>,
    rest: &[Job],
) -> anyhow::Result<()> {
    let started = running.map(|job| self::started(slave, job).json());
    store.call(|c, _| {
        let mut call = RELEASE.key(taskset);
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

/// A trial that has ended.
#[derive(Clone, Debug)]
pub struct Done {
    pub job: Job,
    pub result: TrialResult,
    /// The `trial_finished` event, as JSON.
    pub told: String,
}

impl Done {
    /// The finished trial of `job`, with its result.
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

    /// Additional fields of the trial's hash: field, value, ….
    pub(crate) fn more_fields(&self, now: &str) -> Vec<(&'static str, String)> {
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
        if result.is_final {
            fields.push(("retry", "0".to_owned()));
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

/// The `trial_started` event.
pub(crate) fn started(slave: &SlaveKey, job: &Job) -> Event {
    Event::TrialStarted {
        task: job.trial.task().to_string(),
        spec_file: job.spec_file.clone(),
        trial: job.trial.to_string(),
        slave: slave.to_string(),
        attempt: job.attempt,
    }
}
