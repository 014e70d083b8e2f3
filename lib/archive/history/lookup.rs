//! Finds the recorded taskset that a person means.

use crate::archive::db::value::Value;
use crate::archive::db::{Database, number, text};
use crate::protocol::taskset_ref::{NAMED, Possible, TasksetRef};
use crate::protocol::time;

/// The recorded tasksets that may be meant. `last` is the newest of `class`, if it has any, otherwise
/// of all.
pub(crate) fn possible(
    db: &mut Database,
    wanted: &TasksetRef,
    class: Option<&str>,
) -> anyhow::Result<Vec<Possible>> {
    let failed = match wanted {
        TasksetRef::Named(key) => {
            // The first character after all that an id can begin with.
            let end = format!("{key}\u{10ffff}");
            let limit = NAMED as i64 + 1;
            let values = [key.as_str().into(), end.into(), limit.into()];
            let sql = "WHERE key >= $1 AND key < $2 ORDER BY key LIMIT $3";
            return select(db, sql, &values);
        }
        TasksetRef::LastFailed => "status = 'failed'",
        TasksetRef::Last => "status IS NOT NULL",
    };
    let newest = "ORDER BY finished_ms DESC, id DESC LIMIT 1";
    if let Some(class) = class {
        let sql = format!("WHERE {failed} AND taskset_class = $1 {newest}");
        let own = select(db, &sql, &[class.into()])?;
        if !own.is_empty() {
            return Ok(own);
        }
    }
    select(db, &format!("WHERE {failed} {newest}"), &[])
}

fn select(db: &mut Database, clause: &str, values: &[Value]) -> anyhow::Result<Vec<Possible>> {
    let sql = format!("SELECT key, created_at, finished_ms FROM tasksets {clause}");
    let rows = db.rows(&sql, values)?;
    let it = |row: &Vec<Value>| {
        let created = text(&row[1]).and_then(|at| time::parse(&at));
        Some(Possible {
            key: text(&row[0])?.parse().ok()?,
            created: created.map_or(number(&row[2]) / 1000, |at| at.timestamp()),
        })
    };
    Ok(rows.iter().filter_map(it).collect())
}
