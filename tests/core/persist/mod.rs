//! rrr-persist and rrr-history: exactly one record per taskset, exact to the byte, in SQLite and
//! in PostgreSQL.

mod bench;
mod deaths;
mod estimates;
mod history;
mod records;
mod tls;
mod troubles;
mod upgrades;
