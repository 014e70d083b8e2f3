//! Follows a taskset to its end through its events. They are read from the first, so that a
//! follower that attaches late or twice sees the same.

use crate::entity::event_stream::{self, START};
use crate::entity::taskset::{self, QueueLengths, Record};
use crate::process::{exit, signals, stderr, stdout};
use crate::protocol::event::Event;
use crate::protocol::key::TasksetKey;
use crate::protocol::status::TasksetStatus;
use crate::protocol::taskset_field as field;
use crate::show::waiting::standing;
use crate::store::Store;
use std::time::{Duration, Instant};

/// A consumer of the events.
pub(crate) trait Sink {
    /// Handles one event and its time (milliseconds since 1970, by Redis' clock).
    fn event(&mut self, store: &mut Store, unix_ms: i64, event: &Event) -> anyhow::Result<()>;

    /// Called when there are no more events for now, at least every [`TICK`].
    fn tick(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    /// Shows the reason for a wait; `None` once the taskset makes progress again.
    fn waiting(&mut self, what: Option<&str>) {
        if let Some(what) = what {
            self.say(what);
        }
    }

    /// Shows a message of the follower.
    fn say(&mut self, what: &str) {
        stderr::line(what);
    }
}

/// The effect of Ctrl-C (and SIGTERM) on the taskset; the second one always ends the following.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnInterrupt {
    /// The taskset was submitted here: cancel it.
    Cancel,
    /// The taskset is only watched: leave it alone.
    Leave,
}

/// The settings for following a taskset.
pub(crate) struct Follow<'a> {
    pub taskset: &'a TasksetKey,
    /// Maximum time to follow (exit code 124).
    pub limit: Option<Duration>,
    pub on_interrupt: OnInterrupt,
}

/// Maximum time between two calls of the sink.
pub(crate) const TICK: Duration = Duration::from_millis(200);
/// Minimum time between two reads: events arrive in bursts, and one read takes them all.
const GATHER: Duration = Duration::from_millis(10);
/// Time without progress before the reason for the wait is looked up, and looked up again.
pub(crate) const QUIET: Duration = Duration::from_secs(3);

/// Shows each event to `sink` until the taskset ends; returns the exit code of its verdict.
pub(crate) fn to_the_end(
    store: &mut Store,
    follow: &Follow,
    sink: &mut dyn Sink,
) -> anyhow::Result<u8> {
    let mut following = Following {
        store,
        follow,
        sink,
        began: Instant::now(),
        after: START.to_owned(),
        cancelled: false,
        quiet_since: Instant::now(),
        waits: None,
    };
    loop {
        if let Some(code) = following.turn()? {
            return Ok(code);
        }
    }
}

/// The state of following a taskset.
struct Following<'a> {
    store: &'a mut Store,
    follow: &'a Follow<'a>,
    sink: &'a mut dyn Sink,
    began: Instant,
    /// The id of the last entry that was read.
    after: String,
    cancelled: bool,
    quiet_since: Instant,
    /// The reason for the wait that the sink shows.
    waits: Option<String>,
}

impl Following<'_> {
    /// One turn: handles interrupts and shows the next events. Returns the exit code at the end.
    fn turn(&mut self) -> anyhow::Result<Option<u8>> {
        if stdout::is_closed() {
            return Ok(Some(exit::PIPE_CLOSED));
        }
        if let Some(code) = self.heed_interrupts()? {
            return Ok(Some(code));
        }
        let spent = self.began.elapsed();
        let left = self.follow.limit.map(|limit| limit.saturating_sub(spent));
        if left == Some(Duration::ZERO) {
            return Err(not_ended(self.store, self.follow).into());
        }
        let wait = left
            .map_or(TICK, |left| left.min(TICK))
            .max(Duration::from_millis(1));
        let taskset = self.follow.taskset;
        let entries = self.store.blocking_call(wait, |c, _| {
            event_stream::read(c, taskset, &mut self.after, wait.as_millis() as usize)
        })?;
        for entry in &entries {
            for event in &entry.events {
                if let Some(code) = self.show(entry.unix_ms, event)? {
                    return Ok(Some(code));
                }
            }
        }
        self.sink.tick()?;
        if entries.is_empty() {
            return self.look_at_hash();
        }
        self.quiet_since = Instant::now();
        if self.waits.take().is_some() {
            self.sink.waiting(None);
        }
        signals::sleep(GATHER);
        Ok(None)
    }

    /// Cancels the taskset, or stops following it.
    fn heed_interrupts(&mut self) -> anyhow::Result<Option<u8>> {
        let leave = self.follow.on_interrupt == OnInterrupt::Leave;
        if signals::count() >= 2 || (signals::requested() && leave) {
            return Ok(Some(signals::signal_code()));
        }
        if signals::requested() && !self.cancelled {
            let taskset = self.follow.taskset;
            self.sink.say(&format!(
                "cancelling '{taskset}' (press Ctrl-C again to exit)"
            ));
            taskset::request_cancel(self.store, taskset)?;
            self.cancelled = true;
        }
        Ok(None)
    }

    /// Shows one event; returns the exit code if it is the confirmed receipt.
    fn show(&mut self, unix_ms: i64, event: &Event) -> anyhow::Result<Option<u8>> {
        if !matches!(event, Event::TasksetFinished { .. }) {
            self.sink.event(self.store, unix_ms, event)?;
            return Ok(None);
        }
        let Some((status, event)) = confirm(self.store, self.follow.taskset, event)? else {
            return Ok(None);
        };
        self.sink.event(self.store, unix_ms, &event)?;
        Ok(Some(verdict(status)))
    }

    /// Looks at the taskset's hash when there are no events: it may have been finished by another
    /// implementation, which writes none, and a long wait has a reason.
    fn look_at_hash(&mut self) -> anyhow::Result<Option<u8>> {
        let taskset = self.follow.taskset;
        let Some(record) = Record::load(self.store, taskset)? else {
            return Err(gone(taskset, self.after != START).into());
        };
        if let Some(status) = record.status().filter(|status| status.is_final()) {
            let mut after = self.after.clone();
            let late = self
                .store
                .call(|c, _| event_stream::read(c, taskset, &mut after, 1))?;
            if !late.is_empty() {
                return Ok(None);
            }
            let left = QueueLengths::load(self.store, taskset)?.left as u64;
            let receipt = receipt(&record, status, left);
            self.sink
                .event(self.store, crate::protocol::time::unix_ms(), &receipt)?;
            return Ok(Some(verdict(status)));
        }
        if self.quiet_since.elapsed() > QUIET {
            self.quiet_since = Instant::now();
            let now = standing(self.store, taskset, &record)?;
            if now != self.waits {
                self.sink.waiting(now.as_deref());
                self.waits = now;
            }
        }
        Ok(None)
    }
}

