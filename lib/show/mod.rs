//! Showing a taskset: following it while it runs, and exporting its record.

pub(crate) mod export;
pub(crate) mod follow;
pub(crate) mod reason;
pub(crate) mod view;
pub(crate) mod waiting;
