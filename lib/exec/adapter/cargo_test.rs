//! Rust's test binaries, run as cargo test would run them: cargo builds them once per slave; then
//! each task is a whole binary or a single test, started without cargo.

use super::Workspace;
use super::exec::{Inquiry, Program};
use crate::exec::report::{self, ReportFormat, ReportSource};
use crate::protocol::result::TrialResult;
use crate::protocol::status::TrialStatus;
use crate::tool;
use crate::tool::cargo;
use std::collections::HashMap;
use std::process::Command;

/// Runs test binaries.
pub(crate) struct CargoTest {
    words: Vec<String>,
    binaries: HashMap<String, cargo::Binary>,
}

impl CargoTest {
    /// The format of the binaries' output.
    pub(crate) const REPORT: ReportSource = ReportSource {
        format: ReportFormat::Libtest,
        path: None,
    };

    /// `words`: options of cargo, followed by `--` and those of the binaries.
    pub(crate) fn new(words: Vec<String>) -> Self {
        Self {
            words,
            binaries: HashMap::new(),
        }
    }
}

impl Program for CargoTest {
    fn prepare(&mut self, inquiry: &mut Inquiry, place: &Workspace) -> anyhow::Result<()> {
        let binaries = cargo::build(&self.words, place.path(), &mut |command| {
            inquiry.ask(command)
        })?;
        let binaries = binaries.into_iter();
        self.binaries = binaries.map(|binary| (binary.id.clone(), binary)).collect();
        Ok(())
    }

    fn command(&self, spec_file: &str, _: &str) -> Result<Command, String> {
        let (id, test) = tool::binary_and_test(spec_file);
        let mut command = match self.binaries.get(id) {
            Some(binary) => binary.command(test),
            None if spec_file == cargo::DOCTESTS => cargo::doctests(&self.words),
            None => {
                return Err(format!(
                    "no test binary '{id}' is built here: does rrr-slave get the same options?"
                ));
            }
        };
        share_processors(&mut command, "RUST_TEST_THREADS");
        Ok(command)
    }

    /// A binary with its own `main` may print anything: cargo then uses the exit code alone.
    fn reports(&self, spec_file: &str, result: &TrialResult) -> bool {
        let (id, _) = tool::binary_and_test(spec_file);
        if self
            .binaries
            .get(id)
            .is_none_or(|binary| binary.has_harness)
        {
            return true;
        }
        let report = report::parse(ReportFormat::Libtest, &result.stdout);
        let verdict = report.verdict().filter(|_| report.broken.is_none());
        verdict == Some(result.status)
            || (verdict == Some(TrialStatus::Pending) && result.status == TrialStatus::Passed)
    }

    fn finish(&self, spec_file: &str, result: &mut TrialResult) {
        let (binary, _) = tool::binary_and_test(spec_file);
        for example in &mut result.examples {
            example.id = tool::task(binary, &example.name);
        }
    }
}

/// Leaves each slave of the worker its share of the processors, unless the user has set a binary's
/// number of threads.
pub(super) fn share_processors(command: &mut Command, variable: &str) {
    let is_set = command.get_envs().any(|(name, _)| name == variable);
    if is_set || std::env::var_os(variable).is_some() {
        return;
    }
    let slaves = std::env::var("NUM_SLAVES").ok();
    let slaves = slaves.and_then(|text| text.parse().ok()).unwrap_or(1);
    let processors = std::thread::available_parallelism().map_or(1, |number| number.get());
    command.env(variable, (processors / slaves.max(1)).max(1).to_string());
}
