//! Writes a record, piece by piece as it is read from Redis: one transaction, one file.
//!
//! The file is on disk before the transaction commits, and until then `loose_files` names it, so
//! that the next attempt knows which file to remove. The unique key of the taskset's row is
//! inserted first: two persisters of the same taskset wait for each other there.

use crate::archive::db::value::Value;
use crate::archive::db::{Database, Row};
use crate::archive::document::{self, Bytes, Other, Part, Slave, Task, Taskset, Trial, WorkerLog};
use crate::archive::estimate::{self, Sample};
use crate::archive::log_dir::{self, LogDir, Writer};
use crate::entity::event_stream;
use crate::process::crash_point;
use crate::protocol::key::TasksetKey;
use crate::protocol::time;
use crate::store::Store;
use std::io::Write;

/// The outcome of saving a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Saved {
    /// The record is durable now.
    Now,
    /// The record was durable already.
    Before,
}

/// Called between the pieces: an error aborts the save, and nothing is kept.
pub(crate) type Between<'a> = dyn FnMut() -> anyhow::Result<()> + 'a;

/// Renames the record of an earlier run with this key to `KEY~ID`: keys are chosen by people and
/// can be reused once the run has expired in Redis. A different creation time identifies another
/// run; a record that is persisted again, after a persister was killed, has the same one.
pub(crate) fn set_aside(
    db: &mut Database,
    key: &TasksetKey,
    created_at: &str,
) -> anyhow::Result<()> {
    let sql = "UPDATE tasksets SET key = key || '~' || CAST(id AS TEXT)
         WHERE key = $1 AND created_at <> $2";
    if !created_at.is_empty() {
        db.execute(sql, &[key.as_str().into(), created_at.into()])?;
    }
    Ok(())
}

/// Makes the record of `key` durable.
pub(crate) fn save(
    store: &mut Store,
    db: &mut Database,
    folder: &LogDir,
    key: &TasksetKey,
    between: &mut Between,
) -> anyhow::Result<Saved> {
    let known = "SELECT id FROM tasksets WHERE key = $1";
    if !db.rows(known, &[key.as_str().into()])?.is_empty() {
        clear_loose(db, folder, key)?;
        return Ok(Saved::Before);
    }
    let file = uuid::Uuid::new_v4().to_string();
    crash_point::point();
    db.execute(
        "INSERT INTO loose_files (id, taskset, since_ms) VALUES ($1, $2, $3)",
        &[
            file.as_str().into(),
            key.as_str().into(),
            time::unix_ms().into(),
        ],
    )?;
    let done = db.transaction(|db| write(store, db, folder, key, &file, between));
    match done {
        Ok(Saved::Now) => Ok(Saved::Now),
        // The file does not belong to the record.
        Ok(Saved::Before) => clear(db, folder, &file).map(|()| Saved::Before),
        Err(error) => Err(error),
    }
}

/// Removes the files of attempts at `key` that ended before their transaction committed. A
/// concurrent attempt fails and is repeated.
pub(crate) fn clear_loose(
    db: &mut Database,
    folder: &LogDir,
    key: &TasksetKey,
) -> anyhow::Result<()> {
    let sql = "SELECT id FROM loose_files WHERE taskset = $1";
    for row in db.rows(sql, &[key.as_str().into()])? {
        if let Value::Text(file) = &row[0] {
            clear(db, folder, file)?;
        }
    }
    Ok(())
}

/// Removes a file that does not belong to a taskset, and then the note of it.
pub(super) fn clear(db: &mut Database, folder: &LogDir, file: &str) -> anyhow::Result<()> {
    folder.remove(file)?;
    crash_point::point();
    db.execute("DELETE FROM loose_files WHERE id = $1", &[file.into()])?;
    Ok(())
}

fn write(
    store: &mut Store,
    db: &mut Database,
    folder: &LogDir,
    key: &TasksetKey,
    file: &str,
    between: &mut Between,
) -> anyhow::Result<Saved> {
    // Sorted by time, and different for every taskset of every host.
    let id = (time::unix_ms() << 20) | (uuid::Uuid::new_v4().as_u128() as i64 & 0xf_ffff);
    crash_point::point();
    let taken = db.execute(
        "INSERT INTO tasksets (id, key, finished_ms) VALUES ($1, $2, $3)
         ON CONFLICT (key) DO NOTHING",
        &[id.into(), key.as_str().into(), time::unix_ms().into()],
    )?;
    if taken == 0 {
        return Ok(Saved::Before);
    }
    clear_others(db, folder, key, file)?;
    let mut record = Record {
        db,
        id,
        elapsed_ms: event_stream::elapsed_ms(store, key)?,
        document: folder.create(file)?,
        tasks: 0,
        slaves: 0,
        worker_logs: 0,
        class: String::new(),
        finished_ms: 0,
        samples: Vec::new(),
    };
    let found = document::parts(store, key, |part| {
        between()?;
        record.part(key, part)
    })?;
    anyhow::ensure!(found, "the taskset is no longer in Redis");
    record.finish(file)?;
    between()?;
    Ok(Saved::Now)
}

