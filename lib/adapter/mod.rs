//! How tasks are run: an adapter makes one trial under limits and says what came of it.

mod exec;
mod place;
mod report;

pub use exec::Exec;
pub use place::Place;

use crate::child::Watch;
use crate::slave::Job;
use crate::trial;
use std::path::PathBuf;
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

/// Where a program is, by its path or on PATH.
fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.exists());
    }
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}
