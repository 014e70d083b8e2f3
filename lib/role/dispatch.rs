//! rrr-dispatch: assigns active tasksets to idle workers, first come, first served.
//!
//! An entry in its queue only means "check again", and each check covers everything, so a lost
//! entry costs at most a second and a duplicate costs nothing.

use crate::entity::daemon::Presence;
use crate::entity::roster::Roster;
use crate::entity::taskset::{self, Assigned, Skipped, Want};
use crate::entity::{queue, worker};
use crate::process::stderr::say;
use crate::process::{exit, signals, systemd};
use crate::protocol::key::{self, TasksetKey, WorkerKey};
use crate::role::printed::Printed;
use crate::store;
use crate::store::Store;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// Assigns tasksets to workers
#[derive(clap::Parser)]
#[command(name = "rrr-dispatch", version)]
pub struct Options {
    #[command(flatten)]
    redis: crate::cli::redis_args::RedisArgs,
    /// Handle everything pending, and its consequences, then exit
    #[arg(long)]
    drain: bool,
}

/// Seconds to wait for a message: the maximum delay before a stop signal is handled.
const IDLE: f64 = 0.25;
/// Time between checks when no message arrives.
const LOOK: Duration = Duration::from_secs(1);
/// Maximum workers offered in one call: keeps the script under 1 ms.
const OFFER: usize = 64;

/// Runs the tool.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let mut store = options.redis.connect()?;
    let mut dispatcher = Dispatcher::default();
    let mut last_look: Option<Instant> = None;
    let mut presence = Presence::of("dispatch");
    systemd::ready("waiting for tasksets");
    while !signals::requested() {
        let is_first = last_look.is_none();
        let wait = if options.drain && is_first {
            0.001
        } else {
            IDLE
        };
        let notes = queue::peek(&mut store, &key::dispatcher_queue(), 1000, wait)?;
        let is_due = dispatcher.must_repeat || !notes.is_empty();
        if !is_due && last_look.is_some_and(|last| last.elapsed() < LOOK) {
            continue;
        }
        last_look = Some(Instant::now());
        if !options.drain {
            presence.tell(&mut store)?;
        }
        let active = dispatcher.look(&mut store)?;
        systemd::turn(|| format!("{active} active tasksets"));
        queue::pop(&mut store, &key::dispatcher_queue(), &notes)?;
        // A worker without a heartbeat must lack it at a second check before it is evicted.
        let is_settled = dispatcher.silent.is_empty() && !dispatcher.must_repeat;
        if options.drain && notes.len() < 1000 && is_settled {
            break;
        }
    }
    Ok(exit::OK)
}

/// State kept between two checks.
#[derive(Default)]
struct Dispatcher {
    silent: HashSet<WorkerKey>,
    /// Living workers whose hashes do not expire.
    kept: HashSet<WorkerKey>,
    broken: Skipped,
    /// Workers that have failed a taskset's setup: they are not offered again.
    failed: HashMap<TasksetKey, HashSet<WorkerKey>>,
    /// Whether another dispatcher acted between the check and the assignment.
    must_repeat: bool,
}

impl Dispatcher {
    /// Checks all workers and tasksets; returns the number of active tasksets.
    fn look(&mut self, store: &mut Store) -> anyhow::Result<usize> {
        self.must_repeat = false;
        let living = self.evict(store)?;
        let active = taskset::active(store)?;
        self.broken.keep(&active);
        self.failed.retain(|taskset, _| active.contains(taskset));
        // Tasksets are read before workers, so that assignments made in between are noticed.
        let mut open = Vec::new();
        for (taskset, want) in active.iter().zip(taskset::wants(store, &active)?) {
            match want {
                Ok(want) => open.extend(want.map(|want| (taskset, want))),
                Err(refused) => self.broken.pass_over(taskset, Err(refused.into()))?,
            }
        }
        if open.is_empty() {
            return Ok(active.len());
        }
        let mut roster = Roster::new(worker::posts(store, &living)?);
        for (taskset, mut want) in open {
            let done = self.assign(store, &mut roster, taskset, &mut want);
            self.broken.pass_over(taskset, done)?;
        }
        Ok(active.len())
    }

    /// Assigns a taskset to as many idle workers as it may have.
    fn assign(
        &mut self,
        store: &mut Store,
        roster: &mut Roster,
        taskset: &TasksetKey,
        want: &mut Want,
    ) -> anyhow::Result<()> {
        loop {
            let failed = self.failed.entry(taskset.clone()).or_default();
            let (room, offered) = roster.candidates(taskset, want, failed, OFFER);
            if offered.is_empty() {
                return Ok(());
            }
            let Assigned {
                given,
                failed: new,
                is_stale,
            } = taskset::assign(store, taskset, want, room, &offered).printed()?;
            self.must_repeat |= is_stale;
            for worker in &given {
                roster.give(taskset, want, worker);
            }
            let is_over = given.len() + new.len() < offered.len();
            failed.extend(new);
            if is_over {
                return Ok(());
            }
            want.count_given(given.len());
        }
    }

    /// Evicts workers without a heartbeat at two checks in a row: one that is just starting may
    /// have none. Returns the living workers.
    fn evict(&mut self, store: &mut Store) -> anyhow::Result<Vec<WorkerKey>> {
        let mut living = Vec::new();
        let mut still_silent = HashSet::new();
        for (worker, alive) in worker::all(store)? {
            if alive {
                living.push(worker);
            } else if !self.silent.contains(&worker) {
                still_silent.insert(worker);
            } else if store::unless_refused(worker.id(), worker::evict(store, &worker))?
                == Some(true)
            {
                say!("rrr-dispatch: worker '{}' is dead", worker.id());
            }
        }
        self.silent = still_silent;
        let new = living.iter().filter(|worker| !self.kept.contains(*worker));
        worker::keep(store, &new.cloned().collect::<Vec<_>>())?;
        self.kept = living.iter().cloned().collect();
        Ok(living)
    }
}
