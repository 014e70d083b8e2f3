//! The core: suites run by real roles, faults of the original, schedules, rrr-fsck, the tools for
//! people and scripts, and persistent records.

#[path = "../harness/mod.rs"]
mod harness;

mod faults;
mod fsck;
mod people;
mod persist;
mod runs;
mod schedule;
