//! The connection to Redis: opened once, reopened when it breaks, each outage reported once.

pub mod address;
pub(crate) mod error;
pub(crate) mod observer;
mod pending;
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

/// Lifetime of keys in seconds unless their taskset is persisted before: no key stays forever.
pub const KEY_TTL: u64 = 14 * 24 * 3600;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than any blocking command used here: a silent peer counts as dead (campaign 5).
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum wait for the first replies: what accepts a connection need not be a Redis.
const FIRST_ANSWER: Duration = Duration::from_secs(8);

/// The value that was read for `of`, or `None` if Redis refuses the read, which is reported once: a
/// key of the wrong type is skipped. Any other error is returned.
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
        observer().note(&format!("skipping {of}: {error}"));
    }
    Ok(None)
}

/// A connection to Redis that reconnects after an outage.
pub struct Store {
    address: Address,
    connection: Option<Connection>,
    patience: Option<Duration>,
    /// Maximum wait for a reply before the connection counts as dead.
    answer: Duration,
}

/// Times that a connection is opened again after a signal has interrupted it.
const INTERRUPTIONS: usize = 3;

/// One call's wait for a lost Redis.
#[derive(Default)]
struct Outage {
    attempts: usize,
    since: Option<Instant>,
    reported: bool,
}

impl Store {
    /// Connects; fails at once (exit code 69) if that is impossible.
    pub fn connect(address: Address) -> anyhow::Result<Self> {
        signals::afterwards(pending::interrupt_overdue);
        let mut store = Self {
            address,
            connection: None,
            patience: None,
            answer: ANSWER_TIMEOUT,
        };
        let mut opened = store.address.open(FIRST_ANSWER);
        // A signal that ends this process may take a moment longer than it takes to interrupt the
        // connection.
        for _ in 0..INTERRUPTIONS {
            if opened.as_ref().is_err_and(is_interrupted) {
                std::thread::sleep(Duration::from_millis(20));
                opened = store.address.open(FIRST_ANSWER);
            }
        }
        match opened {
            Ok(connection) => store.connection = Some(connection),
            Err(error) => return Err(store.unreachable(&error).into()),
        }
        Ok(store)
    }

    /// Runs `work`, which must be safe to repeat, as the first call. As [`Store::call`], except that it
    /// fails at once (exit code 69) if the answer is late or is none of a Redis.
    pub(crate) fn first_call<T>(
        &mut self,
        mut work: impl FnMut(&mut Connection, usize) -> redis::RedisResult<T>,
    ) -> anyhow::Result<T> {
        match self.attempt(&mut work, 0) {
            Ok(done) => {
                if let Some(connection) = &self.connection {
                    connection.set_read_timeout(Some(self.answer))?;
                    connection.set_write_timeout(Some(self.answer))?;
                }
                observer().answered();
                Ok(done)
            }
            // A Redis that is loading its data says so, and will answer.
            Err(error) if error.code().is_some() || is_interrupted(&error) => self.call(work),
            Err(error) => Err(self.unreachable(&error).into()),
        }
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

    /// Bounds [`Store::call`] for interactive tools: 10 s; through Sentinels 60 s, since they need
    /// 30 s by default to notice that a master is down.
    pub(crate) fn wait_briefly(&mut self) {
        let seconds = if self.address.has_sentinels() { 60 } else { 10 };
        self.set_patience(Duration::from_secs(seconds));
    }

    /// Bounds the time that [`Store::call`] waits for a lost Redis; by default it waits forever.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = Some(patience);
    }

    /// A second connection to the same Redis, opened at its first use, and dropped when a reply
    /// takes longer than `answer`.
    pub(crate) fn sibling(&self, answer: Duration) -> Self {
        Self {
            address: self.address.clone(),
            connection: None,
            patience: self.patience,
            answer,
        }
    }

    /// Runs `work` on the connection. After an outage, which is reported once, it retries with
    /// backoff, so `work` must be safe to repeat; its argument is the number of the attempt (0
    /// first).
    ///
    /// Errors: [`Refused`]; [`Stopped`], also if Redis is silent after a request to stop; exit code
    /// 69 when patience ends or rights are missing.
    pub(crate) fn call<T>(
        &mut self,
        work: impl FnMut(&mut Connection, usize) -> redis::RedisResult<T>,
    ) -> anyhow::Result<T> {
        self.blocking_call(Duration::ZERO, work)
    }

    /// Runs `work` as [`Store::call`] does; its command itself may block for `blocking`.
    pub(crate) fn blocking_call<T>(
        &mut self,
        blocking: Duration,
        mut work: impl FnMut(&mut Connection, usize) -> redis::RedisResult<T>,
    ) -> anyhow::Result<T> {
        let mut outage = Outage::default();
        loop {
            let pending = pending::Entry::new(blocking);
            match self.attempt(&mut work, outage.attempts) {
                Ok(done) => {
                    pending.answered();
                    observer().answered();
                    if outage.reported {
                        observer().back(self.address.shown());
                    }
                    return Ok(done);
                }
                Err(_) if pending.was_the_last() => return Err(Stopped.into()),
                Err(error) => self.endure(&mut outage, &error)?,
            }
            outage.attempts += 1;
        }
    }

    /// Runs `work` once; a connection on which it failed is dropped.
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
    /// Errors: the reason why there is no next attempt.
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
        // The first failure is often just a closed idle connection and not worth a report. A wait
        // that a signal has interrupted is not an outage.
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
