//! The faults of the original, one per test. Each test is named after the fault's id and the
//! invariant that must hold.

mod double_counts;
mod drain;
mod false_green;
mod leaks;
mod lost_messages;
mod planted;
mod sick_workers;
mod stuck;
mod submissions;
mod suite_ends;
mod survivors;
mod wrong_types;
