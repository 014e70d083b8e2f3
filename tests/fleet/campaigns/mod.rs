//! The campaigns: attacks on a running system, each of which must end with the right verdict, the
//! right counts, and no leftovers.
//!
//! Random choices start from a printed seed; `RRR_SEED=N` repeats them.

mod chaos;
mod crash_points;
mod fire;
mod hygiene;
mod output;
mod partition;
mod redis_itself;
mod scale;
mod stall;
