//! rrr in production, under attack, and in exact counts.

#[path = "../harness/mod.rs"]
mod harness;

mod campaigns;
mod counts;
mod production;
