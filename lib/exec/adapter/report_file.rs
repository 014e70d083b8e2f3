//! The report of a command: its location, and its effect on the trial's result.

use crate::exec::report::{self, Report, ReportFormat, ReportSource};
use crate::process::regular_file::{self, Links};
use crate::process::{remove_tree, stderr};
use crate::protocol::example::Status;
use crate::protocol::result::TrialResult;
use crate::protocol::status::TrialStatus;
use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

/// Maximum size of a report in bytes.
const LARGEST: u64 = 32 << 20;

/// The location of one trial's report, if it is a file.
pub(crate) struct ReportPlace {
    pub path: PathBuf,
    /// Whether the path was given by the user, rather than being in the slave's folder.
    is_given: bool,
    /// Whether the report must be in the file. Otherwise it is in the file if that was written,
    /// else on stdout.
    in_file: bool,
}

impl ReportPlace {
    /// The requested path, with `{}` for the spec file, or a path in the slave's folder, which the
    /// command `names` or not.
    pub(crate) fn new(
        source: Option<&ReportSource>,
        place: &super::Workspace,
        spec_file: &str,
        names: bool,
    ) -> Self {
        let path = source.and_then(|source| source.path.as_deref());
        let is_file = |source: &ReportSource| match source.format {
            ReportFormat::Junit => true,
            // Automatic detection of the format detects the location as well.
            ReportFormat::Auto => false,
            _ => names,
        };
        Self {
            path: match path {
                Some(path) => path.replace("{}", spec_file).into(),
                None => place.report(),
            },
            is_given: path.is_some(),
            in_file: path.is_some() || source.is_some_and(is_file),
        }
    }

    /// Removes an earlier trial's report at a path given by the user, lest it count for this trial.
    /// A folder there may be the user's own: it is renamed.
    pub(crate) fn clear(&self) -> Result<(), String> {
        if !self.is_given {
            return Ok(());
        }
        let is_in_the_way = |error: &io::Error| {
            let gone = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
            !gone.contains(&error.kind()) && std::fs::remove_dir(&self.path).is_err()
        };
        match std::fs::remove_file(&self.path) {
            Err(error) if is_in_the_way(&error) => {
                let shown = self.path.display();
                let aside = remove_tree::set_aside(&self.path).map_err(|why| {
                    format!("'{shown}', the path of the report, cannot be removed: {why}")
                })?;
                stderr::line(&remove_tree::complaint(
                    "rrr-slave",
                    &self.path,
                    &aside,
                    &error,
                ));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Applies the report to the result. `whole`: stdout is complete.
    ///
    /// A report can worsen a result and supply its counts; only the exit code can make it a
    /// success.
    pub(crate) fn fill(&self, source: &ReportSource, whole: bool, result: &mut TrialResult) {
        let mut report = match self.read(source, whole, &result.stdout) {
            Ok(bytes) => report::parse(source.format, &bytes),
            Err(why) => Report::broken(why),
        };
        if let Some(why) = &report.broken {
            result.note(format_args!("the report cannot be used: {why}"));
        }
        for error in &report.outside {
            result.note(format_args!("error outside of examples: {}", error.trim()));
        }
        let status = judge(&mut report, result);
        if report.broken.is_some() && report.total() == 0 {
            if status != result.status {
                result.set_status_alone(status);
            }
            return;
        }
        result.status = status;
        result.passed = report.count(Status::Passed);
        result.pending = report.count(Status::Pending);
        result.failed = report.bad();
        result.examples = report.examples;
        result.examples_cut = report.cut;
    }

    fn read<'a>(
        &self,
        source: &ReportSource,
        whole: bool,
        stdout: &'a [u8],
    ) -> Result<Cow<'a, [u8]>, String> {
        // A command that prints TAP may also write a JUnit report to the path in Bazel's variable.
        let is_printed = matches!(source.format, ReportFormat::Tap | ReportFormat::Libtest);
        let from_file = self.in_file || !is_printed && self.path.symlink_metadata().is_ok();
        if !from_file {
            return if whole {
                Ok(stdout.into())
            } else {
                Err("stdout was cut, and the report in it: write it to a file".into())
            };
        }
        let name = self.path.display();
        // A link is refused: only the test can have created it.
        let bytes = regular_file::read(&self.path, Links::Refuse, LARGEST)
            .map_err(|error| format!("'{name}': {error}"))?;
        Ok(bytes.into())
    }
}

/// The status of a trial whose command gave `result`, in view of its report.
fn judge(report: &mut Report, result: &mut TrialResult) -> TrialStatus {
    use TrialStatus::{Error, Failed, Passed, Pending, Timeout};
    match (result.status, report.verdict()) {
        (claimed @ (Timeout | Error), _) => claimed,
        // The readable part of a failure is worth more than the error of reading the rest.
        (Failed, _) if report.broken.is_some() => Failed,
        (_, Some(Error)) => Error,
        (Pending, None) => Pending,
        (_, None) => {
            result.note("the report names no test: nothing was tested");
            Error
        }
        (Passed, Some(verdict)) => verdict,
        (Pending, Some(Passed)) => Pending,
        (Pending, Some(verdict)) => verdict,
        (Failed, Some(verdict)) => {
            if verdict != Failed && report.fail_flaky() {
                result.note("the command failed: what passed in a later attempt counts as failed");
            } else if verdict != Failed {
                result.note("the command failed, though its report contains no failure");
            }
            Failed
        }
    }
}
