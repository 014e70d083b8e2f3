//! rrr-cancel: asks the arbiter to cancel tasksets.

use crate::cli::redis_args::RedisArgs;
use crate::entity::taskset::{self, Record, lookup};
use crate::process::exit;
use crate::process::stderr::say;
use crate::protocol::taskset_ref::TasksetRef;
use crate::store;

/// Cancels tasksets
#[derive(clap::Parser)]
#[command(name = "rrr-cancel", version)]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub struct Options {
    #[command(flatten)]
    redis: RedisArgs,
    /// The taskset to cancel
    #[arg(value_name = "KEY", group = "which")]
    taskset: Option<TasksetRef>,
    /// Cancel every active taskset
    #[arg(long, group = "which")]
    all: bool,
    /// Cancel the active tasksets of this rsync name
    #[arg(long, value_name = "N", group = "which")]
    rsync_name: Option<String>,
}

/// Runs the tool.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let mut store = options.redis.connect()?;
    store.wait_briefly();
    if options.all {
        // One message per taskset: arbiters of other implementations do not know the one for all.
        for taskset in taskset::active(&mut store)? {
            taskset::request_cancel(&mut store, &taskset)?;
        }
    } else if let Some(wanted) = &options.taskset {
        let taskset = &lookup::find(&mut store, wanted)?;
        let record = Record::load(&mut store, taskset)?.ok_or_else(|| {
            exit::usage(format!("taskset '{taskset}' does not exist"))
                .hint("rrr-list tasksets lists the tasksets in Redis")
        })?;
        match record.status().filter(|status| status.is_final()) {
            // Not an error: nothing of the taskset runs.
            Some(status) => say!(
                "taskset '{taskset}' has already finished ({})",
                status.as_str()
            ),
            None => taskset::request_cancel(&mut store, taskset)?,
        }
    } else if let Some(name) = &options.rsync_name {
        let mut found = false;
        for taskset in taskset::active(&mut store)? {
            let record = store::unless_refused(&taskset, Record::load(&mut store, &taskset))?;
            if record
                .flatten()
                .is_some_and(|record| record.rsync_name() == name)
            {
                taskset::request_cancel(&mut store, &taskset)?;
                found = true;
            }
        }
        if !found {
            return Err(exit::failure(
                exit::NOTHING,
                format!("no active taskset has the rsync name '{name}'"),
            )
            .hint("rrr-list tasksets shows the active ones")
            .into());
        }
    }
    Ok(exit::OK)
}
