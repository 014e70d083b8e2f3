//! Rust's test binaries, run as cargo test would run them: cargo builds them once a slave, then each
//! task is a whole binary or a single test of one, started without cargo.

use super::Place;
use super::exec::{Inquiry, Program};
use crate::report::{Format, Source};
use crate::source::{self, cargo};
use crate::trial;
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

/// Runs test binaries.
pub struct CargoTest {
    words: Vec<String>,
    binaries: HashMap<String, cargo::Binary>,
    libraries: Vec<PathBuf>,
}

impl CargoTest {
    /// What the binaries print.
    pub const REPORT: Source = Source {
        format: Format::Libtest,
        path: None,
    };

    /// `words`: options of cargo, and behind `--` of the binaries.
    pub fn new(words: Vec<String>) -> Self {
        Self {
            words,
            binaries: HashMap::new(),
            libraries: Vec::new(),
        }
    }
}

impl Program for CargoTest {
    fn prepare(&mut self, inquiry: &mut Inquiry, _: &Place) -> anyhow::Result<()> {
        let messages = inquiry.ask(&mut cargo::build(&self.words))?;
        let libraries = inquiry.ask(&mut cargo::ask_libraries()).unwrap_or_default();
        self.libraries = cargo::libraries(&libraries);
        let binaries = cargo::binaries(&messages)?.into_iter();
        self.binaries = binaries.map(|binary| (binary.id.clone(), binary)).collect();
        Ok(())
    }

    fn command(&self, spec_file: &str, _: &str) -> Result<Command, String> {
        let (id, test) = source::binary_and_test(spec_file);
        let Some(binary) = self.binaries.get(id) else {
            return Err(format!(
                "cargo builds no test binary '{id}' here: does rrr-slave get the same options?"
            ));
        };
        let mut command = binary.command(&self.libraries);
        if let Some(test) = test {
            command.args(["--exact", test]);
        }
        command.args(source::halves(&self.words).1);
        share_processors(&mut command, "RUST_TEST_THREADS");
        Ok(command)
    }

    fn finish(&self, spec_file: &str, result: &mut trial::Result) {
        let (binary, _) = source::binary_and_test(spec_file);
        for example in &mut result.examples {
            example.id = source::task(binary, &example.name);
        }
    }
}

/// Leaves each slave of the worker its part of the processors, unless the user has said how many
/// threads a binary is to have.
pub(super) fn share_processors(command: &mut Command, variable: &str) {
    if std::env::var_os(variable).is_some() {
        return;
    }
    let slaves = std::env::var("NUM_SLAVES").ok();
    let slaves = slaves.and_then(|text| text.parse().ok()).unwrap_or(1);
    let processors = std::thread::available_parallelism().map_or(1, |number| number.get());
    command.env(variable, (processors / slaves.max(1)).max(1).to_string());
}
