//! rrr-persist and rrr-history: one record of each taskset, exact to the byte, whatever happens,
//! in SQLite and in PostgreSQL alike.

mod bench;
mod deaths;
mod estimates;
mod history;
mod records;
mod tls;
mod troubles;
mod upgrades;
