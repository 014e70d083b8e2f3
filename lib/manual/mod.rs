//! The manual pages: each tool's flags, exit codes and examples.
//!
//! The prose is in man/src, one file per tool: paragraphs, then EXAMPLES, each a sentence and an indented
//! command line. A line `@output` stands for the paragraph in man/src/output.txt. tests/tidy/pages.rs makes
//! the pages in man/ and the completions in scripts/completions/, and checks that every example parses.

mod pages;

pub use crate::manual::pages::all;
use crate::process::exit;
use clap::Command;

/// One tool's page.
pub struct Page {
    pub command: Command,
    /// The codes that the tool may end with besides the common ones.
    pub exit_codes: &'static [u8],
    /// Its file in man/src.
    source: &'static str,
}

/// Paragraphs that several pages share, by name.
const SHARED: &[(&str, &str)] = &[
    ("@from", include_str!("../../man/src/from.txt")),
    ("@output", include_str!("../../man/src/output.txt")),
];

/// The line of a source between its paragraphs and its examples.
const EXAMPLES: &str = "\nEXAMPLES\n";

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

    /// The examples: what each does, and its command line.
    pub fn examples(&self) -> Vec<(&'static str, &'static str)> {
        let (_, examples) = self.source.split_once(EXAMPLES).unwrap_or_default();
        let examples = examples.split("\n\n").map(str::trim);
        let examples = examples.filter_map(|example| example.split_once('\n'));
        examples
            .map(|(what, command)| (what, command.trim()))
            .collect()
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
