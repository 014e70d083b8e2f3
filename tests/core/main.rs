//! The core: suites through real roles, faults of the original, schedules, and what rrr-fsck finds.

#[path = "../harness/mod.rs"]
mod harness;

mod faults;
mod fsck;
mod runs;
mod schedule;
