//! Limits and defaults that Rust and the Lua scripts share.

/// The maximum number of tasks that a slave reserves in one call.
pub(crate) const MAX_BATCH: u32 = 16;

/// How many trials that were stopped from outside a task may have in addition to its `max_trials`
/// (shared/judge.lua).
pub(crate) const STOPPED_ALLOWANCE: usize = 8;

/// The maximum number of workers at once, unless the submitter chooses.
pub(crate) const DEFAULT_MAX_WORKERS: u32 = 10;

/// The maximum number of trials per task, unless the submitter chooses.
pub(crate) const DEFAULT_MAX_TRIALS: u32 = 3;
