//! Limits and defaults that Rust and the Lua scripts share.

/// Most tasks that a slave takes in one call.
pub(crate) const MAX_BATCH: u32 = 16;

/// Trials stopped from outside that a task may have besides its `max_trials` (shared/judge.lua).
pub(crate) const STOPPED_ALLOWANCE: usize = 8;

/// Most workers at once, where nobody says.
pub(crate) const DEFAULT_MAX_WORKERS: u32 = 10;

/// Most trials of a task, where nobody says.
pub(crate) const DEFAULT_MAX_TRIALS: u32 = 3;
