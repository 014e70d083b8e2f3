//! The runs of spec files: one [`PastRun`] per task of each taskset.

use crate::archive::db::value::Value;
use crate::archive::db::{Database, number, text};
use crate::protocol::time;
use serde_json::{Value as Json, json};

/// Which tasksets to include.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub class: Option<String>,
    /// Milliseconds since 1970.
    pub since_ms: i64,
    pub spec_file: Option<String>,
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Try {
    pub status: String,
    pub duration_ms: Option<i64>,
    /// The worker's id, which is the host unless configured otherwise.
    pub host: String,
    /// Whether the trial was stopped from outside; its result does not count for the file.
    pub stopped: bool,
}

impl Try {
    fn is_good(&self) -> bool {
        self.status == "passed" || self.status == "pending"
    }
}

/// The run of one spec file in one taskset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PastRun {
    pub taskset_id: i64,
    pub taskset: String,
    pub finished_ms: i64,
    pub position: i64,
    pub spec_file: String,
    pub status: Option<String>,
    pub tries: Vec<Try>,
}

impl PastRun {
    /// Whether the file passed, but not in its first trial.
    pub(crate) fn is_flaky(&self) -> bool {
        let bad = |trial: &Try| !trial.is_good() && !trial.stopped && !trial.status.is_empty();
        self.status.as_deref().is_some_and(|s| s != "failed") && self.tries.iter().any(bad)
    }

    /// The duration of the trial that passed.
    pub(crate) fn duration_ms(&self) -> Option<i64> {
        self.tries.iter().find(|t| t.is_good())?.duration_ms
    }

    /// The hosts of the trials that did not pass.
    pub(crate) fn bad_hosts(&self) -> impl Iterator<Item = &str> {
        let bad = self.tries.iter().filter(|t| !t.is_good() && !t.stopped);
        bad.map(|t| t.host.as_str())
    }
}

fn host(slave: &Value) -> String {
    let slave = text(slave).unwrap_or_default();
    match slave.parse::<crate::protocol::key::SlaveKey>() {
        Ok(key) => key.worker().id().to_owned(),
        Err(_) => slave,
    }
}

/// Milliseconds between two times: the duration of a trial of another implementation.
fn between(started: &Value, finished: &Value) -> Option<i64> {
    let at = |value: &Value| time::parse(&text(value)?);
    let took = (at(finished)? - at(started)?).num_milliseconds();
    (took >= 0).then_some(took)
}

fn conditions(filter: &Filter) -> (String, Vec<Value>) {
    let mut values = vec![filter.since_ms.into()];
    let mut sql = "s.finished_ms >= $1".to_owned();
    if let Some(class) = &filter.class {
        values.push(class.as_str().into());
        sql += &format!(" AND s.taskset_class = ${}", values.len());
    }
    if let Some(file) = &filter.spec_file {
        values.push(file.as_str().into());
        sql += &format!(" AND t.spec_file = ${}", values.len());
    }
    (sql, values)
}

/// Passes every run to `visit`, oldest first.
pub(crate) fn runs(
    db: &mut Database,
    filter: &Filter,
    mut visit: impl FnMut(PastRun),
) -> anyhow::Result<()> {
    let (conditions, values) = conditions(filter);
    let sql = format!(
        "SELECT s.id, s.key, s.finished_ms, t.position, t.spec_file, t.status,
                r.status, r.duration_ms, r.slave, r.stopped, r.key, r.started_at, r.finished_at
         FROM tasksets s JOIN tasks t ON t.taskset_id = s.id
         LEFT JOIN trials r ON r.taskset_id = t.taskset_id AND r.task = t.position
         WHERE {conditions}
         ORDER BY s.finished_ms, s.id, t.position, r.position"
    );
    let mut current: Option<PastRun> = None;
    db.query(&sql, &values, |row| {
        let (id, position) = (number(&row[0]), number(&row[3]));
        let same = |run: &PastRun| run.taskset_id == id && run.position == position;
        if !current.as_ref().is_some_and(same) {
            let run = PastRun {
                taskset_id: id,
                taskset: text(&row[1]).unwrap_or_default(),
                finished_ms: number(&row[2]),
                position,
                spec_file: text(&row[4]).unwrap_or_default(),
                status: text(&row[5]),
                tries: Vec::new(),
            };
            if let Some(done) = current.replace(run) {
                visit(done);
            }
        }
        if let (Some(run), Value::Text(_)) = (&mut current, &row[10]) {
            run.tries.push(Try {
                status: text(&row[6]).unwrap_or_default(),
                duration_ms: match row[7] {
                    Value::Number(ms) => Some(ms),
                    _ => between(&row[11], &row[12]),
                },
                host: host(&row[8]),
                stopped: row[9] != Value::Null,
            });
        }
        Ok(())
    })?;
    if let Some(last) = current {
        visit(last);
    }
    Ok(())
}

/// The tasksets, newest first, as JSON objects.
pub(crate) fn tasksets(
    db: &mut Database,
    filter: &Filter,
    limit: i64,
) -> anyhow::Result<Vec<Json>> {
    let (conditions, mut values) = conditions(filter);
    values.push(limit.into());
    let sql = format!(
        "SELECT s.key, s.status, s.taskset_class, s.rsync_name, s.created_at, s.finished_at,
                (SELECT count(*) FROM tasks t WHERE t.taskset_id = s.id),
                s.succeeded_count, s.failed_count, s.flaky_count, s.fail_reason,
                s.elapsed_ms
         FROM tasksets s WHERE {conditions}
         ORDER BY s.finished_ms DESC, s.id DESC LIMIT ${}",
        values.len()
    );
    let rows = db.rows(&sql, &values)?;
    let json = |value: &Value| match value {
        Value::Null => Json::Null,
        Value::Number(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
    };
    Ok(rows
        .iter()
        .map(|row| {
            json!({
                "taskset": json(&row[0]),
                "status": json(&row[1]),
                "class": json(&row[2]),
                "rsync_name": json(&row[3]),
                "created_at": json(&row[4]),
                "finished_at": json(&row[5]),
                "tasks": json(&row[6]),
                "succeeded": number(&row[7]),
                "failed": number(&row[8]),
                "flaky": number(&row[9]),
                "fail_reason": json(&row[10]),
                "elapsed_ms": json(&row[11]),
            })
        })
        .collect())
}

/// The examples of a task that did not pass, as `name: message`, at most ten.
pub(crate) fn failed_examples(
    db: &mut Database,
    taskset: i64,
    task: i64,
) -> anyhow::Result<Vec<Json>> {
    let sql = "SELECT name, message FROM examples
               WHERE taskset_id = $1 AND task = $2 AND status IN ('failed', 'error')
               ORDER BY trial DESC, position LIMIT 10";
    let rows = db.rows(sql, &[taskset.into(), task.into()])?;
    Ok(rows
        .iter()
        .map(|row| json!({ "name": text(&row[0]), "message": text(&row[1]) }))
        .collect())
}
