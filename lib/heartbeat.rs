//! Heartbeats: how long workers and slaves may be silent before they are taken for dead.

use std::time::Duration;

/// Seconds that a heartbeat stands unless somebody wants it otherwise.
pub const DEFAULT_SEC: u64 = 15;

/// The setting that a worker hands to its slaves.
#[derive(Clone, Debug, clap::Args)]
pub struct Heartbeat {
    /// Seconds of silence that mean death
    #[arg(
        id = "heartbeat",
        long = "heartbeat",
        value_name = "SEC",
        default_value_t = DEFAULT_SEC,
        env = Self::VARIABLE,
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
    pub const VARIABLE: &str = "RRR_HEARTBEAT";

    /// Seconds that the key stands after each beat.
    pub fn ttl_sec(&self) -> u64 {
        self.ttl_sec
    }

    /// Time between beats: a third of their life, so that two may be missed.
    pub fn beat(&self) -> Duration {
        Duration::from_secs(self.ttl_sec) / 3
    }

    /// Longest time the thread that beats may wait for news: half a beat, so that an answer that
    /// does not come within a whole one is lost.
    pub fn listen(&self) -> Duration {
        (self.beat() / 2).min(Duration::from_secs(2))
    }
}
