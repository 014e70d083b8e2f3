//! Loads a record: complete from its file, or without outputs from the rows.

use crate::archive::db::value::Value;
use crate::archive::db::{self, Database, Row, number, text};
use crate::archive::document::{
    self, Bytes, Document, Other, Slave, Task, Taskset, Trial, WorkerLog,
};
use crate::archive::log_dir::{LogDir, Stored};
use crate::process::state_dir;
use crate::protocol::example::{self, Example};
use crate::protocol::key::TasksetKey;
use anyhow::Context;
use std::collections::HashMap;
use std::path::Path;

/// Loads the record of `key` from the database at `place`, with its outputs from `log_dir` (by
/// default below the state folder). As [`load`], and also `None` when there is no database yet.
pub fn find(
    place: &db::DbArgs,
    log_dir: Option<&Path>,
    key: &TasksetKey,
) -> anyhow::Result<Option<(Document, Option<String>)>> {
    let Some(mut db) = place.url()?.open_existing()? else {
        return Ok(None);
    };
    let folder = log_dir.map_or_else(|| state_dir::folder().join("log"), Path::to_owned);
    load(&mut db, &LogDir::at(folder), key)
}

/// Loads the record of `key` as it was in Redis. When its file cannot be read (it is on another
/// machine, for example) outputs and logs are empty, and the second value is the reason.
pub fn load(
    db: &mut Database,
    folder: &LogDir,
    key: &TasksetKey,
) -> anyhow::Result<Option<(Document, Option<String>)>> {
    let sql = format!(
        "SELECT id, log_file, log_size, log_digest, other, {} FROM tasksets WHERE key = $1",
        Taskset::COLUMNS.join(", ")
    );
    let Some(row) = db.rows(&sql, &[key.as_str().into()])?.pop() else {
        return Ok(None);
    };
    let stored = Stored {
        size: number(&row[2]) as u64,
        digest: text(&row[3]).unwrap_or_default(),
    };
    let problem = match text(&row[1]).map(|file| folder.read(&file, &stored)) {
        Some(Ok(bytes)) => return Ok(Some((serde_json::from_slice(&bytes)?, None))),
        Some(Err(error)) => format!("{error:#}"),
        None => "its outputs were removed".to_owned(),
    };
    let document = from_rows(db, key, row)?;
    Ok(Some((document, Some(problem))))
}

fn other(value: &Value) -> anyhow::Result<Other> {
    match text(value) {
        Some(json) => {
            let mut json = serde_json::Deserializer::from_str(&json);
            Ok(document::fields::other::deserialize(&mut json)?)
        }
        None => Ok(Other::new()),
    }
}

fn from_rows(db: &mut Database, key: &TasksetKey, row: Row) -> anyhow::Result<Document> {
    let id = row[0].clone();
    let fields = other(&row[4])?;
    let taskset = Taskset::from_values(&mut row.into_iter().skip(5), fields);
    let mut examples = examples(db, &id)?;
    let none = Bytes::default;
    let mut trials: HashMap<i64, Vec<Trial>> = HashMap::new();
    each(db, &id, "trials", "task", Trial::COLUMNS, |mut part| {
        let place = (part.first, part.position);
        trials
            .entry(part.first)
            .or_default()
            .push(Trial::from_values(
                &mut part.values,
                part.other,
                part.key.parse()?,
                none(),
                none(),
                examples.remove(&place),
            ));
        Ok(())
    })?;
    let mut tasks = Vec::new();
    each(db, &id, "tasks", "position", Task::COLUMNS, |mut part| {
        let trials = trials.remove(&part.position).unwrap_or_default();
        let key = part.key.parse()?;
        tasks.push(Task::from_values(&mut part.values, part.other, key, trials));
        Ok(())
    })?;
    let mut slaves = Vec::new();
    let columns = Slave::COLUMNS;
    each(db, &id, "slaves", "position", columns, |mut part| {
        let key = part.key.parse()?;
        slaves.push(Slave::from_values(
            &mut part.values,
            part.other,
            key,
            none(),
        ));
        Ok(())
    })?;
    let mut worker_logs = Vec::new();
    let columns = WorkerLog::COLUMNS;
    each(db, &id, "worker_logs", "position", columns, |mut part| {
        let log = WorkerLog::from_values(&mut part.values, part.other, part.key, none());
        worker_logs.push(log);
        Ok(())
    })?;
    Ok(Document {
        key: key.clone(),
        taskset,
        log: Bytes::default(),
        tasks,
        slaves,
        worker_logs,
    })
}

/// A row of one of a taskset's parts.
struct Part {
    /// The task of a trial; the position of any other part.
    first: i64,
    position: i64,
    key: String,
    other: Other,
    /// The values of the table's own columns, in order.
    values: std::iter::Skip<std::vec::IntoIter<Value>>,
}

/// Passes the rows of one taskset to `visit`, ordered by `first` and position.
fn each(
    db: &mut Database,
    id: &Value,
    table: &str,
    first: &str,
    columns: &[&str],
    mut visit: impl FnMut(Part) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let columns = columns.join(", ");
    let sql = format!(
        "SELECT {first}, position, key, other, {columns} FROM {table}
         WHERE taskset_id = $1 ORDER BY {first}, position"
    );
    let part = |row: Row| {
        anyhow::Ok(Part {
            first: number(&row[0]),
            position: number(&row[1]),
            key: text(&row[2]).unwrap_or_default(),
            other: other(&row[3])?,
            values: row.into_iter().skip(4),
        })
    };
    db.query(&sql, std::slice::from_ref(id), |row| visit(part(row)?))
        .with_context(|| format!("cannot read the table {table}"))
}

fn examples(db: &mut Database, id: &Value) -> anyhow::Result<HashMap<(i64, i64), Vec<Example>>> {
    let mut found: HashMap<(i64, i64), Vec<Example>> = HashMap::new();
    let sql = "SELECT task, trial, id, name, file, line, status, duration_ms, message
               FROM examples WHERE taskset_id = $1 ORDER BY task, trial, position";
    db.query(sql, std::slice::from_ref(id), |row| {
        let at = (number(&row[0]), number(&row[1]));
        let status = text(&row[6]).unwrap_or_default();
        let number = |value: &Value| match value {
            Value::Number(number) => Some(*number as u64),
            _ => None,
        };
        found.entry(at).or_default().push(Example {
            id: text(&row[2]).unwrap_or_default(),
            name: text(&row[3]).unwrap_or_default(),
            file: text(&row[4]),
            line: number(&row[5]),
            status: example::Status::parse(&status).unwrap_or(example::Status::Error),
            duration_ms: number(&row[7]),
            message: text(&row[8]),
            flaky: false,
        });
        Ok(())
    })?;
    Ok(found)
}

/// The name of the file with the record of `key`, in the log folder.
pub fn log_file(db: &mut Database, key: &TasksetKey) -> anyhow::Result<Option<String>> {
    let sql = "SELECT log_file FROM tasksets WHERE key = $1";
    let rows = db.rows(sql, &[key.as_str().into()])?;
    Ok(rows.first().and_then(|row| text(&row[0])))
}
