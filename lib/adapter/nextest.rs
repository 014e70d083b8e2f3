//! cargo nextest: it builds, or unpacks an archive, once a slave; then it runs each task, a whole
//! binary or a single test of one, from what it built.

use super::Place;
use super::cargo_test::share_processors;
use super::exec::{Inquiry, Program};
use crate::example::{Example, Status};
use crate::report::{Format, Source};
use crate::source;
use crate::trial;
use std::process::Command;

/// Runs cargo nextest.
pub struct Nextest {
    words: Vec<String>,
    /// Options that make it use what was built.
    built: Vec<String>,
}

impl Nextest {
    /// What it prints.
    pub const REPORT: Source = Source {
        format: Format::LibtestJson,
        path: None,
    };

    /// `words`: options of cargo nextest list, and behind `--` of cargo nextest run.
    pub fn new(words: Vec<String>) -> Self {
        Self {
            words,
            built: Vec::new(),
        }
    }
}

impl Program for Nextest {
    fn prepare(&mut self, inquiry: &mut Inquiry, place: &Place) -> anyhow::Result<()> {
        let (words, _) = source::halves(&self.words);
        let given = |name: &str| {
            let long = format!("{name}=");
            words
                .iter()
                .any(|word| word == name || word.starts_with(&long))
        };
        if given("--binaries-metadata") {
            self.built = words.to_vec();
            return Ok(());
        }
        let mut list = Command::new("cargo");
        list.args(["nextest", "list", "--list-type", "binaries-only"])
            .args(["--message-format", "json"])
            .args(words);
        let file = |name: &str| place.path().join(name).to_string_lossy().into_owned();
        let built = if given("--archive-file") {
            let unpacked = file("archive");
            std::fs::create_dir(&unpacked)?;
            // The tree is here, wherever the archive was made.
            list.args(["--extract-to", &unpacked, "--workspace-remap", "."]);
            inquiry.ask(&mut list)?;
            let inside = |name: &str| format!("{unpacked}/target{name}");
            [
                (
                    "--binaries-metadata",
                    inside("/nextest/binaries-metadata.json"),
                ),
                ("--cargo-metadata", inside("/nextest/cargo-metadata.json")),
                ("--target-dir-remap", inside("")),
                ("--workspace-remap", ".".into()),
            ]
            .to_vec()
        } else {
            let (binaries, packages) = (file("binaries.json"), file("packages.json"));
            std::fs::write(&binaries, inquiry.ask(&mut list)?)?;
            let mut metadata = Command::new("cargo");
            metadata.args(["metadata", "--format-version", "1"]);
            std::fs::write(&packages, inquiry.ask(&mut metadata)?)?;
            [
                ("--binaries-metadata", binaries),
                ("--cargo-metadata", packages),
            ]
            .to_vec()
        };
        let flags = built.into_iter();
        self.built = flags
            .flat_map(|(name, value)| [name.to_owned(), value])
            .collect();
        Ok(())
    }

    fn command(&self, spec_file: &str, _: &str) -> Result<Command, String> {
        let (binary, test) = source::binary_and_test(spec_file);
        let mut filter = format!("binary_id(={})", literal(binary));
        if let Some(test) = test {
            filter.push_str(&format!(" and test(={})", literal(test)));
        }
        let mut command = Command::new("cargo");
        command
            .args(["nextest", "run"])
            .args(&self.built)
            .args(["--no-fail-fast", "--message-format", "libtest-json"])
            .args(["--filterset", &filter])
            .args(source::halves(&self.words).1)
            .env("NEXTEST_EXPERIMENTAL_LIBTEST_JSON", "1");
        share_processors(&mut command, "NEXTEST_TEST_THREADS");
        Ok(command)
    }

    /// Its own names are `crate::binary$test`. The lines of the report are not what tests print.
    fn finish(&self, spec_file: &str, result: &mut trial::Result) {
        let (binary, test) = source::binary_and_test(spec_file);
        for example in &mut result.examples {
            if let Some((_, test)) = example.name.split_once('$') {
                example.name = test.to_owned();
            }
            example.id = source::task(binary, &example.name);
        }
        if let Some(test) = test
            && result.examples.iter().any(|example| example.name == test)
        {
            // It tells of ignored tests too, whatever the filter.
            let others =
                |example: &Example| example.name != test && example.status == Status::Pending;
            let all = result.examples.len();
            result.examples.retain(|example| !others(example));
            result.pending -= (all - result.examples.len()) as u64;
        }
        if !result.examples.is_empty() {
            let lines = result.stdout.split_inclusive(|byte| *byte == b'\n');
            let printed = lines.filter(|line| !line.starts_with(b"{\"type\":"));
            result.stdout = printed.collect::<Vec<_>>().concat();
        }
    }
}

/// A name as it stands in a filter, where some characters mean more.
fn literal(name: &str) -> String {
    let mut literal = String::new();
    for c in name.chars() {
        if c.is_alphanumeric() || "_:-./".contains(c) {
            literal.push(c);
        } else {
            literal.push_str(&c.escape_unicode().to_string());
        }
    }
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_its_place_in_the_filter() {
        assert_eq!(literal("p::bin/a-b"), "p::bin/a-b");
        assert_eq!(literal("a) or all("), "a\\u{29}\\u{20}or\\u{20}all\\u{28}");
    }
}
