//! rrr in production, under attack, and its costs in exact counts.

#[path = "../harness/mod.rs"]
mod harness;

mod campaigns;
mod counts;
mod production;
