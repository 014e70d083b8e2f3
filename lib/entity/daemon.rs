//! Presence of daemons: each reports periodically that it is running, for `rrr-stat`. Nothing else
//! depends on it.
//!
//! Written by rrr-arbiter, rrr-dispatch and rrr-persist (not with `--drain`); read by rrr-stat.

use crate::protocol::key;
use crate::store::Store;
use std::time::{Duration, Instant};

/// Seconds without a report after which a role counts as absent.
pub(crate) const LIFE_SEC: u64 = 60;
const EVERY: Duration = Duration::from_secs(LIFE_SEC / 6);

/// The presence of one daemon.
pub(crate) struct Presence {
    role: &'static str,
    last: Option<Instant>,
}

impl Presence {
    /// The presence of the role called `role`, before its first report.
    pub(crate) fn of(role: &'static str) -> Self {
        Self { role, last: None }
    }

    /// Reports the presence if a report is due; called at each turn of the work loop.
    pub(crate) fn tell(&mut self, store: &mut Store) -> anyhow::Result<()> {
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
