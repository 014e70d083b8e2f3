//! rrr-watch: shows a taskset that was submitted elsewhere, from its first event to its last.

use crate::cli::redis_args::RedisArgs;
use crate::protocol::key::TasksetKey;
use crate::show::follow::{self, Follow, OnInterrupt};
use crate::show::view::{self, ViewArgs};
use std::time::Duration;

/// Watches a taskset until it finishes, and exits with its verdict
#[derive(clap::Parser)]
#[command(name = "rrr-watch", version)]
pub struct Options {
    /// The taskset to watch
    #[arg(value_name = "KEY")]
    taskset: TasksetKey,
    /// Give up after SEC seconds (exit code 124); the taskset continues
    #[arg(long, value_name = "SEC")]
    timeout: Option<u64>,
    #[command(flatten)]
    view: ViewArgs,
    #[command(flatten)]
    redis: RedisArgs,
}

/// Runs the tool.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let mut store = options.redis.connect()?;
    store.wait_briefly();
    follow::load(&mut store, &options.taskset)?;
    let follow = Follow {
        taskset: &options.taskset,
        limit: options.timeout.map(Duration::from_secs),
        on_interrupt: OnInterrupt::Leave,
    };
    let mut sink = view::open(&mut store, &options.taskset, &options.view, true)?;
    follow::to_the_end(&mut store, &follow, sink.as_mut())
}
