//! The tools for people and scripts, and persistent records.

#[path = "../harness/mod.rs"]
mod harness;

mod people;
mod persist;
