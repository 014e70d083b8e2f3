//! Which daemons are at work: each says so now and then, for `rrr-stat`. Nothing depends on it.
//!
//! Written by rrr-arbiter, rrr-dispatch and rrr-persist (not by a `--drain`); read by rrr-stat.

use crate::key;
use crate::store::Store;
use std::time::{Duration, Instant};

/// Seconds of silence after which a role counts as absent.
pub const LIFE_SEC: u64 = 60;
const EVERY: Duration = Duration::from_secs(LIFE_SEC / 6);

/// What one daemon has said.
pub struct Presence {
    role: &'static str,
    last: Option<Instant>,
}

impl Presence {
    /// Of the role called `role`, which has said nothing yet.
    pub fn of(role: &'static str) -> Self {
        Self { role, last: None }
    }

    /// Says that it is at work, if that is due: to be called at each turn of the work loop.
    pub fn tell(&mut self, store: &mut Store) -> anyhow::Result<()> {
        if self.last.is_some_and(|last| last.elapsed() < EVERY) {
            return Ok(());
        }
        store.call(|c, _| {
            redis::cmd("SET")
                .arg(key::role(self.role))
                .arg(env!("CARGO_PKG_VERSION"))
                .arg("EX")
                .arg(LIFE_SEC)
                .query::<()>(c)
        })?;
        self.last = Some(Instant::now());
        Ok(())
    }
}
