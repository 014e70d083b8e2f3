//! A report beside a command: where it is, and what it changes about the trial's result.

use crate::example::Status;
use crate::regular::{self, Links};
use crate::report::{self, Format, Source};
use crate::{remove, say, trial};
use std::io;
use std::path::PathBuf;

/// Largest report that is read, in bytes.
const LARGEST: u64 = 32 << 20;

/// Where the report of one trial is written, if it is a file.
pub struct Place {
    pub path: PathBuf,
    /// Whether the path is one that the user has given, and not that of the slave's own folder.
    is_given: bool,
    /// It must be in the file. Else it is there if somebody has written it, or on stdout.
    in_file: bool,
}

impl Place {
    /// By the path that was asked for, with `{}` for the spec file, or in the slave's own folder, which
    /// the command `names` or not.
    pub fn new(
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
    pub fn clear(&self) -> Result<(), String> {
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
                let aside = remove::set_aside(&self.path).map_err(|why| {
                    format!(
                        "'{shown}', where the report is to be written, cannot be removed: {why}"
                    )
                })?;
                say::line(&remove::complaint("rrr-slave", &self.path, &aside, &error));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Reads the report into the result. `whole`: nothing of stdout is missing.
    ///
    /// A report can make a result worse and give it counts; only the exit code can make it good.
    pub fn fill(&self, source: &Source, whole: bool, result: &mut trial::Result) {
        let report = self
            .read(source, whole, &result.stdout)
            .and_then(|bytes| report::parse(source.format, &bytes));
        let ended_by_itself = matches!(
            result.status,
            trial::Status::Passed | trial::Status::Pending | trial::Status::Failed
        );
        let report = match report {
            Ok(report) => report,
            Err(why) => {
                result.note(format_args!("the report cannot be used: {why}"));
                if ended_by_itself && result.status != trial::Status::Failed {
                    result.set_status_alone(trial::Status::Error);
                }
                return;
            }
        };
        for error in &report.outside {
            result.note(format_args!("error outside of examples: {}", error.trim()));
        }
        let verdict = report.verdict();
        let (claimed, pending) = (result.status, trial::Status::Pending);
        let status = match (claimed, verdict) {
            (trial::Status::Timeout | trial::Status::Error, _) => claimed,
            (trial::Status::Pending, None) => pending,
            (_, None) => {
                result.note("the report names no test: nothing was tested");
                trial::Status::Error
            }
            (trial::Status::Passed, Some(verdict)) => verdict,
            (trial::Status::Pending, Some(trial::Status::Passed)) => pending,
            (trial::Status::Pending, Some(verdict)) => verdict,
            (trial::Status::Failed, Some(verdict)) => {
                if verdict == trial::Status::Passed || verdict == pending {
                    result.note("the command failed, though its report tells of no failure");
                }
                if verdict == trial::Status::Error {
                    verdict
                } else {
                    claimed
                }
            }
        };
        result.status = status;
        result.passed = report.count(Status::Passed);
        result.pending = report.count(Status::Pending);
        result.failed = report.count(Status::Failed) + report.count(Status::Error);
        result.examples = report.examples;
    }

    fn read(&self, source: &Source, whole: bool, stdout: &[u8]) -> Result<Vec<u8>, String> {
        // What prints TAP may write a JUnit report as well, where Bazel's variable says.
        let is_printed = matches!(source.format, Format::Tap | Format::Libtest);
        let from_file = self.in_file || !is_printed && self.path.symlink_metadata().is_ok();
        if !from_file {
            return if whole {
                Ok(stdout.to_vec())
            } else {
                Err("it was on stdout, of which a part was dropped: write it to a file".into())
            };
        }
        let name = self.path.display();
        // A link is refused: it was made by the test.
        regular::read(&self.path, Links::Refuse, LARGEST)
            .map_err(|error| format!("'{name}': {error}"))
    }
}
