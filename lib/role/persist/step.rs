//! One taskset made durable. Each step may be repeated.

use crate::db::{self, Database};
use crate::disk::Room;
use crate::history::{self, Saved};
use crate::key::{self, TasksetKey};
use crate::log_store::Folder;
use crate::stat::totals;
use crate::store::{Stopped, Store};
use crate::taskset::Record;
use crate::{crash, disk, estimate, exit, notify, out, queue, record, say, stop, time};
use std::time::{Duration, Instant};

/// Seconds that slaves and workers get to finish their logs.
const STRAGGLERS: i64 = 10;
/// How long slaves and workers are left alone before they are asked again.
const AGAIN: Duration = Duration::from_millis(200);
/// Time between two attempts; it doubles from one to the next.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
/// Well below the time after which systemd would think that we hang.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A pause that grows.
pub struct Backoff(Duration);

impl Backoff {
    pub fn new() -> Self {
        Self(SHORTEST_PAUSE)
    }

    /// Says what went wrong, and pauses unless somebody wants us to stop.
    pub fn pause(&mut self, error: &anyhow::Error) {
        say::line(&format!(
            "rrr-persist: {error:#}; trying again in {:?}",
            self.0
        ));
        stop::sleep(self.0);
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}

/// What came of one attempt at a message.
pub enum Attempt {
    /// Its taskset is durable, or there is none.
    Done,
    /// Nothing went wrong that another pause would mend.
    Later,
    /// It is at the tail of the queue.
    Failed(anyhow::Error),
}

/// What came of a message.
enum Done {
    /// It is gone.
    Yes,
    /// The taskset's workers are not done yet.
    NotYet,
}

/// What makes tasksets durable.
pub struct Persister {
    pub store: Store,
    pub url: db::Url,
    /// None after a failure: the next use connects anew.
    pub db: Option<Database>,
    pub folder: Folder,
    pub room: Room,
}

impl Persister {
    /// Opens the database. One that does not answer is tried again until `patience` ends or we are
    /// to stop; what is wrong with it otherwise stays wrong.
    pub fn wait_for_database(&mut self, patience: Option<Duration>) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut backoff = Backoff::new();
        while self.db.is_none() {
            let error = match self.url.open() {
                Ok(db) => {
                    self.db = Some(db);
                    break;
                }
                Err(error) => error,
            };
            let over = patience.is_some_and(|patience| began.elapsed() >= patience);
            if over || !is_away(&error) {
                return Err(error);
            }
            backoff.pause(&error);
            if stop::requested() {
                break;
            }
            // The watchdog is only fed while Redis answers.
            queue::length(&mut self.store, &key::persister_queue())?;
            notify::turn(|| "waiting for the database".to_owned());
        }
        Ok(())
    }

    /// The taskset at the head of the queue; what is none is refused.
    pub fn next(&mut self, wait: f64) -> anyhow::Result<Option<(Vec<u8>, TasksetKey)>> {
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

    /// Handles a message from the head of the queue; one that is to be handled again goes to its
    /// tail, and one that has failed `bound` times while the database answered to the dead list.
    pub fn attempt(
        &mut self,
        taskset: &TasksetKey,
        message: &[u8],
        bound: u32,
    ) -> anyhow::Result<Attempt> {
        let queue = key::persister_queue();
        match self.handle(taskset, message) {
            Ok(Done::Yes) => Ok(Attempt::Done),
            Ok(Done::NotYet) => {
                queue::rotate(&mut self.store, &queue, message)?;
                stop::sleep(AGAIN);
                Ok(Attempt::Later)
            }
            Err(error) if db::is_busy(&error) => {
                // Another one is at it. What it has written is no left-over: to clear it away would
                // take its record from it, and it ours the next time.
                queue::rotate(&mut self.store, &queue, message)?;
                Ok(Attempt::Failed(
                    error.context("another persister is at work"),
                ))
            }
            Err(error) => {
                let error = self.recover(taskset, error)?;
                if let Some(count) = self.is_hopeless(taskset, &error, bound)? {
                    self.give_up(taskset, message, count, &error)?;
                    return Ok(Attempt::Later);
                }
                queue::rotate(&mut self.store, &queue, message)?;
                Ok(Attempt::Failed(error))
            }
        }
    }

    /// Makes a taskset durable, lets it go, and only then takes its message away.
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
        // Less than 0: the clocks differ (C12).
        if (0..STRAGGLERS).contains(&age) && record::open_worker_logs(store, taskset)? > 0 {
            return Ok(Done::NotYet);
        }
        if !record::is_marked(store, taskset)? {
            let db = match &mut self.db {
                Some(db) => db,
                none => none.insert(self.url.open()?),
            };
            // The disk that has just been full enough is left alone; a long save is no hang.
            let mut between = || {
                notify::turn(|| format!("persisting {taskset}"));
                self.room.check()
            };
            between()?;
            history::set_aside(db, taskset, state.get("created_at").unwrap_or(""))?;
            let saved = history::save(store, db, &self.folder, taskset, &mut between)?;
            estimate::publish(store, db, taskset)?;
            crash::point();
            tell(db, &self.folder, taskset, &state, saved)?;
            record::mark(store, taskset, &totals::of(db, taskset)?)?;
            crash::point();
        }
        record::expire(store, taskset)?;
        crash::point();
        record::release(store, taskset, message)?;
        crash::point();
        Ok(Done::Yes)
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
            say::line(&format!("rrr-persist: {second:#}"));
        }
        Ok(error)
    }

    /// After a failure: the number of attempts, if it has reached `bound`. A database that is away
    /// and a disk that is full are nobody's fault: they are waited for without a bound.
    ///
    /// The count stands in Redis, so that neither a restart nor the next --drain begins anew.
    fn is_hopeless(
        &mut self,
        taskset: &TasksetKey,
        error: &anyhow::Error,
        bound: u32,
    ) -> anyhow::Result<Option<u32>> {
        let away = self.db.is_none() || is_away(error);
        if away || disk::is_full(error) || db::is_full(error) {
            return Ok(None);
        }
        let count = record::count_attempt(&mut self.store, taskset)?;
        Ok((count >= bound).then_some(count))
    }

    /// Gives a taskset up: its message goes to the dead list, and may be revived with a new count.
    fn give_up(
        &mut self,
        taskset: &TasksetKey,
        message: &[u8],
        count: u32,
        error: &anyhow::Error,
    ) -> anyhow::Result<()> {
        record::forget_attempts(&mut self.store, taskset)?;
        let reason = format!("failed {count} times: {error:#}");
        queue::refuse(&mut self.store, &key::persister_queue(), message, &reason)
    }
}

/// Whether the database could not be opened; it may be back by now.
fn is_away(error: &anyhow::Error) -> bool {
    let failure = error.downcast_ref::<exit::Failure>();
    failure.is_some_and(|failure| failure.code == exit::UNAVAILABLE)
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
    out::json_line(&line)
}
