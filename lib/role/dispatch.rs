//! rrr-dispatch: gives active tasksets to idle workers, first come first served.
//!
//! An entry in its queue only means "look again", and it looks at everything each time, so that a
//! lost entry costs a second at most and a repeated one nothing.

use crate::key::{self, WorkerKey};
use crate::store::Store;
use crate::{exit, queue, stop, taskset, worker};
use std::collections::HashSet;

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

/// Runs the tool.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let mut store = options.redis.connect()?;
    let mut silent = HashSet::new();
    while !stop::requested() {
        let wait = if options.drain { 0.001 } else { 1.0 };
        let notes = queue::peek(&mut store, &key::dispatcher_queue(), 1000, wait)?;
        evict(&mut store, &mut silent)?;
        for taskset in taskset::active(&mut store)? {
            taskset::assign(&mut store, &taskset)?;
        }
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
                eprintln!("rrr-dispatch: worker '{}' has died", worker.id());
            }
        } else if !alive {
            still_silent.insert(worker);
        }
    }
    *silent = still_silent;
    Ok(())
}
