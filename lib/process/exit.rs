//! The exit codes of every tool, and failures that carry one.

use crate::process::exit;
use crate::process::stderr::say;
use std::fmt;

/// Done, or the taskset succeeded.
pub const OK: u8 = 0;
/// The taskset failed.
pub const FAILED: u8 = 1;
/// Bad usage, configuration or input.
pub const USAGE: u8 = 2;
/// The taskset was cancelled.
pub const CANCELLED: u8 = 3;
/// There was nothing to run.
pub const NOTHING: u8 = 4;
/// A slave exited because a test had to be killed at its hard timeout.
pub const HARD_TIMEOUT: u8 = 42;
/// Redis cannot be reached.
pub const UNAVAILABLE: u8 = 69;
/// An internal error.
pub const INTERNAL: u8 = 70;
/// The time limit of a wait has passed.
pub const TIMED_OUT: u8 = 124;
/// The reader of stdout is gone (128 + SIGPIPE).
pub(crate) const PIPE_CLOSED: u8 = 141;

/// A failure for people: the problem, the remedy, and the exit code.
#[derive(Debug)]
pub struct Failure {
    pub code: u8,
    pub message: String,
    pub hint: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// A failure with this code and message.
pub(crate) fn failure(code: u8, message: impl Into<String>) -> Failure {
    Failure {
        code,
        message: message.into(),
        hint: None,
    }
}

impl Failure {
    /// Adds the remedy.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Prints `error` as `tool: …` and `hint: …` on stderr, and returns its exit code.
pub(crate) fn report(tool: &str, error: &anyhow::Error) -> u8 {
    say!("{tool}: {error:#}");
    match error.downcast_ref::<Failure>() {
        Some(failure) => {
            if let Some(hint) = &failure.hint {
                say!("hint: {hint}");
            }
            failure.code
        }
        None => INTERNAL,
    }
}

/// A refusal of bad input.
pub(crate) fn usage(message: impl Into<String>) -> Failure {
    failure(exit::USAGE, message)
}