/// Removes the files of other attempts. Each of them has ended, or waits for the row that this
/// transaction holds and will find the record done.
fn clear_others(
    db: &mut Database,
    folder: &LogDir,
    key: &TasksetKey,
    file: &str,
) -> anyhow::Result<()> {
    let sql = "SELECT id FROM loose_files WHERE taskset = $1 AND id <> $2";
    for row in db.rows(sql, &[key.as_str().into(), file.into()])? {
        if let Value::Text(other) = &row[0] {
            clear(db, folder, other)?;
        }
    }
    Ok(())
}

/// A record that is being written.
struct Record<'a> {
    db: &'a mut Database,
    id: i64,
    elapsed_ms: Option<u64>,
    document: Writer,
    tasks: i64,
    slaves: i64,
    worker_logs: i64,
    class: String,
    finished_ms: i64,
    samples: Vec<Sample>,
}

fn other(fields: &Other) -> Value {
    if fields.is_empty() {
        return Value::Null;
    }
    let mut json = serde_json::Serializer::new(Vec::new());
    match document::fields::other::serialize(fields, &mut json) {
        Ok(()) => String::from_utf8_lossy(&json.into_inner())
            .into_owned()
            .into(),
        Err(_) => Value::Null,
    }
}

/// The size and digest of `bytes`.
fn measure(bytes: &Bytes) -> [Value; 2] {
    let digest = (!bytes.0.is_empty()).then(|| log_dir::digest(&bytes.0));
    [(bytes.0.len() as i64).into(), digest.into()]
}

