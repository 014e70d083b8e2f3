//! The server's counts of calls per command, including those inside scripts.
//!
//! [`Proxy::round_trips`](crate::harness::Proxy::round_trips) counts the round trips of a client.

use std::collections::BTreeMap;

use redis::{Connection, cmd};

/// Calls by command name as in INFO: lower case, `client|setinfo` for a subcommand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// The calls since the server started, excluding this INFO.
    #[track_caller]
    pub fn take(conn: &mut Connection) -> Self {
        let info: String = cmd("INFO").arg("commandstats").query(conn).expect("INFO");
        let count = |line: &str| {
            let (name, fields) = line.strip_prefix("cmdstat_")?.split_once(':')?;
            let calls = fields.split(',').find_map(|f| f.strip_prefix("calls="))?;
            Some((name.to_owned(), calls.parse().ok()?))
        };
        Self(info.lines().filter_map(count).collect())
    }

    /// The calls since `before`, excluding the INFO that took `before`.
    pub fn since(&self, before: &Self) -> Self {
        let mut calls = self.0.clone();
        for (name, count) in &mut calls {
            let asking = u64::from(name == "info");
            *count = count.saturating_sub(before.get(name) + asking);
        }
        calls.retain(|_, count| *count > 0);
        Self(calls)
    }

    /// The calls of one command.
    pub fn get(&self, command: &str) -> u64 {
        self.0.get(command).copied().unwrap_or_default()
    }

    /// Commands and their calls, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, count)| (name.as_str(), *count))
    }
}
