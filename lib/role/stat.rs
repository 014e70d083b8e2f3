//! rrr-stat: the state of a whole installation in one line, for a monitor.

use crate::cli::redis_args::RedisArgs;
use crate::inspect::stat::health::{self, Check, Thresholds};
use crate::inspect::stat::{Stat, prometheus};
use crate::process::text::harmless_json;
use crate::process::{exit, stdout};
use std::path::PathBuf;

/// Shows the state of the whole installation: one JSON line, a Prometheus page, or a check
#[derive(clap::Parser)]
#[command(name = "rrr-stat", version)]
pub struct Options {
    /// Output format
    #[arg(long, value_name = "FORM", value_enum, default_value = "json")]
    format: Form,
    /// Write to this file atomically
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Print only problems; exit with 1 if there are any
    #[arg(long, conflicts_with_all = ["format", "file"])]
    check: bool,
    /// Skip these checks
    #[arg(long, value_name = "CHECK,…", value_enum, value_delimiter = ',')]
    ignore: Vec<Check>,
    /// Maximum refused messages per queue
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_dead: u64,
    /// Maximum seconds that a message may wait to be handled
    #[arg(long, value_name = "SEC", default_value_t = 60)]
    max_queue_age: u64,
    /// Maximum seconds that a taskset may wait for its first worker
    #[arg(long, value_name = "SEC", default_value_t = 300)]
    max_waiting: u64,
    /// Maximum percentage of its maxmemory that Redis may use
    #[arg(long, value_name = "PERCENT", default_value_t = 90)]
    max_memory: u64,
    #[command(flatten)]
    redis: RedisArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Json,
    Prometheus,
}

/// Runs the tool.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let mut store = options.redis.connect()?;
    store.wait_briefly();
    let stat = Stat::load(&mut store)?;
    let mut code = exit::OK;
    if options.check {
        code = check(&options, &stat)?;
    } else {
        let text = match options.format {
            Form::Json => harmless_json(serde_json::to_string(&stat)?) + "\n",
            Form::Prometheus => prometheus::page(&stat),
        };
        match &options.file {
            Some(path) => stdout::file(path, text.as_bytes())?,
            None => stdout::bytes(text.as_bytes()),
        }
    }
    Ok(stdout::exit_code(code))
}

fn check(options: &Options, stat: &Stat) -> anyhow::Result<u8> {
    let limits = Thresholds {
        dead: options.max_dead,
        queue_sec: options.max_queue_age,
        waiting_sec: options.max_waiting,
        memory_percent: options.max_memory,
    };
    let mut troubles = health::troubles(stat, &limits);
    troubles.retain(|trouble| !options.ignore.contains(&trouble.check));
    for trouble in &troubles {
        stdout::json_line(trouble)?;
    }
    Ok(if troubles.is_empty() {
        exit::OK
    } else {
        exit::FAILED
    })
}
