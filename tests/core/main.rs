//! The core: suites run by real roles, faults of the original, schedules, and rrr-fsck.

#[path = "../harness/mod.rs"]
mod harness;

mod faults;
mod fsck;
mod runs;
mod schedule;
