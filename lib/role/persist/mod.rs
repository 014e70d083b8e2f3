//! rrr-persist: makes finished tasksets durable in the database, updates the estimates from their
//! run times, and lets their keys expire.
//!
//! The order guarantees promise 3: the record is durable, then marked as such, then the keys
//! expire, and only then is the message removed. [`persister`] does this for one taskset.

mod persister;

use crate::archive::log_dir::LogDir;
use crate::archive::{db, estimate, history};
use crate::cli::redis_args::RedisArgs;
use crate::entity::daemon::Presence;
use crate::entity::queue;
use crate::process::disk_space::Room;
use crate::process::{exit, regular_file, signals, state_dir, stderr, stdout, systemd};
use crate::protocol::key::{self, TasksetKey};
use crate::protocol::time;
use crate::role::persist::persister::{Attempt, Backoff, Persister};
use rustix::fs::{FlockOperation, flock};
use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

/// Writes finished tasksets to a database
#[derive(clap::Parser)]
#[command(name = "rrr-persist", version)]
pub struct Options {
    #[command(flatten)]
    redis: RedisArgs,
    #[command(flatten)]
    db: db::DbArgs,
    /// Folder for outputs and logs, one JSON document per taskset [default: ~/.local/state/rrr/log]
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// Space to keep free there and on the disk of SQLite
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(..1 << 30))]
    keep_free: u64,
    /// Handle the queued tasksets, then exit
    #[arg(long)]
    drain: bool,
    /// Maximum attempts per taskset before it goes to the dead list
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    attempts: u32,
    /// Requeue the messages of the dead list first
    #[arg(long)]
    retry_dead: bool,
    /// Recompute all estimates from the database, publish them to Redis, and exit
    #[arg(long, conflicts_with_all = ["drain", "retry_dead"])]
    rebuild_estimates: bool,
}

const IDLE: &str = "waiting for finished tasksets";
/// Maximum wait of --drain for a database that does not answer: cron runs it again later.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);
/// Milliseconds after which an unfinished file counts as abandoned.
const LEFT_BEHIND: i64 = 86_400_000;

/// Runs the tool.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let path = (options.log_dir.clone()).unwrap_or_else(|| state_dir::folder().join("log"));
    let folder = LogDir::open(path.clone())
        .map_err(|e| exit::usage(format!("cannot use the folder '{}': {e}", path.display())))?;
    let url = options.db.url()?;
    let mut store = options.redis.connect()?;
    if options.rebuild_estimates {
        let files = estimate::rebuild(&mut store, &mut url.open()?)?;
        stdout::json_line(&serde_json::json!({ "estimates": files }))?;
        return Ok(exit::OK);
    }
    let _lock = match options.drain {
        true => match lock(&path)? {
            Some(lock) => Some(lock),
            None => {
                stderr::line("rrr-persist: another --drain is running; nothing to do");
                return Ok(exit::OK);
            }
        },
        false => None,
    };
    if options.retry_dead {
        queue::kick(&mut store, &key::persister_queue())?;
    }
    let places = std::iter::once(path).chain(url.folder()).collect();
    let mut persister = Persister {
        store,
        url,
        db: None,
        folder,
        room: Room::new(places, options.keep_free << 20),
    };
    systemd::ready(IDLE);
    persister.wait_for_database(options.drain.then_some(DRAIN_PATIENCE))?;
    if let Some(db) = &mut persister.db {
        // Files of a killed persister whose taskset was never saved again.
        history::sweep(db, &persister.folder, time::unix_ms() - LEFT_BEHIND)?;
    }
    if options.drain {
        drain(persister, options.attempts)
    } else {
        serve(persister, options.attempts)
    }
}

/// Takes the lock held during a --drain, so that another one started by cron does not repeat its
/// work.
fn lock(folder: &std::path::Path) -> anyhow::Result<Option<std::fs::File>> {
    let file = regular_file::open_or_create(&folder.join(".drain.lock"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Works until asked to stop. Failures are retried, with growing pauses; a taskset that keeps
/// failing although the database answers goes to the dead list.
fn serve(mut persister: Persister, bound: u32) -> anyhow::Result<u8> {
    let mut backoff = Backoff::new();
    let mut presence = Presence::of("persist");
    while !signals::requested() {
        presence.tell(&mut persister.store)?;
        let Some((message, taskset)) = persister.next(1.0)? else {
            systemd::turn(|| IDLE.to_owned());
            continue;
        };
        systemd::turn(|| format!("persisting {taskset}"));
        match persister.attempt(&taskset, &message, bound)? {
            Attempt::Done => backoff = Backoff::new(),
            Attempt::Later => {}
            Attempt::Failed(error) => backoff.pause(&error),
        }
    }
    Ok(exit::OK)
}

/// Handles the queued tasksets, each once; a taskset that fails stays queued for the next run.
fn drain(mut persister: Persister, bound: u32) -> anyhow::Result<u8> {
    let mut failed: HashSet<TasksetKey> = HashSet::new();
    let mut last = None;
    while !signals::requested() {
        let Some((message, taskset)) = persister.next(0.001)? else {
            break;
        };
        if failed.contains(&taskset) {
            break;
        }
        if let Attempt::Failed(error) = persister.attempt(&taskset, &message, bound)? {
            stderr::line(&format!("rrr-persist: {error:#}; it stays in the queue"));
            failed.insert(taskset);
            last = Some(error);
        }
    }
    last.map_or(Ok(exit::OK), Err)
}
