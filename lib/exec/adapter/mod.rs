//! How tasks are run: an adapter makes one trial under limits and says what came of it.

mod args;
mod cargo_test;
mod exec;
mod nextest;
mod outputs;
mod report_file;
mod runner;
mod runner_process;
mod runner_protocol;
mod serve;
mod workspace;

pub(crate) use crate::exec::adapter::args::Choice;
pub(crate) use crate::exec::adapter::workspace::Place;
pub(crate) use cargo_test::CargoTest;
pub(crate) use nextest::Nextest;
pub(crate) use outputs::Outputs;
pub(crate) use serve::Serve;

use crate::exec::child::Watch;
use crate::protocol::job::Job;
use crate::protocol::result::SuiteEnd;
use crate::protocol::result::TrialResult;
use std::time::Duration;

/// A trial to be made, and the time it has.
pub(crate) struct Order<'a> {
    pub job: &'a Job,
    /// Time until the test is asked to end.
    pub soft: Duration,
    /// Time until it is killed.
    pub hard: Duration,
}

/// A trial that was made.
pub(crate) struct Made {
    pub result: TrialResult,
    /// It outlived its hard deadline, and the slave should end with it.
    pub hard_timeout: bool,
}

/// Makes trials, one at a time.
pub(crate) trait Adapter {
    /// Makes it ready for a trial.
    ///
    /// Errors: it cannot be, on this machine and now.
    fn prepare(&mut self, _watch: &mut dyn Watch) -> anyhow::Result<()> {
        Ok(())
    }

    /// Whether the next trial needs no preparation.
    fn is_ready(&self) -> bool {
        true
    }

    /// Makes one. `watch` may end it early.
    fn run(&mut self, order: &Order, watch: &mut dyn Watch) -> Made;

    /// Whether it keeps a runner for many trials, whose end decides too.
    fn has_end(&self) -> bool {
        false
    }

    /// Whether there is such a runner now.
    fn is_running(&self) -> bool {
        false
    }

    /// Ends what it keeps; how that went, if there is anything. `haste`: it has only so long for what it
    /// wants to do last. `watch` may break it off.
    fn end(&mut self, _haste: Option<Duration>, _watch: &mut dyn Watch) -> Option<SuiteEnd> {
        None
    }
}

/// Bytes kept of each of a trial's outputs.
pub(crate) const CAPTURE: usize = 4 << 20;
/// Time a test has to end after it was asked to.
pub(crate) const GRACE: Duration = Duration::from_secs(2);
