//! rrr-persist: writes finished tasksets where they last, learns from their timings, and lets
//! their keys expire.
//!
//! The order is what keeps promise 3: the record is durable, then noted as such, then the keys
//! expire, and only then the message goes.

use crate::key::{self, TasksetKey};
use crate::record::{self, Document};
use crate::store::Store;
use crate::taskset::Record;
use crate::{cli, estimate, exit, notify, out, queue, stop, time};
use anyhow::Context;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Writes finished tasksets to a folder
#[derive(clap::Parser)]
#[command(name = "rrr-persist", version)]
pub struct Options {
    #[command(flatten)]
    redis: cli::Redis,
    /// Handle what is queued, then exit
    #[arg(long)]
    drain: bool,
    /// Folder for one JSON document a taskset [default: ~/.local/state/rrr/log]
    #[arg(long, value_name = "DIR", env = "RRR_LOG_DIR")]
    log_dir: Option<PathBuf>,
}

/// Seconds that slaves and workers get to finish their logs.
const STRAGGLERS: i64 = 10;

/// Runs the tool.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let folder = options.log_dir.clone().unwrap_or_else(|| {
        std::env::home_dir()
            .unwrap_or_default()
            .join(".local/state/rrr/log")
    });
    std::fs::create_dir_all(&folder)
        .map_err(|e| cli::usage(format!("cannot use the folder '{}': {e}", folder.display())))?;
    let mut store = options.redis.connect()?;
    let queue = key::persister_queue();
    let mut pause = Duration::from_millis(200);
    notify::ready("waiting for tasksets that have ended");
    while !stop::requested() {
        let wait = if options.drain { 0.001 } else { 1.0 };
        let Some(message) = queue::peek(&mut store, &queue, 1, wait)?.pop() else {
            if options.drain {
                break;
            }
            notify::turn(|| "waiting for tasksets that have ended".to_owned());
            continue;
        };
        let Ok(taskset) = String::from_utf8_lossy(&message).parse::<TasksetKey>() else {
            queue::refuse(&mut store, &queue, &message, "it is not a taskset key")?;
            continue;
        };
        notify::turn(|| format!("persisting {taskset}"));
        match persist(&mut store, &taskset, &message, &folder) {
            Ok(true) => pause = Duration::from_millis(200),
            Ok(false) => {
                queue::rotate(&mut store, &queue, &message)?;
                stop::sleep(Duration::from_millis(200));
            }
            Err(error) if error.downcast_ref::<std::io::Error>().is_some() && !options.drain => {
                eprintln!("rrr-persist: {error:#}; trying again in {pause:?}");
                queue::rotate(&mut store, &queue, &message)?;
                stop::sleep(pause);
                pause = (pause * 2).min(Duration::from_secs(30));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(exit::OK)
}

/// Persists one taskset; false when its slaves are not done yet.
fn persist(
    store: &mut Store,
    taskset: &TasksetKey,
    message: &[u8],
    folder: &Path,
) -> anyhow::Result<bool> {
    let queue = key::persister_queue();
    let Some(state) = Record::load(store, taskset)? else {
        queue::pop(store, &queue, &[message.to_vec()])?;
        return Ok(true);
    };
    if !state.status().is_some_and(|status| status.is_final()) {
        queue::refuse(store, &queue, message, "the taskset has not finished")?;
        return Ok(true);
    }
    let finished = state.get("finished_at").and_then(time::parse);
    let age = finished.map_or(i64::MAX, |at| time::unix_ms() / 1000 - at.timestamp());
    if age < STRAGGLERS && record::open_worker_logs(store, taskset)? > 0 {
        return Ok(false);
    }
    if !record::is_marked(store, taskset)? {
        let Some(document) = record::gather(store, taskset)? else {
            return Ok(false);
        };
        let path = write(folder, &document)?;
        estimate::learn(store, &document)?;
        record::mark(store, taskset)?;
        out::line(
            &serde_json::json!({
                "time": time::rfc3339(time::unix_ms()),
                "persisted": taskset,
                "status": state.get("status"),
                "file": path,
            })
            .to_string(),
        );
    }
    record::expire(store, taskset)?;
    record::release(store, taskset, message)?;
    Ok(true)
}

/// Writes the document under a name that no key can choose (FAULTS S5), whole or not at all.
fn write(folder: &Path, document: &Document) -> anyhow::Result<PathBuf> {
    let name = uuid::Uuid::parse_str(document.key.id()).unwrap_or_else(|_| {
        uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, document.key.as_str().as_bytes())
    });
    let path = folder.join(format!("{name}.json"));
    let problem = || format!("cannot write '{}'", path.display());
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(problem)?;
    serde_json::to_writer(std::io::BufWriter::new(&mut file), document)
        .map_err(std::io::Error::from)
        .with_context(problem)?;
    file.write_all(b"\n").with_context(problem)?;
    file.as_file().sync_all().with_context(problem)?;
    file.persist(&path)
        .map_err(|e| e.error)
        .with_context(problem)?;
    std::fs::File::open(folder)
        .and_then(|dir| dir.sync_all())
        .with_context(problem)?;
    Ok(path)
}
