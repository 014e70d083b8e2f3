//! rrr-watch: shows a taskset that was submitted elsewhere, from its first event to its last.

use crate::cli::redis_args::RedisArgs;
use crate::entity::taskset::lookup;
use crate::protocol::taskset_ref::TasksetRef;
use crate::show::follow::{self, Follow, OnInterrupt};
use crate::show::view::{self, Background, ViewArgs};
use std::time::Duration;

/// Watches a taskset until it finishes, and exits with its verdict
#[derive(clap::Parser)]
#[command(name = "rrr-watch", version)]
pub struct Options {
    /// The taskset to watch
    #[arg(value_name = "KEY")]
    taskset: TasksetRef,
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
    let taskset = lookup::find(&mut store, &options.taskset)?;
    follow::load(&mut store, &taskset)?;
    let follow = Follow {
        taskset: &taskset,
        limit: options.timeout.map(Duration::from_secs),
        on_interrupt: OnInterrupt::Leave,
    };
    let background = Background::submitted(&taskset, "");
    let mut sink = view::open(&mut store, &taskset, &options.view, background)?;
    follow::to_the_end(&mut store, &follow, sink.as_mut())
}
