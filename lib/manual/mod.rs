//! The manual pages: each tool's flags, exit codes and examples.
//!
//! The prose is in man/src, one file per tool: paragraphs, then EXAMPLES, each a sentence and an
//! indented command line. A line such as `@output` inserts the paragraph in man/src/output.txt.
//! tests/tidy/pages.rs makes the pages in man/ and the completions in scripts/completions/, and
//! checks that every example parses.

mod pages;
pub mod schema;

pub use crate::manual::pages::all;
use crate::process::exit;
use clap::Command;

/// One tool's page.
pub struct Page {
    pub command: Command,
    /// The tool's exit codes other than the common ones.
    pub exit_codes: &'static [u8],
    /// The prose, from man/src.
    source: &'static str,
}

/// Paragraphs that several pages share, by name.
const SHARED: &[(&str, &str)] = &[
    ("@from", include_str!("../../man/src/from.txt")),
    ("@output", include_str!("../../man/src/output.txt")),
    ("@policy", include_str!("../../man/src/policy.txt")),
];

/// The line of a source between its paragraphs and its examples.
const EXAMPLES: &str = "\nEXAMPLES\n";

/// Exit codes common to all tools.
const COMMON: &[u8] = &[exit::OK, exit::USAGE, exit::UNAVAILABLE, exit::INTERNAL];

/// Tools that connect to nothing.
const OFFLINE: [&str; 2] = ["rrr", "rrr-keygen"];

/// The meaning of an exit code.
pub fn meaning(code: u8) -> &'static str {
    match code {
        exit::OK => "done, or the taskset succeeded",
        exit::FAILED => "the taskset failed, or a check found a problem",
        exit::USAGE => "bad usage, configuration or input; nothing was done",
        exit::CANCELLED => "the taskset was cancelled",
        exit::NOTHING => "nothing to run",
        exit::HARD_TIMEOUT => "a test was killed at its hard timeout",
        exit::UNAVAILABLE => "Redis, or the database, cannot be reached",
        exit::TIMED_OUT => "timed out while waiting",
        _ => "internal error",
    }
}

impl Page {
    /// The tool's name.
    pub fn name(&self) -> &str {
        self.command.get_name()
    }

    /// The paragraphs after the one-line description, each on one line.
    pub fn paragraphs(&self) -> Vec<String> {
        let (prose, _) = self
            .source
            .split_once(EXAMPLES)
            .unwrap_or((self.source, ""));
        let paragraphs = prose.split("\n\n").map(str::trim);
        paragraphs
            .filter(|text| !text.is_empty())
            .map(|text| {
                let shared = SHARED.iter().find(|(name, _)| *name == text);
                let text = shared.map_or(text, |(_, text)| text);
                text.split_whitespace().collect::<Vec<_>>().join(" ")
            })
            .collect()
    }

    /// The examples: a title and a command line each.
    pub fn examples(&self) -> Vec<(&'static str, &'static str)> {
        let (_, examples) = self.source.split_once(EXAMPLES).unwrap_or_default();
        let examples = examples.split("\n\n").map(str::trim);
        let examples = examples.filter_map(|example| example.split_once('\n'));
        examples
            .map(|(what, command)| (what, command.trim()))
            .collect()
    }

    /// The meaning of an exit code of this tool.
    pub fn meaning(&self, code: u8) -> &'static str {
        match (self.name(), code) {
            ("rrr-worker", exit::OK) => {
                "done; the verdict of the taskset is reported by the submitting tool"
            }
            ("rrr-worker", exit::FAILED) => {
                "with --once or --taskset: the taskset could not be run on this machine"
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
