//! Proof: the protocol as a state machine, checked over all interleavings and replayed on the real
//! scripts.

#[path = "../harness/mod.rs"]
mod harness;

mod assignment;
mod model;
mod replay;
