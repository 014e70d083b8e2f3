//! Tests that cannot be made on this machine: said, and counted by scripts/test.

use std::fs::OpenOptions;
use std::io::Write;

/// Says that the test that calls this cannot be made here, and why.
///
/// libtest knows no such end of a test, so scripts/test names a file (`RRR_TEST_SKIPPED`) for it.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let line = format!("SKIPPED {}: {why}\n", thread.name().unwrap_or("a test"));
    eprint!("{line}");
    if let Some(path) = std::env::var_os("RRR_TEST_SKIPPED") {
        let file = OpenOptions::new().append(true).create(true).open(path);
        let mut file = file.expect("the list of skipped tests");
        file.write_all(line.as_bytes()).expect("a line of it");
    }
}
