//! How tasks are run: an adapter makes one trial under limits and says what came of it.

mod exec;

pub use exec::Exec;

use crate::child::Watch;
use crate::slave::Job;
use crate::trial;
use std::time::Duration;

/// A trial to be made, and the time it has.
pub struct Order<'a> {
    pub job: &'a Job,
    /// Time until the test is asked to end.
    pub soft: Duration,
    /// Time until it is killed.
    pub hard: Duration,
}

/// A trial that was made.
pub struct Made {
    pub result: trial::Result,
    /// It outlived its hard deadline, and the slave should end with it.
    pub hard_timeout: bool,
}

/// Makes trials, one at a time.
pub trait Adapter {
    /// Makes one. `watch` may end it early.
    fn run(&mut self, order: &Order, watch: &mut dyn Watch) -> Made;
}

/// Bytes kept of each of a trial's outputs.
const CAPTURE: usize = 4 << 20;
/// Time a test has to end after it was asked to.
pub const GRACE: Duration = Duration::from_secs(2);

/// A result that only says that no test could be run.
fn error_result(message: String) -> trial::Result {
    trial::Result {
        status: trial::Status::Error,
        stdout: Vec::new(),
        stderr: message.into_bytes(),
        passed: 0,
        pending: 0,
        failed: 0,
        duration_ms: 0,
        exit_code: None,
        signal: None,
        stopped: None,
    }
}