fn columns<const N: usize, const M: usize>(
    first: [&'static str; N],
    fields: &[&'static str],
    last: [&'static str; M],
) -> Vec<&'static str> {
    [&first[..], fields, &["other"], &last[..]].concat()
}

fn row<const N: usize, const M: usize>(
    first: [Value; N],
    fields: Vec<Value>,
    rest: &Other,
    last: [Value; M],
) -> Row {
    let mut row = Vec::with_capacity(N + fields.len() + 1 + M);
    row.extend(first);
    row.extend(fields);
    row.push(other(rest));
    row.extend(last);
    row
}

impl Record<'_> {
    fn part(&mut self, key: &TasksetKey, part: Part) -> anyhow::Result<()> {
        crash_point::point();
        match part {
            Part::Taskset(taskset, log) => self.taskset(key, &taskset, log),
            Part::Tasks(tasks) => self.tasks(&tasks),
            Part::Slave(slave) => self.slave(&slave),
            Part::WorkerLog(log) => self.worker_log(&log),
        }
    }

    fn taskset(&mut self, key: &TasksetKey, taskset: &Taskset, log: Bytes) -> anyhow::Result<()> {
        self.class = taskset.class().to_owned();
        let finished = taskset.finished_at.as_deref().and_then(time::parse);
        let finished_ms = finished.map_or_else(time::unix_ms, |at| at.timestamp_millis());
        self.finished_ms = finished_ms;
        let fields = Taskset::COLUMNS
            .iter()
            .chain(&["other", "finished_ms", "elapsed_ms"]);
        let set: Vec<String> = fields
            .enumerate()
            .map(|(at, field)| format!("{field} = ${}", at + 1))
            .collect();
        let mut values = taskset.values();
        let last = values.len() + 4;
        let elapsed = self.elapsed_ms.map(|ms| ms as i64);
        let rest = [finished_ms.into(), elapsed.into(), self.id.into()];
        values.push(other(&taskset.other));
        values.extend(rest);
        let sql = format!("UPDATE tasksets SET {} WHERE id = ${last}", set.join(", "));
        self.db.execute(&sql, &values)?;

        #[derive(serde::Serialize)]
        struct Head<'a> {
            key: &'a TasksetKey,
            taskset: &'a Taskset,
            #[serde(flatten, with = "document::fields::log")]
            log: Bytes,
        }
        let head = serde_json::to_string(&Head { key, taskset, log })?;
        // The lists follow before the brace is closed.
        let open = head.strip_suffix('}').unwrap_or(&head);
        Ok(write!(self.document, "{open},\"tasks\":[")?)
    }

    fn tasks(&mut self, tasks: &[Task]) -> anyhow::Result<()> {
        let (mut rows, mut trials, mut examples) = (Vec::new(), Vec::new(), Vec::new());
        for task in tasks {
            self.element(self.tasks, task)?;
            let first = [self.id.into(), self.tasks.into(), task.key.as_str().into()];
            rows.push(row(first, task.values(), &task.other, []));
            for (at, trial) in task.trials.iter().enumerate() {
                trials.push(self.trial(at as i64, trial));
                self.examples(at as i64, trial, &mut examples);
            }
            self.samples.extend(Sample::of(task, self.finished_ms));
            self.tasks += 1;
        }
        let own = ["taskset_id", "position", "key"];
        self.db
            .insert("tasks", &columns(own, Task::COLUMNS, []), &rows)?;
        let own = ["taskset_id", "task", "position", "key"];
        let sizes = [
            "stdout_size",
            "stdout_digest",
            "stderr_size",
            "stderr_digest",
        ];
        self.db
            .insert("trials", &columns(own, Trial::COLUMNS, sizes), &trials)?;
        self.db.insert("examples", EXAMPLES, &examples)
    }

    fn trial(&self, at: i64, trial: &Trial) -> Row {
        let first = [
            self.id.into(),
            self.tasks.into(),
            at.into(),
            trial.key.as_str().into(),
        ];
        let [stdout_size, stdout] = measure(&trial.stdout);
        let [stderr_size, stderr] = measure(&trial.stderr);
        let last = [stdout_size, stdout, stderr_size, stderr];
        row(first, trial.values(), &trial.other, last)
    }

    fn examples(&self, trial: i64, of: &Trial, rows: &mut Vec<Row>) {
        for (at, example) in of.examples.iter().flatten().enumerate() {
            // PostgreSQL's text type cannot hold NUL; the document keeps it.
            let text = |text: &str| Value::Text(text.replace('\0', "\u{fffd}"));
            let maybe = |value: &Option<String>| value.as_deref().map_or(Value::Null, text);
            rows.push(vec![
                self.id.into(),
                self.tasks.into(),
                trial.into(),
                (at as i64).into(),
                text(&example.id),
                text(&example.name),
                maybe(&example.file),
                example.line.map(|line| line as i64).into(),
                example.status.as_str().into(),
                example.duration_ms.map(|ms| ms as i64).into(),
                maybe(&example.message),
            ]);
        }
    }

    /// Appends an element to a list of the document.
    fn element(&mut self, place: i64, value: &impl serde::Serialize) -> anyhow::Result<()> {
        if place > 0 {
            self.document.write_all(b",")?;
        }
        serde_json::to_writer(&mut self.document, value).map_err(std::io::Error::from)?;
        Ok(())
    }

    fn slave(&mut self, slave: &Slave) -> anyhow::Result<()> {
        if self.slaves == 0 {
            self.document.write_all(b"],\"slaves\":[")?;
        }
        self.element(self.slaves, slave)?;
        let first = [
            self.id.into(),
            self.slaves.into(),
            slave.key.as_str().into(),
        ];
        let row = row(first, slave.values(), &slave.other, measure(&slave.log));
        let own = ["taskset_id", "position", "key"];
        let columns = columns(own, Slave::COLUMNS, ["log_size", "log_digest"]);
        self.slaves += 1;
        self.db.insert("slaves", &columns, &[row])
    }

    fn worker_log(&mut self, log: &WorkerLog) -> anyhow::Result<()> {
        if self.worker_logs == 0 {
            let no_slaves = if self.slaves == 0 {
                "],\"slaves\":["
            } else {
                ""
            };
            write!(self.document, "{no_slaves}],\"worker_logs\":[")?;
        }
        self.element(self.worker_logs, log)?;
        let first = [
            self.id.into(),
            self.worker_logs.into(),
            log.key.as_str().into(),
        ];
        let row = row(first, log.values(), &log.other, measure(&log.log));
        let own = ["taskset_id", "position", "key"];
        let columns = columns(own, WorkerLog::COLUMNS, ["log_size", "log_digest"]);
        self.worker_logs += 1;
        self.db.insert("worker_logs", &columns, &[row])
    }

    fn finish(mut self, file: &str) -> anyhow::Result<()> {
        let missing = match (self.slaves, self.worker_logs) {
            (_, 1..) => "",
            (1.., 0) => "],\"worker_logs\":[",
            _ => "],\"slaves\":[],\"worker_logs\":[",
        };
        writeln!(self.document, "{missing}]}}")?;
        let stored = self.document.finish()?;
        self.db.execute(
            "UPDATE tasksets SET log_file = $1, log_size = $2, log_digest = $3 WHERE id = $4",
            &[
                file.into(),
                (stored.size as i64).into(),
                stored.digest.into(),
                self.id.into(),
            ],
        )?;
        estimate::learn(self.db, self.id, &self.class, self.samples)?;
        let ours = self
            .db
            .execute("DELETE FROM loose_files WHERE id = $1", &[file.into()])?;
        // Another persister assumed that this one was dead, and has removed the file.
        anyhow::ensure!(ours == 1, "another persister took over");
        Ok(())
    }
}

const EXAMPLES: &[&str] = &[
    "taskset_id",
    "task",
    "trial",
    "position",
    "id",
    "name",
    "file",
    "line",
    "status",
    "duration_ms",
    "message",
];
