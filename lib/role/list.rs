//! rrr-list: lists tasksets, workers and queues, as JSON lines or as a table on a terminal.

use crate::cli::redis_args::RedisArgs;
use crate::entity::slave::{self, SlaveState};
use crate::entity::taskset::{self, QueueLengths, Record};
use crate::entity::{queue, trial, worker};
use crate::process::table::{self, Row};
use crate::process::text::clock;
use crate::process::{exit, stdout};
use crate::protocol::key::{self, TasksetKey};
use crate::protocol::taskset_field as field;
use crate::store;
use crate::store::Store;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Lists tasksets, workers or queues: JSON lines, or a table on a terminal
#[derive(clap::Parser)]
#[command(name = "rrr-list", version)]
pub struct Options {
    /// Kind of object to list
    #[arg(value_name = "WHAT", value_enum)]
    what: What,
    #[command(flatten)]
    redis: RedisArgs,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum What {
    Tasksets,
    Workers,
    Queues,
}

/// Runs the tool.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let mut store = options.redis.connect()?;
    store.wait_briefly();
    match options.what {
        What::Tasksets => tasksets(&mut store)?,
        What::Workers => workers(&mut store)?,
        What::Queues => queues(&mut store)?,
    }
    Ok(stdout::exit_code(exit::OK))
}

/// Lists tasksets that are open, or finished but not persisted yet.
fn tasksets(store: &mut Store) -> anyhow::Result<()> {
    let mut keys = taskset::active(store)?;
    for key in taskset::unpersisted(store)? {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let mut rows = Vec::new();
    for key in &keys {
        let loaded = load(store, key);
        let Some((record, progress)) = store::unless_refused(key, loaded)?.flatten() else {
            continue;
        };
        let (succeeded, failed) = record.counts();
        rows.push(
            Row::new()
                .with("taskset", key.as_str())
                .only_in_table("taskset", key.short())
                .with("status", record.get(field::STATUS).unwrap_or("waiting"))
                .with("tasks", succeeded + failed + progress.left as u64)
                .with("succeeded", succeeded)
                .with("failed", failed)
                .with("left", progress.left)
                .with("queued", progress.queued)
                .with(field::WORKER_TYPE, record.get(field::WORKER_TYPE))
                .with(field::RSYNC_NAME, record.get(field::RSYNC_NAME))
                .with(field::TASKSET_CLASS, record.get(field::TASKSET_CLASS))
                .with(field::CREATED_AT, record.get(field::CREATED_AT))
                .with(field::FINISHED_AT, record.get(field::FINISHED_AT))
                .with(field::FAIL_REASON, record.get(field::FAIL_REASON)),
        );
    }
    let columns = [
        "status",
        "tasks",
        "succeeded",
        "failed",
        "left",
        field::RSYNC_NAME,
        field::CREATED_AT,
        "taskset",
    ];
    table::rows(&columns, rows);
    Ok(())
}

fn load(store: &mut Store, key: &TasksetKey) -> anyhow::Result<Option<(Record, QueueLengths)>> {
    let Some(record) = Record::load(store, key)? else {
        return Ok(None);
    };
    Ok(Some((record, QueueLengths::load(store, key)?)))
}

/// Lists the registered workers: their settings, the trials of their slaves, and their health.
fn workers(store: &mut Store) -> anyhow::Result<()> {
    let mut running: HashMap<TasksetKey, Vec<Run>> = HashMap::new();
    let mut rows = Vec::new();
    for seen in worker::survey(store)? {
        let taskset: Option<TasksetKey> = seen.taskset.as_ref().and_then(|key| key.parse().ok());
        if let Some(taskset) = &taskset
            && !running.contains_key(taskset)
        {
            let found = runs(store, taskset);
            let found = store::unless_refused(taskset, found)?;
            running.insert(taskset.clone(), found.unwrap_or_default());
        }
        let own: Vec<&Run> = taskset
            .and_then(|taskset| running.get(&taskset))
            .into_iter()
            .flatten()
            .filter(|run| run.worker == seen.key)
            .collect();
        let told: Vec<Value> = own
            .iter()
            .map(|run| json!({"slave": run.slave, "spec_file": run.spec_file, "since": run.since}))
            .collect();
        let files: Vec<&str> = own.iter().map(|run| run.spec_file.as_str()).collect();
        rows.push(
            Row::new()
                .with("worker", seen.key.id())
                .with("worker_type", seen.worker_type)
                .with("alive", seen.alive)
                .with("slaves", seen.slaves)
                .with("taskset", seen.taskset)
                .with("running", told)
                .with("queued", seen.queued)
                .with("last_heartbeat_ms", seen.beat_ms)
                .with("version", seen.version)
                .only_in_table(
                    "heartbeat",
                    seen.beat_ms.map(|ms| format!("{} ago", clock(ms))),
                )
                .only_in_table("runs", files.join(" ")),
        );
    }
    let columns = [
        "worker",
        "worker_type",
        "alive",
        "slaves",
        "heartbeat",
        "taskset",
        "runs",
    ];
    table::rows(&columns, rows);
    Ok(())
}

/// A running trial of a slave.
struct Run {
    worker: key::WorkerKey,
    slave: String,
    spec_file: String,
    since: Option<String>,
}

fn runs(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<Vec<Run>> {
    let slaves = taskset::slaves(store, taskset)?;
    let seen = slave::look_each(store, &slaves)?;
    let mut runs = Vec::new();
    for (slave, seen) in slaves.iter().zip(seen) {
        let Some(SlaveState::Alive(Some(trial))) = store::unless_refused(slave, seen)? else {
            continue;
        };
        let since = trial::running_since(store, &trial);
        if let Some(since) = store::unless_refused(&trial, since)?.flatten() {
            runs.push(Run {
                worker: slave.worker(),
                slave: slave.to_string(),
                spec_file: trial.task().spec_file().to_owned(),
                since: Some(since).filter(|text| !text.is_empty()),
            });
        }
    }
    Ok(runs)
}

/// Lists the queues: their length, and the refused messages with the reasons.
fn queues(store: &mut Store) -> anyhow::Result<()> {
    let mut names = vec![
        key::arbiter_queue(),
        key::dispatcher_queue(),
        key::persister_queue(),
    ];
    names.extend(
        worker::survey(store)?
            .iter()
            .map(|worker| worker.key.queue()),
    );
    names.extend(taskset::active(store)?.iter().map(TasksetKey::task_queue));
    let mut rows = Vec::new();
    for name in names {
        let dead = queue::dead(store, &name);
        let dead = store::unless_refused(key::dead(&name), dead)?.unwrap_or_default();
        let length = queue::length(store, &name);
        let length = store::unless_refused(&name, length)?;
        let parsed = dead
            .iter()
            .map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str())))
            .collect::<Vec<Value>>();
        let last = parsed
            .last()
            .and_then(|last| last["reason"].as_str())
            .map(str::to_owned);
        rows.push(
            Row::new()
                .with("queue", name.as_str())
                .with("length", length)
                .with("dead", parsed.len())
                .with("dead_messages", parsed)
                .only_in_table("last_reason", last),
        );
    }
    table::rows(&["length", "dead", "queue", "last_reason"], rows);
    Ok(())
}
