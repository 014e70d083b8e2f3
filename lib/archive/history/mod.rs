//! The history: finished tasksets in the database and the log folder.
//!
//! Written by rrr-persist ([`save`]) and `rrr-history prune`; read by rrr-history, and by rrr-show
//! when a taskset has expired in Redis ([`load`]).

mod files;
mod load;
mod prune;
mod runs;
mod save;

pub use files::{File, Files, sparkline};
pub use load::{find, load, log_file};
pub use prune::{Candidate, candidates, remove, sweep};
pub use runs::{Filter, Run, Try, failed_examples, runs, tasksets};
pub use save::{Saved, clear_loose, save, set_aside};
