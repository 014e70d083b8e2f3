//! The campaigns: attacks on a running system, each of which must end with the right verdict, the
//! right counts, and nothing left over.
//!
//! What is random begins with a seed that is printed; `RRR_SEED=N` repeats it.

mod chaos;
mod crash_points;
mod fire;
mod hygiene;
mod output;
mod partition;
mod redis_itself;
mod scale;
mod stall;
