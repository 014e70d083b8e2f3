//! The database of finished tasksets: SQLite on one machine, PostgreSQL for a fleet, one schema.
//!
//! Only features common to both are used: `$1` parameters in order of appearance, BIGINT and TEXT.

mod postgres;
mod sqlite;
mod tls;
pub(crate) mod value;

use crate::archive::db::value::Value;
use crate::process::exit::{self, failure};
use crate::process::state_dir;
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Maximum wait of a transaction for another: even two such waits in a row are far below
/// the time after which systemd considers a persister hung or stops waiting for it to exit.
const PATIENCE: Duration = Duration::from_secs(20);
/// Maximum wait where a record is worth less than the time of the person who waits.
const BRIEF_PATIENCE: Duration = Duration::from_secs(2);

/// When a commit is safe from a power failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Once it returns.
    OnDisk,
    /// Some seconds later. The database stays intact either way, and no commit waits for the disk;
    /// SQLite only.
    Eventual,
}

/// A row of a result.
pub(crate) type Row = Vec<Value>;

/// Statements, in one of the two dialects.
trait Sql {
    /// Runs statements without parameters.
    fn batch(&mut self, sql: &str) -> anyhow::Result<()>;
    /// Runs one statement and returns the number of changed rows.
    fn execute(&mut self, sql: &str, values: &[Value]) -> anyhow::Result<u64>;
    /// Passes each row to `visit`, without keeping the rows in memory.
    fn query(
        &mut self,
        sql: &str,
        values: &[Value],
        visit: &mut dyn FnMut(Row) -> anyhow::Result<()>,
    ) -> anyhow::Result<()>;
    /// Inserts many rows at once.
    fn insert(&mut self, table: &str, columns: &[&str], rows: &[Row]) -> anyhow::Result<()>;
    /// Begins a transaction that will write.
    fn begin(&mut self) -> anyhow::Result<()>;
    /// Waits until no other transaction holds the lock `name`, and holds it until the end of this
    /// one.
    fn lock(&mut self, name: &str) -> anyhow::Result<()>;
}

/// An open database with the current schema.
pub struct Database(Box<dyn Sql>);

/// The location of the database: `sqlite:PATH` or `postgres://…`.
#[derive(Clone, Debug)]
pub struct Url(String);

/// The flags for the database.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DbArgs {
    /// sqlite:PATH or postgres://… [the state folder]
    ///
    /// The database of finished tasksets; by default sqlite:~/.local/state/rrr/history.db.
    #[arg(long, value_name = "URL", hide_env_values = true)]
    db: Option<String>,
}

impl DbArgs {
    /// The given URL, or the default below the state folder.
    pub(crate) fn url(&self) -> anyhow::Result<Url> {
        let given = self.db.clone().filter(|url| !url.is_empty());
        let url = given.unwrap_or_else(|| {
            format!(
                "sqlite:{}",
                state_dir::folder().join("history.db").display()
            )
        });
        Url::new(url)
    }
}

impl Url {
    /// Parses a URL.
    pub fn new(url: String) -> anyhow::Result<Self> {
        let path = url.strip_prefix("sqlite:");
        let remote = ["postgres://", "postgresql://"];
        if path.is_some_and(|path| !path.is_empty())
            || remote.iter().any(|scheme| url.starts_with(scheme))
        {
            return Ok(Self(url));
        }
        Err(exit::usage(format!(
            "'{}' is not the URL of a database",
            Url(url).shown()
        ))
        .hint("use sqlite:PATH or postgres://USER@HOST/NAME")
        .into())
    }

    /// The URL without its password, for messages.
    pub(crate) fn shown(&self) -> String {
        crate::process::url::shown(&self.0)
    }

