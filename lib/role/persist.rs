//! rrr-persist: makes finished tasksets durable in the database, learns from their timings, and
//! lets their keys expire.
//!
//! The order is what keeps promise 3: the record is durable, then noted as such, then the keys
//! expire, and only then the message goes. Each step may be repeated.

use crate::db::{self, Database};
use crate::history::{self, Saved};
use crate::key::{self, TasksetKey};
use crate::log_store::Folder;
use crate::presence::Presence;
use crate::stat::totals;
use crate::store::{Stopped, Store};
use crate::taskset::Record;
use crate::{cli, crash, estimate, exit, notify, out, queue, record, stop, time};
use rustix::fs::{FlockOperation, flock};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

/// Write finished tasksets to a database
#[derive(clap::Parser)]
#[command(name = "rrr-persist", version)]
pub struct Options {
    #[command(flatten)]
    redis: cli::Redis,
    #[command(flatten)]
    db: db::Place,
    /// Folder for outputs and logs: a JSON document a taskset [default: ~/.local/state/rrr/log]
    #[arg(long, value_name = "DIR", env = "RRR_LOG_DIR")]
    log_dir: Option<PathBuf>,
    /// Handle what is queued, then exit
    #[arg(long)]
    drain: bool,
    /// Times that a taskset is tried before it goes to the dead list
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    attempts: u32,
    /// Put what is in the dead list back into the queue first
    #[arg(long)]
    retry_dead: bool,
    /// Learn run times anew from the whole database, tell Redis, and exit
    #[arg(long, conflicts_with_all = ["drain", "retry_dead"])]
    rebuild_estimates: bool,
}

/// Seconds that slaves and workers get to finish their logs.
const STRAGGLERS: i64 = 10;
const IDLE: &str = "waiting for tasksets that have ended";
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
/// Well below the time after which systemd would think that we hang.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

struct Persister {
    store: Store,
    url: db::Url,
    /// None after a failure: the next use connects anew.
    db: Option<Database>,
    folder: Folder,
}

/// Runs the tool.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let path = (options.log_dir.clone()).unwrap_or_else(|| db::state_folder().join("log"));
    let folder = Folder::open(path.clone())
        .map_err(|e| cli::usage(format!("cannot use the folder '{}': {e}", path.display())))?;
    let url = options.db.url()?;
    let mut store = options.redis.connect()?;
    let mut db = url.open()?;
    if options.rebuild_estimates {
        let files = estimate::rebuild(&mut store, &mut db)?;
        out::line(&serde_json::json!({ "estimates": files }).to_string());
        return Ok(exit::OK);
    }
    let _lock = match options.drain {
        true => match lock(&path)? {
            Some(lock) => Some(lock),
            None => {
                eprintln!("rrr-persist: another --drain is at work; nothing to do");
                return Ok(exit::OK);
            }
        },
        false => None,
    };
    if options.retry_dead {
        queue::revive(&mut store, &key::persister_queue())?;
    }
    // What a persister that gave up, or was killed and never came back, has left behind.
    history::sweep(&mut db, &folder, time::unix_ms() - 86_400_000)?;
    let persister = Persister {
        store,
        url,
        db: Some(db),
        folder,
    };
    notify::ready(IDLE);
    if options.drain {
        persister.drain(options.attempts)
    } else {
        persister.serve(options.attempts)
    }
}

