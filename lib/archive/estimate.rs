//! Estimates: the expected run time of each spec file of a class.
//!
//! The database keeps each file's last run times and updates them in the transaction that makes a
//! record durable, so that no record counts twice. rrr-persist publishes the resulting estimates to
//! Redis, where rrr-submit reads them; after Redis was wiped, they are published again.

use crate::archive::db::value::Value;
use crate::archive::db::{Database, Row, number, text};
use crate::archive::document::{Task, Trial};
use crate::protocol::key::{self, TasksetKey};
use crate::protocol::taskset_field as field;
use crate::protocol::time::{self, whole_seconds};
use crate::store;
use crate::store::Store;
use std::collections::HashMap;

/// Number of run times remembered per file.
const REMEMBERED: usize = 8;
/// Weight of a run time relative to the next newer one.
const FADING: f64 = 0.7;
/// A file that has not passed for this many milliseconds, while others of its class have, was
/// renamed or deleted: its estimate is dropped. A class without any runs keeps all of its
/// estimates.
const FORGOTTEN_MS: i64 = 90 * 86_400_000;
/// The run times of a dropped file, until the estimate is removed from Redis.
const NONE: &str = "[]";

/// One measured run time of a spec file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub spec_file: String,
    pub ms: u64,
    /// The end of its taskset, in milliseconds since 1970.
    pub at_ms: i64,
}

impl Sample {
    /// The sample from a task: its first trial that passed or was pending. Failing trials often end
    /// early, or late.
    pub(crate) fn of(task: &Task, at_ms: i64) -> Option<Self> {
        let good = task.trials.iter().find(|trial| trial.is_good())?;
        Some(Self {
            spec_file: task.spec_file.clone()?,
            ms: duration(good)?,
            at_ms,
        })
    }
}

/// The duration of a trial: to the millisecond when an rrr slave ran it, otherwise from its times.
fn duration(trial: &Trial) -> Option<u64> {
    if let Some(ms) = trial.duration_ms {
        return u64::try_from(ms).ok();
    }
    let at = |text: &Option<String>| time::parse(text.as_deref()?);
    let took = at(&trial.finished_at)? - at(&trial.started_at)?;
    u64::try_from(took.num_milliseconds()).ok()
}

/// The run time to expect after the `recent` ones, newest first: their median, with newer ones
/// weighing more. A single outlier does not dominate, but two in a row count.
pub(crate) fn expected_ms(recent: &[u64]) -> Option<u64> {
    let mut weighted: Vec<(u64, f64)> = Vec::new();
    let mut weight = 1.0;
    for ms in recent {
        weighted.push((*ms, weight));
        weight *= FADING;
    }
    let total: f64 = weighted.iter().map(|(_, weight)| weight).sum();
    if let [(new, _), (old, _)] = weighted[..] {
        // With two samples, either may be the outlier.
        return Some((new + old) / 2);
    }
    weighted.sort_by_key(|(ms, _)| *ms);
    let mut sum = 0.0;
    weighted
        .into_iter()
        .find(|(_, weight)| {
            sum += weight;
            sum >= total / 2.0
        })
        .map(|(ms, _)| ms)
}

fn read(recent: &Value) -> Vec<u64> {
    let json = text(recent).unwrap_or_default();
    serde_json::from_str(&json).unwrap_or_default()
}

/// Adds the run times of the taskset `id` to those of its files, inside its transaction.
pub(crate) fn learn(
    db: &mut Database,
    id: i64,
    class: &str,
    samples: Vec<Sample>,
) -> anyhow::Result<()> {
    db.lock("estimates")?;
    let mut new: HashMap<String, Sample> = HashMap::new();
    for sample in samples {
        new.entry(sample.spec_file.clone()).or_insert(sample);
    }
    let ours = "class = $1 AND spec_file IN (SELECT spec_file FROM tasks WHERE taskset_id = $2)";
    let values = [class.into(), id.into()];
    let mut rows: Vec<Row> = Vec::new();
    let sql = format!("SELECT spec_file, recent, seen_ms FROM estimates WHERE {ours}");
    db.query(&sql, &values, |row| {
        let file = text(&row[0]).unwrap_or_default();
        let (mut recent, mut seen) = (read(&row[1]), number(&row[2]));
        if let Some(sample) = new.remove(&file) {
            // A taskset that was persisted late does not count as newer.
            let place = if sample.at_ms >= seen { 0 } else { 1 };
            recent.insert(place.min(recent.len()), sample.ms);
            recent.truncate(REMEMBERED);
            seen = seen.max(sample.at_ms);
        }
        rows.push(estimate_row(class, &file, &recent, seen));
        Ok(())
    })?;
    db.execute(&format!("DELETE FROM estimates WHERE {ours}"), &values)?;
    rows.extend(
        new.into_iter()
            .map(|(file, sample)| estimate_row(class, &file, &[sample.ms], sample.at_ms)),
    );
    insert(db, &rows)?;
    forget(db, class)
}

