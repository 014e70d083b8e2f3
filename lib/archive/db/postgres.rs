//! PostgreSQL: the database that the machines of a fleet share.

use super::tls::Wanted;
use super::{Row, Sql};
use crate::archive::db::value::Value;
use crate::process::exit::usage;
use postgres::config::SslMode;
use postgres::error::SqlState;
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, Config, NoTls};
use std::error::Error;
use std::io::Write;
use std::time::Duration;
use tokio_postgres_rustls::MakeRustlsConnect;

pub(crate) struct Postgres(Client);

/// Connects; fails at once when the server does not answer.
pub(crate) fn open(url: &str) -> anyhow::Result<Postgres> {
    let wanted = Wanted::read(url)?;
    let mut config: Config = wanted.url.parse().map_err(|error| {
        // Not the URL itself: its password may be in a place where no redaction looks for it.
        usage(format!("invalid database URL: {error}")).hint("use postgres://USER@HOST/NAME")
    })?;
    config.connect_timeout(Duration::from_secs(5));
    config.tcp_user_timeout(Duration::from_secs(30));
    config.application_name("rrr");
    let mut client = match wanted.config()? {
        Some(tls) => config
            .ssl_mode(SslMode::Require)
            .connect(MakeRustlsConnect::new(tls))?,
        None => config.ssl_mode(SslMode::Disable).connect(NoTls)?,
    };
    // Notices about existing tables during a migration are noise.
    client.batch_execute("SET client_min_messages = warning; SET TimeZone = 'UTC'")?;
    // A bound that was set, in the URL or for the database, takes precedence.
    let bound = format!("{}ms", super::PATIENCE.as_millis());
    client.execute(
        "SELECT set_config('lock_timeout', $1, false) WHERE current_setting('lock_timeout') = '0'",
        &[&bound],
    )?;
    Ok(Postgres(client))
}

/// Whether the server ran out of disk space.
pub(crate) fn is_full(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<postgres::Error>();
    error.and_then(postgres::Error::code) == Some(&SqlState::DISK_FULL)
}

/// Whether another transaction held the lock for too long.
pub(crate) fn is_busy(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<postgres::Error>();
    error.and_then(postgres::Error::code) == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

impl ToSql for Value {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Number(number) => number.to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        [Type::INT8, Type::TEXT].contains(kind)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(match *kind {
            Type::INT8 => Self::Number(i64::from_sql(kind, raw)?),
            _ => Self::Text(String::from_sql(kind, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(kind: &Type) -> bool {
        [Type::INT8, Type::TEXT].contains(kind)
    }
}

impl Sql for Postgres {
    fn batch(&mut self, sql: &str) -> anyhow::Result<()> {
        Ok(self.0.batch_execute(sql)?)
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> anyhow::Result<u64> {
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|v| v as _).collect();
        Ok(self.0.execute(sql, &values)?)
    }

    fn query(
        &mut self,
        sql: &str,
        values: &[Value],
        visit: &mut dyn FnMut(Row) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut rows = self.0.query_raw(sql, values)?;
        while let Some(row) = rows.next()? {
            let row: Result<Row, _> = (0..row.len()).map(|at| row.try_get(at)).collect();
            visit(row?)?;
        }
        Ok(())
    }

    fn insert(&mut self, table: &str, columns: &[&str], rows: &[Row]) -> anyhow::Result<()> {
        let sql = format!("COPY {table} ({}) FROM STDIN", columns.join(","));
        let mut text = String::new();
        let mut copy = self.0.copy_in(&sql)?;
        for row in rows {
            line(row, &mut text);
            if text.len() > 1 << 16 {
                copy.write_all(text.as_bytes())?;
                text.clear();
            }
        }
        copy.write_all(text.as_bytes())?;
        copy.finish()?;
        Ok(())
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        Ok(self.0.batch_execute("BEGIN")?)
    }

    fn lock(&mut self, name: &str) -> anyhow::Result<()> {
        let name = format!("rrr {name}");
        self.0
            .execute("SELECT pg_advisory_xact_lock(hashtext($1))", &[&name])?;
        Ok(())
    }
}

/// Writes a row in the text form of COPY.
fn line(row: &[Value], out: &mut String) {
    for (at, value) in row.iter().enumerate() {
        if at > 0 {
            out.push('\t');
        }
        match value {
            Value::Null => out.push_str("\\N"),
            Value::Number(number) => out.push_str(&number.to_string()),
            Value::Text(text) => {
                for c in text.chars() {
                    match c {
                        '\\' => out.push_str("\\\\"),
                        '\t' => out.push_str("\\t"),
                        '\n' => out.push_str("\\n"),
                        '\r' => out.push_str("\\r"),
                        c => out.push(c),
                    }
                }
            }
        }
    }
    out.push('\n');
}
