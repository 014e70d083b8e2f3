//! Makes one taskset durable. Each step is safe to repeat.

use crate::archive::db::{self, Database};
use crate::archive::history::{self, Saved};
use crate::archive::log_dir::LogDir;
use crate::archive::{document, estimate, totals};
use crate::entity::queue;
use crate::entity::taskset::Record;
use crate::process::disk_space::{self, Room};
use crate::process::{crash_point, exit, signals, stderr, stdout, systemd};
use crate::protocol::key::{self, TasksetKey};
use crate::protocol::taskset_field as field;
use crate::protocol::time;
use crate::store::Store;
use crate::store::error::Stopped;
use std::time::{Duration, Instant};

/// Seconds for which slaves and workers may finish their logs.
const STRAGGLERS: i64 = 10;
/// Interval between checks of slaves and workers.
const AGAIN: Duration = Duration::from_millis(200);
/// Initial time between two attempts; it doubles each time.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
/// Well below the time after which systemd considers the process hung.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A growing pause between attempts.
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(SHORTEST_PAUSE)
    }

    /// Reports the error, and pauses unless a stop was requested.
    pub(crate) fn pause(&mut self, error: &anyhow::Error) {
        stderr::line(&format!(
            "rrr-persist: {error:#}; trying again in {:?}",
            self.0
        ));
        signals::sleep(self.0);
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}

/// The outcome of one attempt at a message.
pub(crate) enum Attempt {
    /// The taskset is durable, or does not exist.
    Done,
    /// Nothing failed; the message is handled again after a pause.
    Later,
    /// The attempt failed; the message is at the tail of the queue.
    Failed(anyhow::Error),
}

/// The outcome of handling a message.
enum Done {
    /// The message is removed.
    Yes,
    /// The taskset's workers have not finished.
    NotYet,
}

/// The connections and folders with which tasksets are made durable.
pub(crate) struct Persister {
    pub store: Store,
    pub url: db::Url,
    /// None after a failure: the next use reconnects.
    pub db: Option<Database>,
    pub folder: LogDir,
    pub room: Room,
}

