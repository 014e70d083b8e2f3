//! rrr-fsck: checks the invariants of all data in Redis, without changing anything.

use crate::cli::redis_args::RedisArgs;
use crate::entity::taskset::{Record, lookup};
use crate::inspect::fsck;
use crate::process::stderr::say;
use crate::process::{exit, stdout};
use crate::protocol::taskset_ref::TasksetRef;
use std::time::Duration;

/// Checks the invariants in Redis; prints one JSON line per violation
#[derive(clap::Parser)]
#[command(name = "rrr-fsck", version)]
pub struct Options {
    #[command(flatten)]
    redis: RedisArgs,
    /// Tasksets to check [default: all, with every key]
    #[arg(value_name = "KEY")]
    tasksets: Vec<TasksetRef>,
    /// Check all tasksets and keys
    #[arg(long, conflicts_with = "tasksets")]
    all: bool,
    /// Seconds before each suspected violation is checked again
    #[arg(long, value_name = "SEC", default_value_t = 2.5)]
    pause: f64,
}

/// Runs the tool.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let pause = Duration::try_from_secs_f64(options.pause)
        .map_err(|_| exit::usage("--pause must be 0 or more seconds"))?;
    let mut store = options.redis.connect()?;
    store.wait_briefly();
    let mut tasksets = Vec::new();
    for wanted in &options.tasksets {
        tasksets.push(lookup::find(&mut store, wanted)?);
    }
    let (report, findings) = fsck::check(&mut store, &tasksets, pause)?;
    if findings.is_empty() && report.tasksets < tasksets.len() {
        for taskset in &tasksets {
            if Record::load(&mut store, taskset)?.is_none() {
                return Err(exit::usage(format!("taskset '{taskset}' does not exist"))
                    .hint("rrr-list tasksets lists the tasksets in Redis; a persisted one is removed after a minute")
                    .into());
            }
        }
    }
    for finding in &findings {
        stdout::json_line(finding)?;
    }
    say!(
        "rrr-fsck: {} tasksets, {} keys: {}",
        report.tasksets,
        report.keys,
        match findings.len() {
            0 => "no findings".to_owned(),
            1 => "1 finding".to_owned(),
            number => format!("{number} findings"),
        }
    );
    Ok(if findings.is_empty() {
        exit::OK
    } else {
        exit::FAILED
    })
}
