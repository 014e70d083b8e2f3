//! Persistent records: the database, the documents in the log folder, and the estimates learned
//! from them.

pub mod db;
pub mod document;
pub(crate) mod estimate;
pub mod history;
pub mod log_dir;
pub(crate) mod totals;
