//! rrr-arbiter: judges trials, finds what got lost, and ends tasksets.
//!
//! It keeps nothing that matters in memory: several may run, and any may be killed at any time.

mod watch;

use crate::key;
use crate::presence::Presence;
use crate::queue::{self, Message};
use crate::store::Store;
use crate::taskset::{self, Status};
use crate::{exit, notify, stop};
use std::time::{Duration, Instant};
use watch::Watch;

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
/// Least time between the ends of two steps: messages come in runs, and what comes meanwhile is
/// taken in one step. A message that comes alone is taken at once.
const GATHER: Duration = Duration::from_millis(20);
/// Time between looks at the active tasksets.
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
    let mut judged = 0;
    let mut presence = Presence::of("arbiter");
    notify::ready("judging");
    while !stop::requested() {
        let wait = match last_tick {
            Some(last) => TICK
                .saturating_sub(last.elapsed())
                .as_secs_f64()
                .clamp(0.001, 0.25),
            None => 0.001,
        };
        let messages = queue::peek(&mut store, &key::arbiter_queue(), BATCH, wait)?;
        handle(&mut store, &messages)?;
        judged += messages.len();
        if (1..BATCH / 2).contains(&messages.len()) {
            stop::sleep(GATHER);
        }
        if last_tick.is_none_or(|last| last.elapsed() >= TICK) {
            watch.check(&mut store)?;
            if !options.drain {
                presence.tell(&mut store)?;
            }
            notify::turn(|| format!("judging; {judged} messages so far"));
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