/// Marks outdated estimates; [`publish`] deletes them once they are removed from Redis.
fn forget(db: &mut Database, class: &str) -> anyhow::Result<()> {
    let sql = "UPDATE estimates SET recent = $1 WHERE class = $2 AND seen_ms + $3 <
                   (SELECT max(newest.seen_ms) FROM estimates newest WHERE newest.class = $4)";
    let values = [NONE.into(), class.into(), FORGOTTEN_MS.into(), class.into()];
    db.execute(sql, &values)?;
    Ok(())
}

fn estimate_row(class: &str, file: &str, recent: &[u64], seen_ms: i64) -> Row {
    let recent = format!("{recent:?}");
    vec![class.into(), file.into(), recent.into(), seen_ms.into()]
}

fn insert(db: &mut Database, rows: &[Row]) -> anyhow::Result<()> {
    for rows in rows.chunks(1000) {
        let columns = ["class", "spec_file", "recent", "seen_ms"];
        db.insert("estimates", &columns, rows)?;
    }
    Ok(())
}

/// Publishes the estimates of the files of `taskset` to Redis; safe to repeat.
pub(crate) fn publish(
    store: &mut Store,
    db: &mut Database,
    taskset: &TasksetKey,
) -> anyhow::Result<()> {
    // A join: PostgreSQL would run a subquery for the taskset's id once per row.
    let sql = "SELECT DISTINCT e.class, e.spec_file, e.recent FROM tasksets s
               JOIN tasks t ON t.taskset_id = s.id
               JOIN estimates e ON e.class = COALESCE(s.taskset_class, 'default')
               AND e.spec_file = t.spec_file
               WHERE s.key = $1";
    publish_rows(store, db, sql, &[taskset.as_str().into()])?;
    drop_forgotten(store, db)
}

/// Publishes the estimates of all files of `class` to Redis.
pub(crate) fn publish_class(
    store: &mut Store,
    db: &mut Database,
    class: &str,
) -> anyhow::Result<()> {
    let sql = "SELECT class, spec_file, recent FROM estimates WHERE class = $1";
    publish_rows(store, db, sql, &[class.into()])?;
    Ok(())
}

/// Removes the estimates that [`forget`] has marked, first from Redis, then from the database.
fn drop_forgotten(store: &mut Store, db: &mut Database) -> anyhow::Result<()> {
    let mut by_class: HashMap<String, Vec<String>> = HashMap::new();
    let sql = "SELECT class, spec_file FROM estimates WHERE recent = $1";
    db.query(sql, &[NONE.into()], |row| {
        let class = by_class.entry(text(&row[0]).unwrap_or_default());
        class.or_default().push(text(&row[1]).unwrap_or_default());
        Ok(())
    })?;
    for (class, files) in &by_class {
        for chunk in files.chunks(1000) {
            for hash in [key::estimate_ms(class), key::estimate_sec(class)] {
                let dropped =
                    store.call(|c, _| redis::cmd("HDEL").arg(&hash).arg(chunk).query::<()>(c));
                store::unless_refused(&hash, dropped)?;
            }
        }
    }
    if !by_class.is_empty() {
        db.execute("DELETE FROM estimates WHERE recent = $1", &[NONE.into()])?;
    }
    Ok(())
}

fn publish_rows(
    store: &mut Store,
    db: &mut Database,
    sql: &str,
    values: &[Value],
) -> anyhow::Result<usize> {
    let mut by_class: HashMap<String, Vec<(String, u64)>> = HashMap::new();
    let mut files = 0;
    db.query(sql, values, |row| {
        if let Some(ms) = expected_ms(&read(&row[2])) {
            let class = by_class
                .entry(text(&row[0]).unwrap_or_default())
                .or_default();
            class.push((text(&row[1]).unwrap_or_default(), ms));
            files += 1;
        }
        Ok(())
    })?;
    for (class, files) in by_class {
        for chunk in files.chunks(1000) {
            set(store, &class, chunk)?;
        }
    }
    Ok(files)
}

