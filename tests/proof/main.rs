//! Proof: the protocol as a state machine, checked over all interleavings and replayed on the real
//! scripts; and properties of everything that parses.

#[path = "../harness/mod.rs"]
mod harness;

mod assignment;
mod fuzz;
mod long;
mod model;
mod replay;
