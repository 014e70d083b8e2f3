//! The connection to Redis: made once, mended when it breaks, and told about once.

pub mod address;
pub mod error;
pub mod read;
pub mod script;

use crate::process::exit::{self, failure};
use crate::process::{signals, stderr, systemd};
use crate::store::error::{Refused, Stopped, is_forbidden, is_interrupted, is_passing, why};
use address::Address;
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
pub fn unless_refused<T>(
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
        stderr::line(&format!("passing over {of}: {error}"));
    }
    Ok(None)
}

/// A Redis that answers, or will again.
pub struct Store {
    address: Address,
    connection: Option<Connection>,
    patience: Option<Duration>,
    /// How long an answer may take until the connection is taken for dead.
    answer: Duration,
}

/// Refusals of a Redis that is not itself just now.
pub(crate) const PASSING: [&str; 10] = [
    "BUSY",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "NOSCRIPT",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "UNBLOCKED",
];

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
    pub fn wait_briefly(&mut self) {
        let seconds = if self.address.has_sentinels() { 60 } else { 10 };
        self.set_patience(Duration::from_secs(seconds));
    }

    /// Bounds how long [`Store::call`] waits for a Redis that went away; without it, for ever.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = Some(patience);
    }

    /// A second connection to the same Redis, made when first used, and given up when an answer
    /// takes longer than `answer`.
    pub fn sibling(&self, answer: Duration) -> Self {
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
    pub fn call<T>(
        &mut self,
        mut work: impl FnMut(&mut Connection, usize) -> redis::RedisResult<T>,
    ) -> anyhow::Result<T> {
        let mut attempt = 0;
        let mut lost: Option<Instant> = None;
        let mut told = false;
        loop {
            let result = match self.connection.take() {
                Some(connection) => Ok(connection),
                None => self.address.open(self.answer),
            }
            .and_then(|mut connection| {
                let done = work(&mut connection, attempt)?;
                self.connection = Some(connection);
                Ok(done)
            });
            let error = match result {
                Ok(done) => {
                    systemd::answered();
                    if told {
                        stderr::line(&format!("Redis at '{}' is back", self.address.shown()));
                    }
                    return Ok(done);
                }
                Err(error) => error,
            };
            if !is_passing(&error) {
                return Err(if is_forbidden(&error) {
                    self.unreachable(&error).into()
                } else {
                    Refused(format!(
                        "Redis at '{}' refused: {error}",
                        self.address.shown()
                    ))
                    .into()
                });
            }
            let since = *lost.get_or_insert_with(Instant::now);
            // The first break is often just a closed idle connection: say nothing yet. A wait that
            // a signal has broken is no loss at all.
            if attempt > 0 && !told && !is_interrupted(&error) {
                told = true;
                stderr::line(&format!(
                    "lost Redis at '{}' ({}): waiting for it",
                    self.address.shown(),
                    why(&error)
                ));
            }
            if self
                .patience
                .is_some_and(|patience| since.elapsed() > patience)
            {
                return Err(self.unreachable(&error).into());
            }
            if signals::requested() && attempt > 2 {
                return Err(Stopped.into());
            }
            if attempt > 0 {
                let pause = Duration::from_millis(25 << attempt.min(6));
                if signals::requested() {
                    std::thread::sleep(pause);
                } else {
                    signals::sleep_through(pause);
                }
            }
            attempt += 1;
        }
    }

    /// Refuses a Redis that is too old, or that would throw keys away when memory is short: a test
    /// runner that loses keys lies (F1).
    pub fn check_server(&mut self) -> anyhow::Result<()> {
        let info: String = self.call(|c, _| {
            redis::pipe()
                .cmd("INFO")
                .arg("server")
                .cmd("INFO")
                .arg("memory")
                .query::<(String, String)>(c)
                .map(|(server, memory)| server + &memory)
        })?;
        let field = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(|value| value.trim().to_owned())
        };
        if let Some(policy) = field("maxmemory_policy")
            && policy != "noeviction"
        {
            return Err(failure(
                exit::USAGE,
                format!(
                    "Redis at '{}' has maxmemory-policy '{policy}' and may drop keys",
                    self.address.shown()
                ),
            )
            .hint("run: redis-cli config set maxmemory-policy noeviction")
            .into());
        }
        let version = field("redis_version").unwrap_or_default();
        let mut parts = version
            .split('.')
            .map(|part| part.parse::<u32>().unwrap_or(0));
        let known = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if known.0 > 0 && known < (6, 2) {
            return Err(failure(
                exit::USAGE,
                format!(
                    "Redis at '{}' is version {version}; 6.2 or later is needed",
                    self.address.shown()
                ),
            )
            .hint("upgrade it, or pass --redis with the URL of another")
            .into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_a_signal_has_broken_is_no_loss() {
        let error = |kind| RedisError::from(std::io::Error::from(kind));
        assert!(is_interrupted(&error(std::io::ErrorKind::Interrupted)));
        assert!(!is_interrupted(&error(
            std::io::ErrorKind::ConnectionRefused
        )));
    }
}
