//! cargo nextest: builds the tests, or unpacks an archive, once per slave; then runs each task, a
//! whole binary or a single test, from that build.

use super::Workspace;
use super::cargo_test::share_processors;
use super::exec::{Inquiry, Program};
use crate::exec::report::{ReportFormat, ReportSource};
use crate::protocol::example::{Example, Status};
use crate::protocol::result::TrialResult;
use crate::tool;
use crate::tool::cargo::{self, Value};
use std::fs::File;
use std::io::{self, Write};
use std::process::Command;

/// Runs cargo nextest.
pub(crate) struct Nextest {
    words: Vec<String>,
    /// Options that make nextest use the existing build.
    built: Vec<String>,
}

impl Nextest {
    /// The tests that nextest lists.
    pub(crate) const REPORT: ReportSource = ReportSource {
        format: ReportFormat::LibtestJson,
        path: None,
    };

    /// `words`: options of cargo nextest list, followed by `--` and those of cargo nextest run.
    pub(crate) fn new(words: Vec<String>) -> Self {
        Self {
            words,
            built: Vec::new(),
        }
    }
}

/// Options of cargo nextest list that apply to cargo metadata too, with the number of their
/// arguments.
const OF_METADATA: [(&str, Value); 10] = [
    ("--manifest-path", Value::Next),
    ("--config", Value::Next),
    ("--features", Value::Next),
    ("-F", Value::Next),
    ("-Z", Value::Next),
    ("--all-features", Value::Inside),
    ("--no-default-features", Value::Inside),
    ("--offline", Value::Inside),
    ("--locked", Value::Inside),
    ("--frozen", Value::Inside),
];
/// Options that apply to cargo nextest run too when it uses an existing build. Options that choose
/// tests are not among them: each task names its own.
const OF_RUN: [(&str, Value); 14] = [
    ("--config", Value::Next),
    ("--config-file", Value::Next),
    ("--user-config-file", Value::Next),
    ("--tool-config-file", Value::Next),
    ("--profile", Value::Next),
    ("-P", Value::Next),
    ("--run-ignored", Value::Next),
    ("--cargo-metadata", Value::Next),
    ("--workspace-remap", Value::Next),
    ("--binaries-metadata", Value::Next),
    ("--target-dir-remap", Value::Next),
    ("--build-dir-remap", Value::Next),
    ("--ignore-default-filter", Value::Inside),
    ("--override-version-check", Value::Inside),
];

/// The `words` that are options in `table`, with their values.
fn only(words: &[String], table: &[(&str, Value)]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        // `-Pci` and `-Fx` are short for two words.
        let matches = |name: &str| {
            cargo::is(word, name) || (!name.starts_with("--") && word.starts_with(name))
        };
        let Some((name, value)) = table.iter().find(|(name, _)| matches(name)) else {
            continue;
        };
        kept.push(word.clone());
        if *value == Value::Next && word == name {
            kept.extend(words.next().cloned());
        }
    }
    kept
}

impl Nextest {
    /// Makes nextest build the tests, or unpack them; returns the options that run this build.
    fn built(&self, inquiry: &mut Inquiry, place: &Workspace) -> anyhow::Result<Vec<[String; 2]>> {
        let (words, _) = tool::halves(&self.words);
        let given = |name| words.iter().any(|word| cargo::is(word, name));
        if given("--binaries-metadata") {
            return Ok(Vec::new());
        }
        let mut list = Command::new("cargo");
        list.args(["nextest", "list", "--list-type", "binaries-only"])
            .args(["--message-format", "json"])
            .args(words);
        let file = |name: &str| place.path().join(name).to_string_lossy().into_owned();
        let flag = |name: &str, value: String| [name.to_owned(), value];
        if given("--archive-file") {
            let unpacked = file("archive");
            std::fs::create_dir(&unpacked)?;
            // The workspace is here, wherever the archive was made.
            list.args(["--extract-to", &unpacked]);
            let mut flags = Vec::new();
            if !given("--workspace-remap") {
                list.args(["--workspace-remap", "."]);
                flags.push(flag("--workspace-remap", ".".into()));
            }
            inquiry.ask(&mut list)?;
            let inside = |name: &str| format!("{unpacked}/target{name}");
            let binaries = inside("/nextest/binaries-metadata.json");
            let packages = inside("/nextest/cargo-metadata.json");
            flags.push(flag("--binaries-metadata", binaries));
            flags.push(flag("--cargo-metadata", packages));
            flags.push(flag("--target-dir-remap", inside("")));
            return Ok(flags);
        }
        let (binaries, packages) = (file("binaries.json"), file("packages.json"));
        write_new(&binaries, &inquiry.ask(&mut list)?)?;
        let mut metadata = Command::new("cargo");
        metadata
            .args(["metadata", "--format-version", "1"])
            .args(only(words, &OF_METADATA));
        write_new(&packages, &inquiry.ask(&mut metadata)?)?;
        Ok(vec![
            flag("--binaries-metadata", binaries),
            flag("--cargo-metadata", packages),
        ])
    }
}

impl Program for Nextest {
    fn prepare(&mut self, inquiry: &mut Inquiry, place: &Workspace) -> anyhow::Result<()> {
        let built = self.built(inquiry, place)?;
        self.built = only(tool::halves(&self.words).0, &OF_RUN);
        self.built.extend(built.into_iter().flatten());
        Ok(())
    }

    fn command(&self, spec_file: &str, _: &str) -> Result<Command, String> {
        let (binary, test) = tool::binary_and_test(spec_file);
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
            .args(tool::halves(&self.words).1)
            .env("NEXTEST_EXPERIMENTAL_LIBTEST_JSON", "1");
        share_processors(&mut command, "NEXTEST_TEST_THREADS");
        Ok(command)
    }

    /// Nextest's names are `crate::binary$test`. The lines of the report are not output of tests.
    fn finish(&self, spec_file: &str, result: &mut TrialResult) {
        let (binary, test) = tool::binary_and_test(spec_file);
        for example in &mut result.examples {
            if let Some((_, test)) = example.name.split_once('$') {
                example.name = test.to_owned();
            }
            example.id = tool::task(binary, &example.name);
        }
        if let Some(test) = test
            && result.examples.iter().any(|example| example.name == test)
        {
            // The report lists ignored tests too, whatever the filter.
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

/// A name escaped for a filter, where some characters have a special meaning.
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

/// Writes one of the slave's files: no test may have replaced it.
fn write_new(path: &str, bytes: &[u8]) -> io::Result<()> {
    File::create_new(path)?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_reach_each_call_that_takes_them() {
        let given = "--manifest-path a/Cargo.toml -p x --config=c -Pci -E all() --offline name \
                     --run-ignored all --release";
        let words: Vec<String> = given.split_whitespace().map(str::to_owned).collect();
        let metadata = "--manifest-path a/Cargo.toml --config=c --offline";
        assert_eq!(only(&words, &OF_METADATA).join(" "), metadata);
        let run = "--config=c -Pci --run-ignored all";
        assert_eq!(only(&words, &OF_RUN).join(" "), run);
    }

    #[test]
    fn names_are_escaped_in_the_filter() {
        assert_eq!(literal("p::bin/a-b"), "p::bin/a-b");
        assert_eq!(literal("a) or all("), "a\\u{29}\\u{20}or\\u{20}all\\u{28}");
    }
}
