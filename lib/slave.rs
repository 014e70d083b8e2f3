//! Slaves: a process that makes trials, one after the other.
//!
//! Written by rrr-slave; ended by rrr-worker, which sees it die, or by rrr-arbiter, when its
//! heartbeat stops.

use crate::event::Event;
use crate::heartbeat::Heartbeat;
use crate::key::{self, SlaveKey, TasksetKey, TrialKey};
use crate::store::{Store, rows, script::Answer, script::Script};
use crate::trial::Result as TrialResult;
use crate::{example, lua, time, trial};

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
}

/// What a slave is told when it asks for its next task.
#[derive(Clone, Debug)]
pub enum Next {
    Run(Job),
    /// Nothing waits; the wake stream tells when something does.
    Empty,
    /// Only tasks it has tried before wait: another slave may want them.
    Skip,
    /// The taskset is over.
    Over(String),
    /// It was declared dead: whatever it does counts no more.
    Fenced,
}

fn next(answer: &Answer, place: usize) -> anyhow::Result<Next> {
    Ok(match answer.text(place).as_str() {
        "run" => Next::Run(Job {
            trial: answer.text(place + 1).parse()?,
            spec_file: answer.text(place + 2),
            estimate_sec: answer.text(place + 3).parse().ok(),
            attempt: answer.number(place + 4) as u64,
        }),
        "empty" | "none" => Next::Empty,
        "skip" => Next::Skip,
        "over" => Next::Over(answer.text(place + 1)),
        "fenced" => Next::Fenced,
        other => anyhow::bail!("unexpected answer '{other}' to a reserve"),
    })
}

static JOIN: Script = lua!("slave_join");

