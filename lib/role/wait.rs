//! rrr-wait: silently waits until a taskset finishes.

use crate::cli::redis_args::RedisArgs;
use crate::entity::taskset::lookup;
use crate::protocol::event::Event;
use crate::protocol::taskset_ref::TasksetRef;
use crate::show::follow::{self, Follow, OnInterrupt, Sink};
use crate::store::Store;
use std::time::Duration;

/// Waits until a taskset finishes, and exits with its verdict
#[derive(clap::Parser)]
#[command(name = "rrr-wait", version)]
pub struct Options {
    /// The taskset to wait for
    #[arg(value_name = "KEY")]
    taskset: TasksetRef,
    /// Give up after SEC seconds (exit code 124); the taskset continues
    #[arg(long, value_name = "SEC")]
    timeout: Option<u64>,
    #[command(flatten)]
    redis: RedisArgs,
}

/// A view that prints nothing.
struct Silent;

impl Sink for Silent {
    fn event(&mut self, _: &mut Store, _: i64, _: &Event) -> anyhow::Result<()> {
        Ok(())
    }
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
    follow::to_the_end(&mut store, &follow, &mut Silent)
}
