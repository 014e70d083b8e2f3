//! rrr-dispatch: gives active tasksets to idle workers, first come first served.
//!
//! An entry in its queue only means "look again", and it looks at everything each time, so that a
//! lost entry costs a second at most and a repeated one nothing.

use crate::key::{self, WorkerKey};
use crate::presence::Presence;
use crate::say::say;
use crate::store::Store;
use crate::taskset::Broken;
use crate::{exit, notify, queue, stop, taskset, worker};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Gives tasksets to workers
#[derive(clap::Parser)]
#[command(name = "rrr-dispatch", version)]
pub struct Options {
    #[command(flatten)]
    redis: crate::cli::Redis,
    /// Handle what is queued, then exit
    #[arg(long)]
    drain: bool,
}

/// Seconds of a wait for a message: as long as a wish to stop may go unheard.
const IDLE: f64 = 0.25;
/// Time between looks when no message comes.
const LOOK: Duration = Duration::from_secs(1);

/// Runs the tool.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let mut store = options.redis.connect()?;
    let mut silent = HashSet::new();
    let mut broken = Broken::default();
    let mut last_look: Option<Instant> = None;
    let mut presence = Presence::of("dispatch");
    notify::ready("waiting for tasksets");
    while !stop::requested() {
        let wait = if options.drain { 0.001 } else { IDLE };
        let notes = queue::peek(&mut store, &key::dispatcher_queue(), 1000, wait)?;
        if notes.is_empty() && last_look.is_some_and(|last| last.elapsed() < LOOK) {
            continue;
        }
        last_look = Some(Instant::now());
        if !options.drain {
            presence.tell(&mut store)?;
        }
        evict(&mut store, &mut silent)?;
        let active = taskset::active(&mut store)?;
        broken.keep(&active);
        for taskset in &active {
            let done = taskset::assign(&mut store, taskset);
            broken.pass_over(taskset, done.map(drop))?;
        }
        notify::turn(|| format!("{} active tasksets", active.len()));
        queue::pop(&mut store, &key::dispatcher_queue(), &notes)?;
        if options.drain && notes.len() < 1000 {
            break;
        }
    }
    Ok(exit::OK)
}

/// Evicts workers that had no heartbeat at two looks in a row: one that just starts may have none.
fn evict(store: &mut Store, silent: &mut HashSet<WorkerKey>) -> anyhow::Result<()> {
    let mut still_silent = HashSet::new();
    for (worker, alive) in worker::all(store)? {
        if !alive && silent.contains(&worker) {
            if worker::evict(store, &worker)? {
                say!("rrr-dispatch: worker '{}' has died", worker.id());
            }
        } else if !alive {
            still_silent.insert(worker);
        }
    }
    *silent = still_silent;
    Ok(())
}
