//! rrr-arbiter: judges trials, recovers lost tasks, and finishes tasksets.
//!
//! All state is in Redis: several arbiters may run, and any may be killed at any time.

mod recovery;

use crate::entity::daemon::Presence;
use crate::entity::queue;
use crate::entity::taskset::{self, Judged, Skipped};
use crate::process::{exit, signals, systemd};
use crate::protocol::key;
use crate::protocol::message::Message;
use crate::protocol::status::TasksetStatus;
use crate::role::arbiter::recovery::Watch;
use crate::role::printed::Printed;
use crate::store::Store;
use crate::store::error::Refused;
use std::time::{Duration, Instant};

/// Judges trials and finishes tasksets
#[derive(clap::Parser)]
#[command(name = "rrr-arbiter", version)]
pub struct Options {
    #[command(flatten)]
    redis: crate::cli::redis_args::RedisArgs,
    /// Handle everything pending, and its consequences, then exit
    #[arg(long)]
    drain: bool,
    /// Start a second trial on an idle slave when a task runs longer than X times its estimate
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    speculate_after: f64,
}

/// Maximum messages per step: keeps a script under 5 ms.
const BATCH: usize = 128;
/// Minimum time between the ends of two steps: messages arrive in bursts, and those that arrive
/// within this time are handled in one step. A single message is handled at once.
const GATHER: Duration = Duration::from_millis(20);
/// Time between checks of the active tasksets.
const TICK: Duration = Duration::from_millis(500);

/// Maximum checks of a --drain: in a busy fleet every check may find a new suspicion.
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
    // Whether messages were handled since the last check, which may have made another necessary.
    let mut fresh = true;
    let mut judged = 0;
    let mut presence = Presence::of("arbiter");
    systemd::ready("judging");
    while !signals::requested() {
        let Judged { taken, other } = taskset::judge(&mut store, BATCH).printed()?;
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
            // Messages are judged between two steps, so that no verdict waits for recovery.
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

/// Handles the message at the head of the queue, which does not concern a trial.
fn handle(store: &mut Store, bytes: &[u8]) -> anyhow::Result<()> {
    let queue = key::arbiter_queue();
    let refusal = match Message::parse(bytes) {
        Ok(message) => match obey(store, &queue, bytes, message) {
            // It would block the head of the queue for ever (L8).
            Err(error) if error.is::<Refused>() => error.to_string(),
            done => return done,
        },
        Err(reason) => reason,
    };
    queue::bury(store, &queue, bytes, &refusal)
}

/// Carries out the message's request, and pops it.
fn obey(store: &mut Store, queue: &str, bytes: &[u8], message: Message) -> anyhow::Result<()> {
    match message {
        Message::Cancel(taskset) => {
            taskset::close(store, &taskset, bytes, TasksetStatus::Cancelled, "").printed()?;
        }
        Message::CancelAll => {
            let mut broken = Skipped::default();
            for taskset in taskset::active(store)? {
                let done =
                    taskset::close(store, &taskset, b"", TasksetStatus::Cancelled, "").printed();
                broken.pass_over(&taskset, done)?;
            }
            queue::pop(store, queue, &[bytes.to_owned()])?;
        }
        Message::Fail(taskset) => {
            let reason = taskset::Record::load(store, &taskset)?
                .and_then(|record| record.fail_reason().map(str::to_owned))
                .unwrap_or_else(|| "a worker requested its failure".to_owned());
            taskset::close(store, &taskset, bytes, TasksetStatus::Failed, &reason).printed()?;
        }
        Message::Check(taskset) => {
            // Lost tasks are found by the regular check; this only finishes a taskset that is
            // complete.
            taskset::recover(store, &taskset, &[]).printed()?;
            queue::pop(store, queue, &[bytes.to_owned()])?;
        }
        Message::Trial(_) => {
            queue::bury(store, queue, bytes, "it does not name a trial of a task")?;
        }
    }
    Ok(())
}
