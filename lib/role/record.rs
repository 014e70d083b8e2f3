//! The record of a finished taskset: everything Redis knows of it, as one JSON document.

use crate::key::{SlaveKey, TaskKey, TasksetKey, TrialKey};
use crate::store::Store;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

type Hash = HashMap<Vec<u8>, Vec<u8>>;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn object(hash: &Hash) -> Value {
    let mut fields: Vec<_> = hash.iter().map(|(k, v)| (text(k), text(v))).collect();
    fields.sort();
    Value::Object(
        fields
            .into_iter()
            .map(|(k, v)| (k, v.into()))
            .collect::<Map<_, _>>(),
    )
}

fn list(store: &mut Store, key: &str) -> anyhow::Result<Vec<String>> {
    store.call(|c, _| redis::cmd("LRANGE").arg(key).arg(0).arg(-1).query(c))
}

fn hashes(store: &mut Store, keys: &[String]) -> anyhow::Result<Vec<Hash>> {
    let mut all = Vec::new();
    for chunk in keys.chunks(500) {
        all.extend(store.call(|c, _| {
            let mut pipe = redis::pipe();
            for key in chunk {
                pipe.cmd("HGETALL").arg(key);
            }
            pipe.query::<Vec<Hash>>(c)
        })?);
    }
    Ok(all)
}

fn string(store: &mut Store, key: &str) -> anyhow::Result<String> {
    let bytes: Option<Vec<u8>> = store.call(|c, _| redis::cmd("GET").arg(key).query(c))?;
    Ok(text(&bytes.unwrap_or_default()))
}

/// The document, the keys it was made of, and how long each spec file took (milliseconds).
pub struct Document {
    pub json: Value,
    pub keys: Vec<String>,
    pub durations_ms: HashMap<String, u64>,
}

/// Gathers everything that belongs to `taskset`.
pub fn gather(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<Document> {
    let mut keys = vec![
        taskset.log(),
        taskset.slaves(),
        taskset.worker_logs(),
        taskset.task_queue(),
        taskset.tasks(),
        taskset.tasks_left(),
        taskset.events(),
        taskset.wake(),
    ];
    let own = hashes(store, &[taskset.to_string()])?;
    let tasks = list(store, &taskset.tasks())?;
    let mut task_values = Vec::new();
    let mut durations_ms = HashMap::new();
    for (task, fields) in tasks.iter().zip(hashes(store, &tasks)?) {
        keys.push(task.clone());
        let Ok(key) = task.parse::<TaskKey>() else {
            continue;
        };
        keys.push(key.trials());
        let trials = list(store, &key.trials())?;
        let trial_fields = hashes(store, &trials)?;
        let good: Vec<u64> = trial_fields
            .iter()
            .filter(|f| {
                f.get(&b"status"[..])
                    .is_some_and(|s| s == b"passed" || s == b"pending")
            })
            .filter_map(|f| text(f.get(&b"duration_ms"[..])?).parse().ok())
            .collect();
        if !good.is_empty() {
            durations_ms.insert(
                key.spec_file().to_owned(),
                good.iter().sum::<u64>() / good.len() as u64,
            );
        }
        let mut value = object(&fields);
        value["key"] = task.clone().into();
        value["trials"] = trials
            .iter()
            .zip(&trial_fields)
            .filter(|(trial, _)| trial.parse::<TrialKey>().is_ok())
            .map(|(trial, fields)| {
                let mut value = object(fields);
                value["key"] = trial.clone().into();
                value
            })
            .collect();
        keys.extend(trials);
        task_values.push(value);
    }
    let mut slaves = Vec::new();
    for slave in list(store, &taskset.slaves())? {
        let Ok(key) = slave.parse::<SlaveKey>() else {
            continue;
        };
        let mut value = object(&hashes(store, std::slice::from_ref(&slave))?[0]);
        value["key"] = slave.clone().into();
        value["log"] = string(store, &key.log())?.into();
        value["trials"] = list(store, &key.trials())?.into();
        slaves.push(value);
        keys.extend([slave, key.log(), key.trials(), key.heartbeat()]);
    }
    let mut worker_logs = Vec::new();
    for log in list(store, &taskset.worker_logs())? {
        let mut value = object(&hashes(store, std::slice::from_ref(&log))?[0]);
        value["key"] = log.clone().into();
        value["log"] = string(store, &format!("{log}:log"))?.into();
        worker_logs.push(value);
        keys.push(format!("{log}:log"));
        keys.push(log);
    }
    let json = json!({
        "key": taskset,
        "taskset": object(&own[0]),
        "log": string(store, &taskset.log())?,
        "tasks": task_values,
        "slaves": slaves,
        "worker_logs": worker_logs,
    });
    Ok(Document {
        json,
        keys,
        durations_ms,
    })
}
