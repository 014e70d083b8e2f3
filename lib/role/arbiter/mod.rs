//! rrr-arbiter: judges trials, finds what got lost, and ends tasksets.
//!
//! It keeps nothing that matters in memory: several may run, and any may be killed at any time.

mod recovery;

use crate::entity::daemon::Presence;
use crate::entity::queue;
use crate::entity::taskset::{self, Broken, Judged};
use crate::process::{exit, signals, systemd};
use crate::protocol::key;
use crate::protocol::message::Message;
use crate::protocol::status::TasksetStatus;
use crate::role::arbiter::recovery::Watch;
use crate::store::Store;
use crate::store::error::Refused;
use std::time::{Duration, Instant};

/// Judges trials and ends tasksets
#[derive(clap::Parser)]
#[command(name = "rrr-arbiter", version)]
pub struct Options {
    #[command(flatten)]
    redis: crate::cli::redis_args::RedisArgs,
    /// Handle everything that can be handled now, and what that causes, then exit
    #[arg(long)]
    drain: bool,
    /// Try a task a second time on an idle slave when it runs longer than X times its estimate
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    speculate_after: f64,
}

/// Most messages taken in one step: keeps a script under 5 ms.
const BATCH: usize = 128;
/// Least time between the ends of two steps: messages come in runs, and what comes meanwhile is
/// taken in one step. A message that comes alone is taken at once.
const GATHER: Duration = Duration::from_millis(20);
/// Time between looks at the active tasksets.
const TICK: Duration = Duration::from_millis(500);

/// Maximum looks of a --drain: in a fleet at work every look may find a first sign of something.
const MOST_LOOKS: u32 = 30;

/// Runs the tool.
pub fn run(options: Options) -> anyhow::Result<u8> {
    if !options.speculate_after.is_finite() || options.speculate_after < 0.0 {
        return Err(crate::process::exit::usage("--speculate-after must be 0 or more").into());
    }
    let mut store = options.redis.connect()?;
    let mut watch = Watch::new(options.speculate_after);
    let mut last_tick: Option<Instant> = None;
    let mut looks = 0;
    // Whether messages were taken since the last look, which may have caused more to look for.
    let mut fresh = true;
    let mut judged = 0;
    let mut presence = Presence::of("arbiter");
    systemd::ready("judging");
    while !signals::requested() {
        let Judged { taken, other } = taskset::judge(&mut store, BATCH)?;
        judged += taken;
        let idle = taken == 0 && other.is_none();
        fresh |= !idle;
        if let Some(message) = other {
            handle(&mut store, &message)?;
            judged += 1;
        } else if (1..BATCH / 2).contains(&taken) {
            signals::sleep(GATHER);
        }
        if watch.has_steps() {
            // Between two steps messages are judged: no verdict waits for a look to be acted on.
            watch.work(&mut store)?;
        } else if last_tick.is_none_or(|last| last.elapsed() >= TICK) {
            watch.look(&mut store)?;
            if !options.drain {
                presence.tell(&mut store)?;
            }
            systemd::turn(|| format!("judging; {judged} messages so far"));
            last_tick = Some(Instant::now());
            looks += 1;
            fresh = false;
        }
        let is_done = idle && !fresh && looks > 0 && watch.is_settled();
        if options.drain && (is_done || (idle && looks >= MOST_LOOKS)) {
            break;
        }
        if idle && !watch.has_steps() {
            let wait = last_tick.map_or(TICK, |last| TICK.saturating_sub(last.elapsed()));
            let wait = wait.as_secs_f64().clamp(0.001, 0.25);
            queue::peek(&mut store, &key::arbiter_queue(), 1, wait)?;
        }
    }
    Ok(exit::OK)
}

/// Handles the message at the head of the queue, which is about no trial.
fn handle(store: &mut Store, bytes: &[u8]) -> anyhow::Result<()> {
    let queue = key::arbiter_queue();
    let refusal = match Message::parse(bytes) {
        Ok(message) => match obey(store, &queue, bytes, message) {
            // It would stand at the head for ever, before every other (L8).
            Err(error) if error.is::<Refused>() => error.to_string(),
            done => return done,
        },
        Err(reason) => reason,
    };
    queue::bury(store, &queue, bytes, &refusal)
}

/// Does what the message asks for, and pops it.
fn obey(store: &mut Store, queue: &str, bytes: &[u8], message: Message) -> anyhow::Result<()> {
    match message {
        Message::Cancel(taskset) => {
            taskset::close(store, &taskset, bytes, TasksetStatus::Cancelled, "")?;
        }
        Message::CancelAll => {
            let mut broken = Broken::default();
            for taskset in taskset::active(store)? {
                let done = taskset::close(store, &taskset, b"", TasksetStatus::Cancelled, "");
                broken.pass_over(&taskset, done)?;
            }
            queue::pop(store, queue, &[bytes.to_owned()])?;
        }
        Message::Fail(taskset) => {
            let reason = taskset::Record::load(store, &taskset)?
                .and_then(|record| record.get("fail_reason").map(str::to_owned))
                .unwrap_or_else(|| "a worker asked to fail it".to_owned());
            taskset::close(store, &taskset, bytes, TasksetStatus::Failed, &reason)?;
        }
        Message::Check(taskset) => {
            // What is lost is found by the tick; this only ends a taskset that is done.
            taskset::recover(store, &taskset, &[])?;
            queue::pop(store, queue, &[bytes.to_owned()])?;
        }
        Message::Trial(_) => {
            queue::bury(store, queue, bytes, "it names no trial of a task")?;
        }
    }
    Ok(())
}