impl Persister {
    /// Opens the database. If it does not answer, opening is retried until `patience` ends or a
    /// stop is requested; other errors are returned at once.
    pub(crate) fn wait_for_database(&mut self, patience: Option<Duration>) -> anyhow::Result<()> {
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
            if signals::requested() {
                break;
            }
            // The watchdog is only fed while Redis answers.
            queue::length(&mut self.store, &key::persister_queue())?;
            systemd::turn(|| "waiting for the database".to_owned());
        }
        Ok(())
    }

    /// The taskset at the head of the queue; a message that is not a taskset key is refused.
    pub(crate) fn next(&mut self, wait: f64) -> anyhow::Result<Option<(Vec<u8>, TasksetKey)>> {
        let queue = key::persister_queue();
        while let Some(message) = queue::peek(&mut self.store, &queue, 1, wait)?.pop() {
            match String::from_utf8_lossy(&message).parse() {
                Ok(taskset) => return Ok(Some((message, taskset))),
                Err(_) => {
                    queue::bury(&mut self.store, &queue, &message, "not a taskset key")?;
                }
            }
        }
        Ok(None)
    }

    /// Handles a message from the head of the queue. If it must be handled again, it goes to the
    /// tail of the queue; if it has failed `bound` times while the database answered, to the dead
    /// list.
    pub(crate) fn attempt(
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
                signals::sleep(AGAIN);
                Ok(Attempt::Later)
            }
            Err(error) if db::is_busy(&error) => {
                // Another persister is saving it, and its files are not left-overs: removing them
                // would destroy its record, and it would do the same to this one next time.
                queue::rotate(&mut self.store, &queue, message)?;
                Ok(Attempt::Failed(
                    error.context("another persister is saving it"),
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

    /// Makes a taskset durable, expires its keys, and only then removes its message.
    fn handle(&mut self, taskset: &TasksetKey, message: &[u8]) -> anyhow::Result<Done> {
        let (store, queue) = (&mut self.store, key::persister_queue());
        let Some(state) = Record::load(store, taskset)? else {
            queue::pop(store, &queue, &[message.to_vec()])?;
            return Ok(Done::Yes);
        };
        if !state.status().is_some_and(|status| status.is_final()) {
            queue::bury(store, &queue, message, "the taskset has not finished")?;
            return Ok(Done::Yes);
        }
        let finished = state.get(field::FINISHED_AT).and_then(time::parse);
        let age = finished.map_or(i64::MAX, |at| time::unix_ms() / 1000 - at.timestamp());
        // Negative: the clocks differ (C12).
        if (0..STRAGGLERS).contains(&age) && document::open_worker_logs(store, taskset)? > 0 {
            return Ok(Done::NotYet);
        }
        if !document::is_marked(store, taskset)? {
            let db = match &mut self.db {
                Some(db) => db,
                none => none.insert(self.url.open()?),
            };
            // A disk that had enough space a moment ago is not checked again; a long save is not a
            // hang.
            let mut between = || {
                systemd::turn(|| format!("persisting {taskset}"));
                self.room.check()
            };
            between()?;
            history::set_aside(db, taskset, state.get(field::CREATED_AT).unwrap_or(""))?;
            let saved = history::save(store, db, &self.folder, taskset, &mut between)?;
            estimate::publish(store, db, taskset)?;
            crash_point::point();
            tell(db, &self.folder, taskset, &state, saved)?;
            document::mark(store, taskset, &totals::of(db, taskset)?)?;
            crash_point::point();
        }
        document::expire(store, taskset)?;
        crash_point::point();
        document::release(store, taskset, message)?;
        crash_point::point();
        Ok(Done::Yes)
    }

    /// Recovers from a failure: reconnects to the database, to find out whether it is the cause,
    /// and removes partial files. Returns the error, unless the process should stop.
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
            // The next attempt finds it again.
            stderr::line(&format!("rrr-persist: {second:#}"));
        }
        Ok(error)
    }

    /// After a failure: the number of attempts, if it has reached `bound`. An unreachable database
    /// or a full disk does not count against the taskset: it is waited for without a limit.
    ///
    /// The count is in Redis, so that a restart or the next --drain does not reset it.
    fn is_hopeless(
        &mut self,
        taskset: &TasksetKey,
        error: &anyhow::Error,
        bound: u32,
    ) -> anyhow::Result<Option<u32>> {
        let away = self.db.is_none() || is_away(error);
        if away || disk_space::is_full(error) || db::is_full(error) {
            return Ok(None);
        }
        let count = document::count_attempt(&mut self.store, taskset)?;
        Ok((count >= bound).then_some(count))
    }

    /// Gives up on a taskset: its message goes to the dead list, and can be requeued with a new
    /// count.
    fn give_up(
        &mut self,
        taskset: &TasksetKey,
        message: &[u8],
        count: u32,
        error: &anyhow::Error,
    ) -> anyhow::Result<()> {
        document::forget_attempts(&mut self.store, taskset)?;
        let reason = format!("failed {count} times: {error:#}");
        queue::bury(&mut self.store, &key::persister_queue(), message, &reason)
    }
}

/// Whether the database could not be opened; it may be reachable again by now.
fn is_away(error: &anyhow::Error) -> bool {
    let failure = error.downcast_ref::<exit::Failure>();
    failure.is_some_and(|failure| failure.code == exit::UNAVAILABLE)
}

/// Prints one JSON line for a taskset. It is printed before the mark: after a persister was killed
/// in between, it is printed `again`.
fn tell(
    db: &mut Database,
    folder: &LogDir,
    taskset: &TasksetKey,
    state: &Record,
    saved: Saved,
) -> anyhow::Result<()> {
    let file = history::log_file(db, taskset)?;
    let mut line = serde_json::json!({
        "time": time::rfc3339(time::unix_ms()),
        "persisted": taskset,
        "status": state.get(field::STATUS),
        "file": file.map(|file| folder.path(&file)),
    });
    if saved == Saved::Before {
        line["again"] = true.into();
    }
    stdout::json_line(&line)
}
