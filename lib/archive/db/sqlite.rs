//! SQLite: the embedded database.

use super::{Durability, Row, Sql};
use crate::archive::db::value::Value;
use anyhow::Context;
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, params_from_iter};
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) struct Sqlite(Connection);

/// Pages of 4 KiB in the log before they are moved to the database.
const LOG_PAGES: u32 = 4096;

/// Opens the file, creating it and its folder when absent.
pub(crate) fn open(path: &Path, durability: Durability) -> anyhow::Result<Sqlite> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create the folder '{}'", folder.display()))?;
    }
    let connection = Connection::open(path)?;
    let patience = match durability {
        Durability::OnDisk => super::PATIENCE,
        Durability::Eventual => super::BRIEF_PATIENCE,
    };
    connection.busy_timeout(patience)?;
    // Readers do not wait for the writer.
    use_wal(&connection, patience)?;
    match durability {
        Durability::OnDisk => connection.pragma_update(None, "synchronous", "full")?,
        Durability::Eventual => {
            connection.pragma_update(None, "synchronous", "normal")?;
            // Closing the last connection would otherwise wait for the disk, and so would most
            // commits of a large run; the log then holds up to 16 MiB.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        }
    }
    Ok(Sqlite(connection))
}

/// Switches the file to write-ahead logging. An older file is converted once; a concurrent opener
/// is refused at once, since the busy timeout does not apply to two processes that want the same
/// lock.
fn use_wal(connection: &Connection, patience: Duration) -> rusqlite::Result<()> {
    let began = Instant::now();
    loop {
        let done = connection.pragma_update(None, "journal_mode", "wal");
        match done {
            Err(error) if is_busy(&error) && began.elapsed() < patience => {
                std::thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
}

/// Whether SQLite ran out of disk space.
pub(crate) fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<rusqlite::Error>();
    error.and_then(rusqlite::Error::sqlite_error_code) == Some(rusqlite::ErrorCode::DiskFull)
}

/// Whether another writer held the lock for too long.
pub(crate) fn is_busy(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<rusqlite::Error>();
    error.and_then(rusqlite::Error::sqlite_error_code) == Some(rusqlite::ErrorCode::DatabaseBusy)
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Number(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

fn value(value: ValueRef<'_>) -> anyhow::Result<Value> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Number(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        other => anyhow::bail!("unexpected {:?} in the database", other.data_type()),
    })
}

impl Sql for Sqlite {
    fn batch(&mut self, sql: &str) -> anyhow::Result<()> {
        Ok(self.0.execute_batch(sql)?)
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> anyhow::Result<u64> {
        let mut statement = self.0.prepare_cached(sql)?;
        Ok(statement.execute(params_from_iter(values))? as u64)
    }

    fn query(
        &mut self,
        sql: &str,
        values: &[Value],
        visit: &mut dyn FnMut(Row) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut statement = self.0.prepare_cached(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            let row: anyhow::Result<Row> = (0..columns).map(|at| value(row.get_ref(at)?)).collect();
            visit(row?)?;
        }
        Ok(())
    }

    fn insert(&mut self, table: &str, columns: &[&str], rows: &[Row]) -> anyhow::Result<()> {
        let places = vec!["?"; columns.len()].join(",");
        let sql = format!(
            "INSERT INTO {table} ({}) VALUES ({places})",
            columns.join(",")
        );
        let mut statement = self.0.prepare_cached(&sql)?;
        for row in rows {
            statement.execute(params_from_iter(row))?;
        }
        Ok(())
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        // The write lock from the start: a waiting transaction has not yet read anything that may
        // change.
        Ok(self.0.execute_batch("BEGIN IMMEDIATE")?)
    }

    fn lock(&mut self, _name: &str) -> anyhow::Result<()> {
        // The single write lock covers everything.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_timeout_is_distinguished_from_other_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let open = || open(&path, Durability::OnDisk).unwrap();
        let (mut one, mut two) = (open(), open());
        two.0.busy_timeout(std::time::Duration::ZERO).unwrap();
        one.begin().unwrap();
        assert!(crate::archive::db::is_busy(&two.begin().unwrap_err()));
        one.batch("COMMIT").unwrap();
        two.begin().unwrap();
        assert!(!crate::archive::db::is_busy(
            &two.batch("nonsense").unwrap_err()
        ));
    }
}
