//! How tasks run: an adapter runs one trial under limits and returns its result.

mod args;
mod cargo_test;
mod exec;
mod nextest;
mod outputs;
mod report_file;
mod runner;
mod runner_process;
pub(crate) mod runner_protocol;
mod serve;
mod workspace;

pub(crate) use crate::exec::adapter::args::AdapterArgs;
pub(crate) use crate::exec::adapter::outputs::Outputs;
pub(crate) use crate::exec::adapter::workspace::Workspace;
pub(crate) use cargo_test::CargoTest;
pub(crate) use nextest::Nextest;
pub(crate) use serve::Serve;

use crate::exec::child::Watch;
use crate::protocol::job::Job;
use crate::protocol::result::{SuiteEnd, TrialResult};
use std::time::Duration;

/// A trial to run, with its time limits.
pub(crate) struct TrialOrder<'a> {
    pub job: &'a Job,
    /// Time until the test is asked to end.
    pub soft: Duration,
    /// Time until the test is killed.
    pub hard: Duration,
}

/// A completed trial.
pub(crate) struct Finished {
    pub result: TrialResult,
    /// The trial outlived its hard deadline, and the slave should end with it.
    pub hard_timeout: bool,
}

/// Runs trials, one at a time.
pub(crate) trait Adapter {
    /// Prepares the adapter for a trial.
    ///
    /// Errors: the preparation is impossible on this machine at the moment.
    fn prepare(&mut self, _watch: &mut dyn Watch) -> anyhow::Result<()> {
        Ok(())
    }

    /// Whether the next trial needs no preparation.
    fn is_ready(&self) -> bool {
        true
    }

    /// Runs one trial. `watch` may end it early.
    fn run(&mut self, order: &TrialOrder, watch: &mut dyn Watch) -> Finished;

    /// Whether the adapter keeps a runner for many trials, whose end counts for the verdict.
    fn has_end(&self) -> bool {
        false
    }

    /// Whether such a runner is running now.
    fn is_running(&self) -> bool {
        false
    }

    /// Ends the runner, if there is one; returns how its end went. `haste`: a shorter time limit
    /// for its last actions. `watch` may interrupt it.
    fn end(&mut self, _haste: Option<Duration>, _watch: &mut dyn Watch) -> Option<SuiteEnd> {
        None
    }
}

/// Bytes kept of each output of a trial.
pub(crate) const CAPTURE: usize = 4 << 20;
/// Time for a test to end after it was asked to.
pub(crate) const GRACE: Duration = Duration::from_secs(2);
