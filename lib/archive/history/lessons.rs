//! The runs of one class, for the next run: which files failed last, and how long a run takes.

use crate::archive::db::value::Value;
use crate::archive::db::{Database, number, text};
use std::collections::HashSet;

/// Number of earlier runs whose durations are compared.
const COMPARED: i64 = 8;

/// The spec files that failed in the last run of `class`.
pub(crate) fn failed_last(db: &mut Database, class: &str) -> anyhow::Result<HashSet<String>> {
    let sql = "SELECT t.spec_file FROM tasks t WHERE t.status = 'failed' AND t.taskset_id =
                   (SELECT s.id FROM tasksets s WHERE s.taskset_class = $1
                    ORDER BY s.finished_ms DESC, s.id DESC LIMIT 1)";
    let rows = db.rows(sql, &[class.into()])?;
    Ok(rows.iter().filter_map(|row| text(&row[0])).collect())
}

/// The durations in milliseconds of the last runs of `class` that finished and had this number of
/// tasks, newest first.
pub(crate) fn durations_ms(
    db: &mut Database,
    class: &str,
    tasks: usize,
) -> anyhow::Result<Vec<u64>> {
    let sql = "SELECT s.elapsed_ms FROM tasksets s
               WHERE s.taskset_class = $1 AND s.elapsed_ms IS NOT NULL
               AND s.succeeded_count + s.failed_count = $2
               AND (SELECT count(*) FROM tasks t WHERE t.taskset_id = s.id) = $3
               ORDER BY s.finished_ms DESC, s.id DESC LIMIT $4";
    let tasks = i64::try_from(tasks)?;
    let values: [Value; 4] = [class.into(), tasks.into(), tasks.into(), COMPARED.into()];
    let rows = db.rows(sql, &values)?;
    let durations = rows.iter().map(|row| number(&row[0]));
    Ok(durations.filter_map(|ms| u64::try_from(ms).ok()).collect())
}
