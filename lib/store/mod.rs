//! The connection to Redis: opened once, reopened when it breaks, each outage reported once.

pub mod address;
pub(crate) mod error;
pub(crate) mod observer;
pub(crate) mod read;
pub(crate) mod script;
mod server_check;

use crate::process::exit::{self, failure};
use crate::process::signals;
use crate::store::error::{Refused, Stopped, Trouble, classify, is_interrupted, why};
use address::Address;
use observer::observer;
use redis::{Connection, RedisError};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Seconds that our keys live unless a taskset is persisted before: nothing leaks for ever.
pub const KEY_TTL: u64 = 14 * 24 * 3600;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than any blocking command of ours: a silent peer is a dead one (campaign 5).
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What was read of `of`, or `None` where Redis refuses that, which is reported once: a key of the wrong
/// type is passed over. Any other error is passed on.
pub(crate) fn unless_refused<T>(
    of: impl std::fmt::Display,
    read: Result<T, impl Into<anyhow::Error>>,
) -> anyhow::Result<Option<T>> {
    static REPORTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let error = match read {
        Ok(read) => return Ok(Some(read)),
        Err(error) => error.into(),
    };
    if !error.is::<Refused>() {
        return Err(error);
    }
    let mut reported = REPORTED.lock().unwrap_or_else(PoisonError::into_inner);
    if reported.insert(of.to_string()) {
        observer().note(&format!("passing over {of}: {error}"));
    }
    Ok(None)
}

/// A Redis that answers, or will again.
pub struct Store {
    address: Address,
    connection: Option<Connection>,
    patience: Option<Duration>,
    /// How long an answer may take before the connection counts as dead.
    answer: Duration,
}

/// One call's wait for a Redis that went away.
#[derive(Default)]
struct Outage {
    attempts: usize,
    since: Option<Instant>,
    reported: bool,
}

impl Store {
    /// Connects; fails at once (exit code 69) when Redis does not answer.
    pub fn connect(address: Address) -> anyhow::Result<Self> {
        let mut store = Self {
            address,
            connection: None,
            patience: None,
            answer: ANSWER_TIMEOUT,
        };
        match store.address.open(ANSWER_TIMEOUT) {
            Ok(connection) => store.connection = Some(connection),
            Err(error) => return Err(store.unreachable(&error).into()),
        }
        Ok(store)
    }

    fn unreachable(&self, error: &RedisError) -> exit::Failure {
        failure(
            exit::UNAVAILABLE,
            format!(
                "cannot connect to '{}': {}",
                self.address.shown(),
                why(error)
            ),
        )
        .hint(address::hint(error))
    }

    /// Bounds [`Store::call`] as a tool does that somebody waits for: 10 s; through Sentinels 60 s,
    /// since by their defaults it takes them 30 s to see that a master is down.
    pub(crate) fn wait_briefly(&mut self) {
        let seconds = if self.address.has_sentinels() { 60 } else { 10 };
        self.set_patience(Duration::from_secs(seconds));
    }

    /// Bounds how long [`Store::call`] waits for a Redis that went away; without it, for ever.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = Some(patience);
    }

    /// A second connection to the same Redis, made when first used, and given up when an answer
    /// takes longer than `answer`.
    pub(crate) fn sibling(&self, answer: Duration) -> Self {
        Self {
            address: self.address.clone(),
            connection: None,
            patience: self.patience,
            answer,
        }
    }

    /// Does `work` on the connection. When Redis goes away it says so once, waits with backoff and
    /// does it again, so `work` must be safe to repeat; it is told which attempt this is (0 first).
    ///
    /// Errors: [`Refused`]; [`Stopped`]; exit code 69 when patience ends, or without the rights.
    pub(crate) fn call<T>(
        &mut self,
        mut work: impl FnMut(&mut Connection, usize) -> redis::RedisResult<T>,
    ) -> anyhow::Result<T> {
        let mut outage = Outage::default();
        loop {
            match self.attempt(&mut work, outage.attempts) {
                Ok(done) => {
                    observer().answered();
                    if outage.reported {
                        observer().back(self.address.shown());
                    }
                    return Ok(done);
                }
                Err(error) => self.endure(&mut outage, &error)?,
            }
            outage.attempts += 1;
        }
    }

    /// Does `work` once; a connection on which it failed is dropped.
    fn attempt<T>(
        &mut self,
        work: &mut impl FnMut(&mut Connection, usize) -> redis::RedisResult<T>,
        attempt: usize,
    ) -> redis::RedisResult<T> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.address.open(self.answer)?,
        };
        let done = work(&mut connection, attempt)?;
        self.connection = Some(connection);
        Ok(done)
    }

    /// Waits before the next attempt.
    ///
    /// Errors: why there is no next attempt.
    fn endure(&self, outage: &mut Outage, error: &RedisError) -> anyhow::Result<()> {
        match classify(error) {
            Trouble::Passing => {}
            Trouble::Forbidden => return Err(self.unreachable(error).into()),
            Trouble::Refused => {
                let address = self.address.shown();
                return Err(Refused(format!("Redis at '{address}' refused: {error}")).into());
            }
        }
        let since = *outage.since.get_or_insert_with(Instant::now);
        let first = outage.attempts == 0;
        // The first break is often just a closed idle connection: not worth a report yet. A wait that
        // a signal has broken is not a loss at all.
        if !first && !outage.reported && !is_interrupted(error) {
            outage.reported = true;
            observer().lost(self.address.shown(), &why(error));
        }
        if self
            .patience
            .is_some_and(|patience| since.elapsed() > patience)
        {
            return Err(self.unreachable(error).into());
        }
        if signals::requested() && outage.attempts > 2 {
            return Err(Stopped.into());
        }
        if !first {
            let pause = Duration::from_millis(25 << outage.attempts.min(6));
            if signals::requested() {
                std::thread::sleep(pause);
            } else {
                signals::sleep_through(pause);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_interrupted_by_a_signal_is_not_a_lost_connection() {
        let error = |kind| RedisError::from(std::io::Error::from(kind));
        assert!(is_interrupted(&error(std::io::ErrorKind::Interrupted)));
        assert!(!is_interrupted(&error(
            std::io::ErrorKind::ConnectionRefused
        )));
    }
}