/// Held while a --drain runs, so that one that cron starts meanwhile does not do its work again.
fn lock(folder: &std::path::Path) -> anyhow::Result<Option<std::fs::File>> {
    let file = std::fs::File::create(folder.join(".drain.lock"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What came of a message.
enum Done {
    /// It is gone.
    Yes,
    /// The taskset's workers are not done yet.
    NotYet,
}

impl Persister {
    /// Works until it is asked to stop. Failures are tried again, with pauses that grow; a taskset
    /// that fails while the database answers goes to the dead list in the end.
    fn serve(mut self, bound: u32) -> anyhow::Result<u8> {
        let queue = key::persister_queue();
        let mut pause = SHORTEST_PAUSE;
        let mut failures: HashMap<TasksetKey, u32> = HashMap::new();
        let mut presence = Presence::of("persist");
        while !stop::requested() {
            presence.tell(&mut self.store)?;
            let Some((message, taskset)) = self.next(1.0)? else {
                notify::turn(|| IDLE.to_owned());
                continue;
            };
            notify::turn(|| format!("persisting {taskset}"));
            match self.handle(&taskset, &message) {
                Ok(Done::Yes) => {
                    pause = SHORTEST_PAUSE;
                    failures.remove(&taskset);
                }
                Ok(Done::NotYet) => {
                    queue::rotate(&mut self.store, &queue, &message)?;
                    stop::sleep(SHORTEST_PAUSE);
                }
                Err(error) => {
                    let error = self.recover(&taskset, error)?;
                    let count = failures.entry(taskset).or_default();
                    // A database that is away is nobody's fault: it is waited for without a bound.
                    *count += u32::from(self.db.is_some());
                    if *count >= bound {
                        let reason = format!("failed {count} times: {error:#}");
                        queue::refuse(&mut self.store, &queue, &message, &reason)?;
                        continue;
                    }
                    eprintln!("rrr-persist: {error:#}; trying again in {pause:?}");
                    queue::rotate(&mut self.store, &queue, &message)?;
                    stop::sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        Ok(exit::OK)
    }

    /// Handles what is queued, each taskset once; what fails stays queued for the next run.
    fn drain(mut self, bound: u32) -> anyhow::Result<u8> {
        let queue = key::persister_queue();
        let mut failed: HashSet<TasksetKey> = HashSet::new();
        let mut last = None;
        while !stop::requested() {
            let Some((message, taskset)) = self.next(0.001)? else {
                break;
            };
            if failed.contains(&taskset) {
                break;
            }
            match self.handle(&taskset, &message) {
                Ok(Done::Yes) => {}
                Ok(Done::NotYet) => {
                    queue::rotate(&mut self.store, &queue, &message)?;
                    stop::sleep(SHORTEST_PAUSE);
                }
                Err(error) => {
                    let error = self.recover(&taskset, error)?;
                    if bound == 1 && self.db.is_some() {
                        let reason = format!("failed: {error:#}");
                        queue::refuse(&mut self.store, &queue, &message, &reason)?;
                        continue;
                    }
                    eprintln!("rrr-persist: {error:#}; it stays in the queue");
                    queue::rotate(&mut self.store, &queue, &message)?;
                    failed.insert(taskset);
                    last = Some(error);
                }
            }
        }
        last.map_or(Ok(exit::OK), Err)
    }

    /// The taskset at the head of the queue; what is none is refused.
    fn next(&mut self, wait: f64) -> anyhow::Result<Option<(Vec<u8>, TasksetKey)>> {
        let queue = key::persister_queue();
        while let Some(message) = queue::peek(&mut self.store, &queue, 1, wait)?.pop() {
            match String::from_utf8_lossy(&message).parse() {
                Ok(taskset) => return Ok(Some((message, taskset))),
                Err(_) => {
                    queue::refuse(&mut self.store, &queue, &message, "it is not a taskset key")?;
                }
            }
        }
        Ok(None)
    }

    /// After a failure: connects to the database anew, so that an answer tells whose fault it was,
    /// and clears away what was begun. Gives the error back, unless it means that we should end.
    fn recover(
        &mut self,
        taskset: &TasksetKey,
        error: anyhow::Error,
    ) -> anyhow::Result<anyhow::Error> {
        if error.downcast_ref::<Stopped>().is_some() {
            return Err(error);
        }
        self.db = self.url.open().ok();
        if let Some(db) = &mut self.db
            && let Err(second) = history::clear_loose(db, &self.folder, taskset)
        {
            // The next try finds it again.
            eprintln!("rrr-persist: {second:#}");
        }
        Ok(error)
    }

    fn handle(&mut self, taskset: &TasksetKey, message: &[u8]) -> anyhow::Result<Done> {
        let (store, queue) = (&mut self.store, key::persister_queue());
        let Some(state) = Record::load(store, taskset)? else {
            queue::pop(store, &queue, &[message.to_vec()])?;
            return Ok(Done::Yes);
        };
        if !state.status().is_some_and(|status| status.is_final()) {
            queue::refuse(store, &queue, message, "the taskset has not finished")?;
            return Ok(Done::Yes);
        }
        let finished = state.get("finished_at").and_then(time::parse);
        let age = finished.map_or(i64::MAX, |at| time::unix_ms() / 1000 - at.timestamp());
        if age < STRAGGLERS && record::open_worker_logs(store, taskset)? > 0 {
            return Ok(Done::NotYet);
        }
        if !record::is_marked(store, taskset)? {
            let db = match &mut self.db {
                Some(db) => db,
                none => none.insert(self.url.open()?),
            };
            let saved = history::save(store, db, &self.folder, taskset)?;
            estimate::publish(store, db, taskset)?;
            crash::point();
            tell(db, &self.folder, taskset, &state, saved)?;
            record::mark(store, taskset, &totals::of(db, taskset)?)?;
            crash::point();
        }
        record::expire(store, taskset)?;
        crash::point();
        record::release(store, taskset, message)?;
        Ok(Done::Yes)
    }
}

/// One JSON line for a taskset. It is printed before the mark: a persister that is killed in
/// between prints it `again`.
fn tell(
    db: &mut Database,
    folder: &Folder,
    taskset: &TasksetKey,
    state: &Record,
    saved: Saved,
) -> anyhow::Result<()> {
    let file = history::log_file(db, taskset)?;
    let mut line = serde_json::json!({
        "time": time::rfc3339(time::unix_ms()),
        "persisted": taskset,
        "status": state.get("status"),
        "file": file.map(|file| folder.path(&file)),
    });
    if saved == Saved::Before {
        line["again"] = true.into();
    }
    out::line(&line.to_string());
    Ok(())
}
