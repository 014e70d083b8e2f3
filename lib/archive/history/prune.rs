//! Removes old tasksets. Estimates stay: they are small, and the next run uses them.

use super::save::clear;
use crate::archive::db::value::Value;
use crate::archive::db::{Database, Row, number, text};
use crate::archive::log_dir::LogDir;
use crate::protocol::request::LOCAL;

/// A taskset that is old enough to be removed.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    id: i64,
    pub taskset: String,
    pub finished_ms: i64,
    log_file: Option<String>,
    /// Size of its document in bytes.
    pub size: i64,
}

/// The tasksets that finished before this time, oldest first.
pub(crate) fn candidates(db: &mut Database, before_ms: i64) -> anyhow::Result<Vec<Candidate>> {
    let sql = "SELECT id, key, finished_ms, log_file, log_size FROM tasksets
               WHERE finished_ms < $1 ORDER BY finished_ms, id";
    let rows = db.rows(sql, &[before_ms.into()])?;
    Ok(rows.iter().map(candidate).collect())
}

fn candidate(row: &Row) -> Candidate {
    Candidate {
        id: number(&row[0]),
        taskset: text(&row[1]).unwrap_or_default(),
        finished_ms: number(&row[2]),
        log_file: text(&row[3]),
        size: number(&row[4]),
    }
}

/// Removes a taskset: first its rows, in one transaction that leaves a note of the file, and then
/// the file. If the process is killed in between, the next prune finds the note.
pub(crate) fn remove(db: &mut Database, folder: &LogDir, old: &Candidate) -> anyhow::Result<()> {
    db.transaction(|db| {
        if let Some(file) = &old.log_file {
            db.execute(
                "INSERT INTO loose_files (id, taskset, since_ms) VALUES ($1, $2, 0)",
                &[file.as_str().into(), old.taskset.as_str().into()],
            )?;
        }
        for table in ["examples", "trials", "tasks", "slaves", "worker_logs"] {
            let sql = format!("DELETE FROM {table} WHERE taskset_id = $1");
            db.execute(&sql, &[old.id.into()])?;
        }
        db.execute("DELETE FROM tasksets WHERE id = $1", &[old.id.into()])?;
        Ok(())
    })?;
    sweep(db, folder, 0)
}

/// Limits for the recorded runs of rrr-local.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Age in milliseconds.
    pub age_ms: i64,
    /// Total size of the documents in bytes.
    pub bytes: i64,
}

/// Maximum runs removed at once, so that no run has to wait long.
const AT_ONCE: usize = 10;

/// Removes the oldest runs of rrr-local beyond `limits`. Other tasksets are kept: only
/// `rrr-history prune` removes those.
pub(crate) fn trim(
    db: &mut Database,
    folder: &LogDir,
    now_ms: i64,
    limits: &Limits,
) -> anyhow::Result<()> {
    let of = "FROM tasksets WHERE rsync_name = $1 AND taskset_class LIKE '/%'";
    let own = [LOCAL.into()];
    let sql = format!("SELECT sum(COALESCE(log_size, 0)), min(finished_ms) {of}");
    let rows = db.rows(&sql, &own)?;
    let (mut bytes, oldest) = rows
        .first()
        .map_or((0, now_ms), |row| (number(&row[0]), number(&row[1])));
    let before = now_ms - limits.age_ms;
    if bytes <= limits.bytes && oldest >= before {
        return Ok(());
    }
    let sql =
        format!("SELECT id, key, finished_ms, log_file, log_size {of} ORDER BY finished_ms, id");
    for old in db.rows(&sql, &own)?.iter().map(candidate).take(AT_ONCE) {
        if bytes <= limits.bytes && old.finished_ms >= before {
            break;
        }
        bytes -= old.size;
        remove(db, folder, &old)?;
    }
    Ok(())
}

/// Removes files that have not belonged to a taskset since before this time.
pub(crate) fn sweep(db: &mut Database, folder: &LogDir, before_ms: i64) -> anyhow::Result<()> {
    let sql = "SELECT id FROM loose_files WHERE since_ms <= $1";
    for row in db.rows(sql, &[before_ms.into()])? {
        if let Value::Text(file) = &row[0] {
            clear(db, folder, file)?;
        }
    }
    Ok(())
}
