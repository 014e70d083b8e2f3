//! A report beside a command: where it is, and what it changes about the trial's result.

use crate::exec::report::{self, Format, Report, Source};
use crate::process::regular_file::{self, Links};
use crate::process::{remove_tree, stderr};
use crate::protocol::example::Status;
use crate::protocol::result::TrialResult;
use crate::protocol::status::TrialStatus;
use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

/// Largest report that is read, in bytes.
const LARGEST: u64 = 32 << 20;

/// Where the report of one trial is written, if it is a file.
pub(crate) struct Place {
    pub path: PathBuf,
    /// Whether the path is one that the user has given, and not that of the slave's own folder.
    is_given: bool,
    /// It must be in the file. Else it is there if somebody has written it, or on stdout.
    in_file: bool,
}

impl Place {
    /// By the path that was asked for, with `{}` for the spec file, or in the slave's own folder, which
    /// the command `names` or not.
    pub(crate) fn new(
        source: Option<&Source>,
        place: &super::Place,
        spec_file: &str,
        names: bool,
    ) -> Self {
        let path = source.and_then(|source| source.path.as_deref());
        let is_file = |source: &Source| match source.format {
            Format::Junit => true,
            // One that knows the format by its look finds the place likewise.
            Format::Auto => false,
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

    /// Removes what an earlier trial wrote at a path that the user has given: it must not stand for
    /// this one. A folder there may be the user's own: it is renamed.
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
                    format!(
                        "'{shown}', where the report is to be written, cannot be removed: {why}"
                    )
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

    /// Reads the report into the result. `whole`: nothing of stdout is missing.
    ///
    /// A report can make a result worse and give it counts; only the exit code can make it good.
    pub(crate) fn fill(&self, source: &Source, whole: bool, result: &mut TrialResult) {
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
        source: &Source,
        whole: bool,
        stdout: &'a [u8],
    ) -> Result<Cow<'a, [u8]>, String> {
        // What prints TAP may write a JUnit report as well, where Bazel's variable says.
        let is_printed = matches!(source.format, Format::Tap | Format::Libtest);
        let from_file = self.in_file || !is_printed && self.path.symlink_metadata().is_ok();
        if !from_file {
            return if whole {
                Ok(stdout.into())
            } else {
                Err("it was on stdout, of which a part was dropped: write it to a file".into())
            };
        }
        let name = self.path.display();
        // A link is refused: it was made by the test.
        let bytes = regular_file::read(&self.path, Links::Refuse, LARGEST)
            .map_err(|error| format!("'{name}': {error}"))?;
        Ok(bytes.into())
    }
}

/// The status of a trial whose command has ended with that of `result`.
fn judge(report: &mut Report, result: &mut TrialResult) -> TrialStatus {
    use TrialStatus::{Error, Failed, Passed, Pending, Timeout};
    match (result.status, report.verdict()) {
        (claimed @ (Timeout | Error), _) => claimed,
        // What it has read of the failure is worth more than what it could not read.
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
                result.note("the command failed, though its report tells of no failure");
            }
            Failed
        }
    }
}
