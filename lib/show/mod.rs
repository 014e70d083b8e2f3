//! Showing a taskset: following it while it runs, and exporting its record.

pub mod export;
pub mod follow;
pub mod view;
pub mod waiting;
