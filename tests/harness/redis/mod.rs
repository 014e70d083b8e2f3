//! One Redis per test, and access to its content.

pub mod commandstats;
pub mod dump;
pub mod invariants;
pub mod raw;
pub mod redis_mode;
pub mod resp;
pub mod server;
