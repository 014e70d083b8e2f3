//! The list of pages: each tool's flags, its prose in man/src, and the exit codes it adds.

use super::Page;
use crate::cli::flags;
use crate::process::exit;
use crate::role;

/// The exit codes of tools that wait for a verdict.
const VERDICTS: &[u8] = &[
    exit::FAILED,
    exit::CANCELLED,
    exit::NOTHING,
    exit::TIMED_OUT,
];

/// `page!("rrr-show", command, exit codes)`: the page whose prose is man/src/rrr-show.txt.
macro_rules! page {
    ($tool:literal, $command:expr, $exit_codes:expr) => {
        Page {
            command: $command,
            exit_codes: $exit_codes,
            source: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/man/src/",
                $tool,
                ".txt"
            )),
        }
    };
}

/// The page of every tool, by name.
pub fn all() -> Vec<Page> {
    use role::*;
    vec![
        page!("rrr", plugin::command(), &[]),
        page!("rrr-arbiter", flags::command::<arbiter::Options>(), &[]),
        page!(
            "rrr-cancel",
            flags::command::<cancel::Options>(),
            &[exit::NOTHING]
        ),
        page!("rrr-dispatch", flags::command::<dispatch::Options>(), &[]),
        page!(
            "rrr-fsck",
            flags::command::<fsck::Options>(),
            &[exit::FAILED]
        ),
        page!("rrr-history", flags::command::<history::Options>(), &[]),
        page!("rrr-keygen", flags::command::<keygen::Options>(), &[]),
        page!("rrr-list", flags::command::<list::Options>(), &[]),
        page!("rrr-local", flags::command::<local::Options>(), VERDICTS),
        page!("rrr-persist", flags::command::<persist::Options>(), &[]),
        page!("rrr-show", flags::command::<show::Options>(), &[]),
        page!(
            "rrr-slave",
            flags::command::<slave::Options>(),
            &[exit::HARD_TIMEOUT]
        ),
        page!(
            "rrr-stat",
            flags::command::<stat::Options>(),
            &[exit::FAILED]
        ),
        page!("rrr-submit", flags::command::<submit::Options>(), VERDICTS),
        page!("rrr-wait", flags::command::<wait::Options>(), VERDICTS),
        page!("rrr-watch", flags::command::<watch::Options>(), VERDICTS),
        page!(
            "rrr-worker",
            flags::command::<worker::Options>(),
            &[exit::FAILED]
        ),
    ]
}