fn set(store: &mut Store, class: &str, files: &[(String, u64)]) -> anyhow::Result<()> {
    let set = store.call(|c, _| {
        let mut pipe = redis::pipe();
        pipe.cmd("HSET").arg(key::estimate_ms(class));
        for (file, ms) in files {
            pipe.arg(file).arg(ms);
        }
        pipe.ignore();
        pipe.cmd("HSET").arg(key::estimate_sec(class));
        for (file, ms) in files {
            pipe.arg(file).arg(whole_seconds(*ms));
        }
        pipe.ignore().query::<()>(c)
    });
    // The record is durable: a foreign key of the wrong type must not make it start again.
    store::unless_refused(format!("the estimates of the class '{class}'"), set)?;
    Ok(())
}

/// Recomputes the estimates from every taskset in the database and publishes them all to Redis;
/// returns the number of files with an estimate. Estimates of files whose tasksets were pruned
/// stay.
pub(crate) fn rebuild(store: &mut Store, db: &mut Database) -> anyhow::Result<usize> {
    db.transaction(|db| {
        db.lock("estimates")?;
        let mut known: HashMap<(String, String), (Vec<u64>, i64)> = HashMap::new();
        let sql = "SELECT s.taskset_class, t.spec_file, s.finished_ms, r.duration_ms,
                          r.started_at, r.finished_at
                   FROM tasksets s JOIN tasks t ON t.taskset_id = s.id
                   JOIN trials r ON r.taskset_id = t.taskset_id AND r.task = t.position
                   WHERE r.status IN ('passed', 'pending') AND t.spec_file IS NOT NULL
                   AND r.position = (SELECT min(g.position) FROM trials g
                       WHERE g.taskset_id = r.taskset_id AND g.task = r.task
                       AND g.status IN ('passed', 'pending'))
                   ORDER BY s.finished_ms DESC, s.id DESC";
        db.query(sql, &[], |row| {
            let at = |value: &Value| time::parse(&text(value)?);
            let ms = match (&row[3], at(&row[4]), at(&row[5])) {
                (Value::Number(ms), _, _) => *ms,
                (_, Some(from), Some(to)) => (to - from).num_milliseconds(),
                _ => return Ok(()),
            };
            let class = text(&row[0]).unwrap_or_else(|| field::DEFAULT.to_owned());
            let file = text(&row[1]).unwrap_or_default();
            let (recent, seen) = known.entry((class, file)).or_default();
            *seen = (*seen).max(number(&row[2]));
            if let (Ok(ms), true) = (u64::try_from(ms), recent.len() < REMEMBERED) {
                recent.push(ms);
            }
            Ok(())
        })?;
        let mut rows = Vec::new();
        let sql = "SELECT class, spec_file, recent, seen_ms FROM estimates";
        db.query(sql, &[], |row| {
            let name = |value: &Value| text(value).unwrap_or_default();
            if !known.contains_key(&(name(&row[0]), name(&row[1]))) {
                rows.push(row);
            }
            Ok(())
        })?;
        let learned = known.into_iter();
        rows.extend(
            learned
                .map(|((class, file), (recent, seen))| estimate_row(&class, &file, &recent, seen)),
        );
        db.execute("DELETE FROM estimates", &[])?;
        insert(db, &rows)?;
        for row in db.rows("SELECT DISTINCT class FROM estimates", &[])? {
            forget(db, &text(&row[0]).unwrap_or_default())?;
        }
        Ok(())
    })?;
    let sql = "SELECT class, spec_file, recent FROM estimates";
    let files = publish_rows(store, db, sql, &[])?;
    drop_forgotten(store, db)?;
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_outlier_is_ignored_and_two_are_not() {
        assert_eq!(expected_ms(&[]), None);
        assert_eq!(expected_ms(&[100]), Some(100));
        assert_eq!(expected_ms(&[300, 100]), Some(200));
        assert_eq!(expected_ms(&[90_000, 100, 110, 105]), Some(110));
        assert_eq!(expected_ms(&[100, 90_000, 110]), Some(110));
        assert_eq!(expected_ms(&[500, 510, 100, 100, 100, 100]), Some(500));
    }

    #[test]
    fn seconds_are_whole_and_never_zero() {
        let seconds = [0, 1, 999, 1000, 1001, 61_000].map(whole_seconds);
        assert_eq!(seconds, [1, 1, 1, 1, 2, 61]);
    }
}
