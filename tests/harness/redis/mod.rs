//! A Redis of the test's own, and everything in it.

pub mod commandstats;
pub mod dump;
pub mod invariants;
pub mod raw;
pub mod redis_mode;
pub mod resp;
pub mod server;
