//! What each tool's manual page says besides its flags: its exit codes and examples.
//!
//! tests/pages.rs makes the pages in man/ and the completions in scripts/completions/ from this and
//! from the flags' own definitions, and checks that every example parses.

mod pages;

pub use crate::manual::pages::all;
use crate::process::exit;
use clap::Command;

/// One tool's page.
pub struct Page {
    pub command: Command,
    /// A few paragraphs after the one-line description.
    pub more: &'static [&'static str],
    pub exit_codes: &'static [u8],
    /// What an example does, and its command line.
    pub examples: &'static [(&'static str, &'static str)],
}

/// Codes that every tool may end with.
const COMMON: &[u8] = &[exit::OK, exit::USAGE, exit::UNAVAILABLE, exit::INTERNAL];

/// Tools that connect to nothing.
const OFFLINE: [&str; 2] = ["rrr", "rrr-keygen"];

/// What an exit code means.
pub fn meaning(code: u8) -> &'static str {
    match code {
        exit::OK => "done, or the taskset succeeded",
        exit::FAILED => "the taskset failed, or a check found something wrong",
        exit::USAGE => "bad usage, configuration or input; nothing was done",
        exit::CANCELLED => "the taskset was cancelled",
        exit::NOTHING => "there was nothing to run",
        exit::HARD_TIMEOUT => "a test had to be killed at its hard timeout",
        exit::UNAVAILABLE => "Redis, or the database, cannot be reached",
        exit::TIMED_OUT => "the time given for waiting is over",
        _ => "something inside went wrong",
    }
}

impl Page {
    /// The tool's name.
    pub fn name(&self) -> &str {
        self.command.get_name()
    }

    /// What an exit code of this tool means.
    pub fn meaning(&self, code: u8) -> &'static str {
        match (self.name(), code) {
            ("rrr-worker", exit::OK) => {
                "done; whether the taskset succeeded is told where it was submitted"
            }
            ("rrr-worker", exit::FAILED) => {
                "with --once or --taskset: the taskset could not be run here"
            }
            _ => meaning(code),
        }
    }

    /// All its exit codes, in order.
    pub fn codes(&self) -> Vec<u8> {
        let mut codes = [COMMON, self.exit_codes].concat();
        if OFFLINE.contains(&self.name()) {
            codes.retain(|code| *code != exit::UNAVAILABLE);
        }
        codes.sort_unstable();
        codes.dedup();
        codes
    }
}
