//! Heartbeats: how long workers and slaves may be silent before they count as dead.

use std::time::Duration;

/// Default lifetime of a heartbeat in seconds.
pub(crate) const DEFAULT_SEC: u64 = 15;

/// The setting that a worker passes to its slaves.
#[derive(Clone, Debug, clap::Args)]
pub struct Heartbeat {
    /// Heartbeat timeout in seconds
    #[arg(
        id = "heartbeat",
        long = "heartbeat",
        value_name = "SEC",
        default_value_t = DEFAULT_SEC,
        env = Self::VARIABLE,
        hide_short_help = true,
        value_parser = clap::value_parser!(u64).range(3..=3600)
    )]
    ttl_sec: u64,
}

impl Default for Heartbeat {
    fn default() -> Self {
        let ttl_sec = DEFAULT_SEC;
        Self { ttl_sec }
    }
}

impl Heartbeat {
    /// The environment variable of the setting.
    pub(crate) const VARIABLE: &str = "RRR_HEARTBEAT";

    /// Lifetime of the key after each beat, in seconds.
    pub(crate) fn ttl_sec(&self) -> u64 {
        self.ttl_sec
    }

    /// The interval between beats: a third of the lifetime, so that two may be missed.
    pub fn beat(&self) -> Duration {
        Duration::from_secs(self.ttl_sec) / 3
    }

    /// Maximum time for which the heartbeat thread waits for news: half an interval, so that an
    /// answer that takes longer than a whole one counts as lost.
    pub fn listen(&self) -> Duration {
        (self.beat() / 2).min(Duration::from_secs(2))
    }
}