/// Reads the taskset's hash; without one there is nothing to follow.
pub(crate) fn load(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<Record> {
    Record::load(store, taskset)?.ok_or_else(|| gone(taskset, false).into())
}

/// The failure for a missing taskset. If it existed a moment ago, Redis has lost it, and its
/// verdict is unknown.
fn gone(taskset: &TasksetKey, seen: bool) -> exit::Failure {
    if seen {
        let message = format!("taskset '{taskset}' disappeared from Redis while it ran");
        return exit::failure(exit::INTERNAL, message)
            .hint("Redis may have been wiped or restored from a backup; submit it again");
    }
    exit::usage(format!("taskset '{taskset}' is not in Redis"))
        .hint("rrr-list tasksets lists the tasksets in Redis; rrr-show KEY reads a persisted one")
}

fn verdict(status: TasksetStatus) -> u8 {
    if stdout::is_closed() {
        exit::PIPE_CLOSED
    } else {
        status.exit_code()
    }
}

/// The verdict of a taskset from its hash, since anyone with access to Redis can forge an event.
/// `None` if the taskset is still running according to the hash.
fn confirm(
    store: &mut Store,
    taskset: &TasksetKey,
    told: &Event,
) -> anyhow::Result<Option<(TasksetStatus, Event)>> {
    let Some(record) = Record::load(store, taskset)? else {
        return Err(gone(taskset, true).into());
    };
    let Some(status) = record.status().filter(|status| status.is_final()) else {
        return Ok(None);
    };
    let counts = |event: &Event| match event {
        Event::TasksetFinished {
            status,
            succeeded,
            failed,
            ..
        } => Some((status.clone(), *succeeded, *failed)),
        _ => None,
    };
    let stored = receipt(&record, status, 0);
    if counts(&stored) == counts(told) {
        return Ok(Some((status, told.clone())));
    }
    let left = QueueLengths::load(store, taskset)?.left as u64;
    Ok(Some((status, receipt(&record, status, left))))
}

/// The receipt of a taskset that was finished without one.
fn receipt(record: &Record, status: TasksetStatus, left: u64) -> Event {
    let (succeeded, failed) = record.counts();
    Event::TasksetFinished {
        status: status.as_str().to_owned(),
        tasks: succeeded + failed + left,
        succeeded,
        failed,
        not_run: left,
        flaky: record.number(field::FLAKY_COUNT).unwrap_or(0),
        fail_reason: record.fail_reason().map(str::to_owned),
    }
}

fn not_ended(store: &mut Store, follow: &Follow) -> exit::Failure {
    let taskset = follow.taskset;
    let seconds = follow.limit.unwrap_or_default().as_secs();
    let why = Record::load(store, taskset)
        .ok()
        .flatten()
        .and_then(|record| standing(store, taskset, &record).ok().flatten());
    let hint = format!("the taskset continues: rrr-watch {taskset}, or rrr-cancel {taskset}");
    let message = format!("taskset '{taskset}' has not finished within {seconds} s");
    exit::failure(
        exit::TIMED_OUT,
        why.map_or(message.clone(), |why| format!("{message}: {why}")),
    )
    .hint(hint)
}
