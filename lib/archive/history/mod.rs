//! The history: finished tasksets in the database and the log folder.
//!
//! Written by rrr-persist and rrr-local ([`save`]), and by `rrr-history prune`; read by rrr-history,
//! by rrr-show when a taskset has expired in Redis ([`load`]), and by the next run of rrr-local.

mod files;
mod lessons;
mod load;
mod lookup;
mod prune;
mod runs;
mod save;

pub(crate) use crate::archive::history::runs::{Filter, PastRun, failed_examples, runs, tasksets};
pub(crate) use files::{File, Files, sparkline};
pub(crate) use lessons::{durations_ms, failed_last};
pub use load::{find, load, log_file};
pub(crate) use lookup::possible;
pub(crate) use prune::{Candidate, Limits, candidates, remove, sweep, trim};
pub(crate) use save::{Saved, clear_loose, save, set_aside};
