//! The history: finished tasksets in the database and the log folder.
//!
//! Written by rrr-persist ([`save`]) and `rrr-history prune`; read by rrr-history, and by rrr-show
//! when a taskset has expired in Redis ([`load`]).

mod files;
mod load;
mod prune;
mod runs;
mod save;

pub(crate) use crate::archive::history::runs::{Filter, PastRun, failed_examples, runs, tasksets};
pub(crate) use files::{File, Files, sparkline};
pub use load::{find, load, log_file};
pub(crate) use prune::{Candidate, candidates, remove, sweep};
pub(crate) use save::{Saved, clear_loose, save, set_aside};
