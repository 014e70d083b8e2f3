//! The tools that people and scripts use, and the records that last.

#[path = "../harness/mod.rs"]
mod harness;

mod people;
mod persist;