    /// The folder in which the database grows, if it is on this machine.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        let path = Path::new(self.0.strip_prefix("sqlite:")?);
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
        Some(folder.unwrap_or(Path::new(".")).to_owned())
    }

    /// Opens the database, creating it when absent, and migrates its schema to the current version.
    pub fn open(&self) -> anyhow::Result<Database> {
        self.open_with(Durability::OnDisk)
    }

    /// Opens the database like [`open`](Self::open), with commits of this durability.
    pub(crate) fn open_with(&self, durability: Durability) -> anyhow::Result<Database> {
        let sql: anyhow::Result<Box<dyn Sql>> = match self.0.strip_prefix("sqlite:") {
            Some(path) => sqlite::open(Path::new(path), durability).map(|sql| Box::new(sql) as _),
            None => postgres::open(&self.0).map(|sql| Box::new(sql) as _),
        };
        let problem = |error: anyhow::Error| match error.downcast_ref::<exit::Failure>() {
            Some(_) => error,
            None => self.unreachable(&error).into(),
        };
        let mut database = Database(sql.map_err(problem)?);
        database.migrate().map_err(problem)?;
        Ok(database)
    }

    /// Opens the database for reading; `None` when nothing was ever persisted there.
    pub(crate) fn open_existing(&self) -> anyhow::Result<Option<Database>> {
        match self.0.strip_prefix("sqlite:") {
            Some(path) if !Path::new(path).exists() => Ok(None),
            _ => self.open().map(Some),
        }
    }

    fn unreachable(&self, error: &anyhow::Error) -> exit::Failure {
        let why = format!("{error:#}");
        let hint = if why.contains("peer certificate") {
            "name the authority that signed it: sslrootcert=FILE in the URL"
        } else if why.contains("certificate") || why.contains("fatal alert") {
            "give the one that the server takes, and its key: sslcert=FILE and sslkey=FILE in the URL"
        } else {
            "pass --db sqlite:PATH or --db postgres://USER@HOST/NAME"
        };
        let message = format!("cannot use the database '{}': {why}", self.shown());
        failure(exit::UNAVAILABLE, message).hint(hint)
    }
}

/// Whether the error is a full disk of the database.
pub(crate) fn is_full(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| sqlite::is_full(cause) || postgres::is_full(cause))
}

/// Whether the error is a lock timeout.
pub(crate) fn is_busy(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| sqlite::is_busy(cause) || postgres::is_busy(cause))
}

/// The schema migrations, in order; the first is version 1.
const MIGRATIONS: &[&str] = &[
    include_str!("001_tasksets.sql"),
    include_str!("002_examples_and_estimates.sql"),
    include_str!("003_leaked.sql"),
    include_str!("004_outputs.sql"),
    include_str!("005_elapsed.sql"),
];

impl Database {
    fn migrate(&mut self) -> anyhow::Result<()> {
        if self.version().ok() == Some(MIGRATIONS.len() as i64) {
            return Ok(());
        }
        self.transaction(|db| {
            db.lock("schema")?;
            db.0.batch("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")?;
            let version = db.version()?;
            let known = MIGRATIONS.len() as i64;
            if version > known {
                return Err(exit::usage(format!(
                    "the database has schema version {version}, this tool knows {known}"
                ))
                .hint("use the tools of the newer version")
                .into());
            }
            for sql in &MIGRATIONS[version as usize..] {
                db.0.batch(sql)?;
            }
            db.execute("DELETE FROM schema_version", &[])?;
            db.execute(
                "INSERT INTO schema_version VALUES ($1)",
                &[Value::Number(known)],
            )?;
            Ok(())
        })
        .context("cannot bring the schema up to date")
    }

    fn version(&mut self) -> anyhow::Result<i64> {
        let sql = "SELECT version FROM schema_version";
        Ok(self
            .rows(sql, &[])?
            .first()
            .map_or(0, |row| number(&row[0])))
    }

    /// Runs `work` in one transaction: all of it is applied, or nothing.
    pub(crate) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.0.begin()?;
        let done = work(self).and_then(|done| {
            crate::process::crash_point::point();
            self.0.batch("COMMIT")?;
            crate::process::crash_point::point();
            Ok(done)
        });
        if done.is_err() {
            // A failed rollback adds nothing to the first error.
            let _ = self.0.batch("ROLLBACK");
        }
        done
    }

    /// Waits until no other transaction holds the lock `name`, and holds it until the end of this
    /// one.
    pub(crate) fn lock(&mut self, name: &str) -> anyhow::Result<()> {
        self.0.lock(name)
    }

    /// Runs one statement and returns the number of changed rows.
    pub fn execute(&mut self, sql: &str, values: &[Value]) -> anyhow::Result<u64> {
        self.0.execute(sql, values)
    }

    /// Passes each row to `visit`, without keeping the rows in memory.
    pub(crate) fn query(
        &mut self,
        sql: &str,
        values: &[Value],
        mut visit: impl FnMut(Row) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.0.query(sql, values, &mut visit)
    }

    /// All rows of a result.
    pub fn rows(&mut self, sql: &str, values: &[Value]) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        self.query(sql, values, |row| {
            rows.push(row);
            Ok(())
        })?;
        Ok(rows)
    }

    /// Inserts many rows at once.
    pub(crate) fn insert(
        &mut self,
        table: &str,
        columns: &[&str],
        rows: &[Row],
    ) -> anyhow::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        crate::process::crash_point::point();
        self.0.insert(table, columns, rows)
    }
}

/// The number in a column; 0 for NULL.
pub fn number(value: &Value) -> i64 {
    match value {
        Value::Number(number) => *number,
        _ => 0,
    }
}

/// The text in a column; `None` for NULL.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