/// Joins the taskset, alive; returns its status instead when it is not running.
pub fn join(
    store: &mut Store,
    taskset: &TasksetKey,
    slave: &SlaveKey,
    heartbeat: &Heartbeat,
) -> anyhow::Result<Option<String>> {
    let state: String = store.call(|c, _| {
        JOIN.key(taskset)
            .key(slave)
            .key(slave.heartbeat())
            .arg(heartbeat.ttl_sec())
            .invoke(c)
    })?;
    Ok((state != "joined").then_some(state))
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

static RESERVE: Script = lua!("reserve", "event", "reserve");

/// Takes the next task. `patient`: rather come back when another slave may take it. `announce`:
/// ask the arbiter for a check when nothing waits.
pub fn reserve(
    store: &mut Store,
    taskset: &TasksetKey,
    slave: &SlaveKey,
    patient: bool,
    announce: bool,
) -> anyhow::Result<Next> {
    let trial_id = trial::fresh_id();
    let answer: Answer = store.call(|c, _| {
        RESERVE
            .key(taskset)
            .key(slave)
            .key(key::arbiter_queue())
            .arg(&trial_id)
            .arg(time::now())
            .arg(u8::from(patient))
            .arg(u8::from(announce))
            .invoke(c)
    })?;
    next(&answer, 0)
}

static FINISH: Script = lua!("finish", "event", "reserve");

/// The event that tells of a trial's `result`.
pub fn finished(slave: &SlaveKey, job: &Job, result: &TrialResult) -> Event {
    Event::TrialFinished {
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
    }
}

/// Ends a trial with `result`, of which the event `told` tells, and takes the next task if `more`:
/// one round trip. The first value tells whether the result was the one that counts.
pub fn finish(
    store: &mut Store,
    taskset: &TasksetKey,
    slave: &SlaveKey,
    job: &Job,
    result: &TrialResult,
    told: &str,
    more: bool,
) -> anyhow::Result<(bool, Next)> {
    let trial_id = if more {
        trial::fresh_id()
    } else {
        String::new()
    };
    let examples = (!result.examples.is_empty()).then(|| example::bounded_json(&result.examples));
    let answer: Answer = store.call(|c, _| {
        let mut call = FINISH.key(taskset);
        call.key(slave)
            .key(key::arbiter_queue())
            .key(&job.trial)
            .arg(&trial_id)
            .arg(time::now())
            .arg(result.status.as_str())
            .arg(result.duration_ms)
            .arg(told)
            .arg(result.stdout.as_slice())
            .arg(result.stderr.as_slice())
            .arg(result.passed)
            .arg(result.pending)
            .arg(result.failed);
        if let Some(code) = result.exit_code {
            call.arg("exit_code").arg(code);
        }
        if let Some(signal) = result.signal {
            call.arg("signal").arg(signal);
        }
        if let Some(why) = &result.stopped {
            call.arg("stopped").arg(why);
        }
        if result.leaked > 0 {
            call.arg("leaked").arg(result.leaked);
        }
        if let Some(folder) = &result.outputs {
            call.arg("outputs").arg(folder);
        }
        if let Some((json, left_out)) = &examples {
            call.arg("examples").arg(json);
            if left_out + result.examples_cut > 0 {
                call.arg("examples_cut").arg(left_out + result.examples_cut);
            }
        }
        call.invoke(c)
    })?;
    Ok((answer.text(0) == "recorded", next(&answer, 1)?))
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
    /// It lives; this is the trial it made last.
    Alive(Option<TrialKey>),
}

/// Looks at `slaves`: one round trip for each 500.
pub fn look(store: &mut Store, slaves: &[SlaveKey]) -> anyhow::Result<Vec<Seen>> {
    type Facts = (Option<String>, bool, Option<String>);
    let mut seen = Vec::with_capacity(slaves.len());
    for chunk in slaves.chunks(500) {
        // The status first: a slave that leaves sets it before its heartbeat goes.
        let facts: Vec<Facts> = store.call(|c, _| {
            let mut pipe = redis::pipe();
            for slave in chunk {
                pipe.cmd("HGET").arg(slave).arg("status");
                pipe.cmd("EXISTS").arg(slave.heartbeat());
                pipe.cmd("LINDEX").arg(slave.trials()).arg(-1);
            }
            rows(pipe.query(c)?, 3)
        })?;
        seen.extend(facts.into_iter().map(|(status, beats, trial)| {
            match (status.filter(|status| !status.is_empty()), beats) {
                (Some(_), _) => Seen::Ended,
                (None, false) => Seen::Silent,
                (None, true) => Seen::Alive(trial.and_then(|text| text.parse().ok())),
            }
        }));
    }
    Ok(seen)
}

static REAP: Script = lua!("reap", "event", "reap");

/// Declares a slave dead and ends its trial with `error`. `certain`: its process is known to be
/// gone; otherwise it is left alone while it has a heartbeat.
pub fn reap(
    store: &mut Store,
    taskset: &TasksetKey,
    slave: &SlaveKey,
    why: &str,
    certain: bool,
) -> anyhow::Result<bool> {
    let answer: Answer = store.call(|c, _| {
        REAP.key(taskset)
            .key(slave)
            .key(key::arbiter_queue())
            .arg(time::now())
            .arg(why)
            .arg(u8::from(certain))
            .invoke(c)
    })?;
    answer.print_events(1);
    Ok(answer.number(0) == 1)
}

/// What the wake stream tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Something was put in the queue.
    Work,
    /// This task has its verdict: other copies may stop.
    Stop(String),
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
    type Streams = Option<Vec<(String, Vec<(String, Vec<String>)>)>>;
    let (status, streams): (Option<String>, Streams) = store.call(|c, _| {
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
            let about = fields.get(1).cloned().unwrap_or_default();
            match fields.first().map(String::as_str) {
                Some("work") => wakes.push(Wake::Work),
                Some("stop") => wakes.push(Wake::Stop(about)),
                Some("over") => wakes.push(Wake::Over(about)),
                _ => {}
            }
        }
    }
    // Another implementation's arbiter writes no wake stream.
    if status.as_deref() != Some("running") {
        wakes.push(Wake::Over(status.unwrap_or_else(|| "gone".into())));
    }
    Ok(wakes)
}

/// Whether the slave has made a trial at all.
pub fn has_trials(store: &mut Store, slave: &SlaveKey) -> anyhow::Result<bool> {
    store.call(|c, _| redis::cmd("EXISTS").arg(slave.trials()).query(c))
}
