//! The adapter for commands: one command runs per task. Its exit code is the verdict; a report that
//! it writes supplies the counts.

use super::{Adapter, CAPTURE, Finished, GRACE, TrialOrder, Workspace, report_file};
use crate::exec::child::{ChildOutcome, End, Exit, Leftovers, Limits, Supervisor, Watch};
use crate::exec::report::ReportSource;
use crate::process::exit;
use crate::protocol::result::TrialResult;
use crate::protocol::status::TrialStatus;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::process::Command;
use std::time::Duration;

/// The source of the command for each task.
pub(crate) trait Program {
    /// Prepares the program before the first task.
    fn prepare(&mut self, _inquiry: &mut Inquiry, _place: &Workspace) -> anyhow::Result<()> {
        Ok(())
    }

    /// Whether the command itself names the report's path, and so always writes the report there.
    fn names_report(&self) -> bool {
        false
    }

    /// Whether the task's result, as given by the command alone, is checked against the report.
    fn reports(&self, _spec_file: &str, _result: &TrialResult) -> bool {
        true
    }

    /// The command for the task `spec_file`, whose report must be written to `report`.
    ///
    /// Errors: the reason why there is no command.
    fn command(&self, spec_file: &str, report: &str) -> Result<Command, String>;

    /// Rewrites the result in the terms of the tool that produced it.
    fn finish(&self, _spec_file: &str, _result: &mut TrialResult) {}
}

/// Runs the commands that a program needs for its preparation.
pub(crate) struct Inquiry<'a> {
    supervisor: &'a mut Supervisor,
    watch: &'a mut dyn Watch,
    limit: Duration,
    secrets: &'a [OsString],
}

/// Maximum output of an inquiry in bytes.
const ANSWER: usize = 256 << 20;

impl Inquiry<'_> {
    /// Runs `command` to its end, and returns its output.
    pub(crate) fn ask(&mut self, command: &mut Command) -> anyhow::Result<Vec<u8>> {
        let limits = Limits {
            soft: self.limit,
            hard: self.limit + GRACE,
            grace: GRACE,
            capture: ANSWER,
            memory: None,
            leftovers: Leftovers::Kill,
        };
        for name in self.secrets {
            command.env_remove(name);
        }
        let program = command.get_program().to_string_lossy().into_owned();
        let outcome = self
            .supervisor
            .run(command, &limits, self.watch)
            .map_err(|error| {
                exit::usage(format!("cannot run '{program}': {error}"))
                    .hint("install it on this worker")
            })?;
        let _ = std::io::stderr().write_all(&outcome.stderr.bytes);
        let words: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        let line = format!("'{program} {}'", words.join(" "));
        match (outcome.end, outcome.exit) {
            (End::Exited, Exit::Code(0)) if outcome.stdout.dropped == 0 => Ok(outcome.stdout.bytes),
            (End::SoftTimeout | End::HardTimeout, _) => {
                let seconds = self.limit.as_secs();
                Err(
                    exit::usage(format!("{line} did not end within {seconds} s"))
                        .hint("build in --setup, or give rrr-slave a longer --boot-timeout")
                        .into(),
                )
            }
            (End::Stopped(why), _) => anyhow::bail!("{line}: {why}"),
            (_, exit) => Err(exit::usage(format!("{line} failed: {exit}")).into()),
        }
    }
}

/// The user's command, with placeholders.
pub(crate) struct Template {
    words: Vec<String>,
}

impl Template {
    /// The command `words`, with `{}` for the spec file (appended if there is no `{}`) and
    /// `{report}` for the path of its report.
    ///
    /// Errors: the command does not exist, reported once at the start rather than for each task.
    pub(crate) fn new(words: Vec<String>) -> anyhow::Result<Self> {
        let Some(program) = words.first() else {
            return Err(exit::usage("no command given")
                .hint("end with '-- CMD', for example: -- sh {}")
                .into());
        };
        check_command(program)?;
        Ok(Self { words })
    }
}

impl Program for Template {
    fn names_report(&self) -> bool {
        self.words.iter().any(|word| word.contains("{report}"))
    }

    fn command(&self, spec_file: &str, report: &str) -> Result<Command, String> {
        let has_place = self.words.iter().any(|word| word.contains("{}"));
        let mut words = self.words.iter().map(|word| fill(word, spec_file, report));
        let mut program = words.next().unwrap_or_default();
        // A file of the tree as the program: without a slash, it would be looked for in PATH.
        if self.words.first().is_some_and(|word| word == "{}") && !spec_file.contains('/') {
            program = format!("./{spec_file}");
        }
        let mut command = Command::new(program);
        command.args(words);
        if !has_place {
            command.arg(spec_file);
        }
        Ok(command)
    }
}

/// Settings for every command.
pub(crate) struct Settings {
    /// Exit code that means pending.
    pub pending_code: i32,
    pub report: Option<ReportSource>,
    /// Maximum private memory of a test in bytes.
    pub memory: Option<u64>,
    /// Variables that are hidden from the test.
    pub secrets: Vec<OsString>,
    /// Time for the preparation.
    pub boot: Duration,
}

/// Runs one command per task.
pub(crate) struct Exec {
    supervisor: Supervisor,
    place: Workspace,
    program: Box<dyn Program>,
    settings: Settings,
    ready: bool,
}

impl Exec {
    /// Runs the commands of `program`.
    pub(crate) fn new(
        mut place: Workspace,
        program: impl Program + 'static,
        settings: Settings,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            supervisor: Supervisor::new(place.take_cgroup())?,
            place,
            program: Box::new(program),
            settings,
            ready: false,
        })
    }

    fn command_for(
        &self,
        order: &TrialOrder,
        variables: Vec<(&str, String)>,
        report: &str,
    ) -> Result<Command, String> {
        let mut command = self.program.command(&order.job.spec_file, report)?;
        for name in &self.settings.secrets {
            command.env_remove(name);
        }
        command.envs(self.place.variables());
        command.envs(variables);
        Ok(command)
    }

    fn result(&self, outcome: ChildOutcome) -> TrialResult {
        let (status, stopped) = match (&outcome.end, outcome.exit) {
            (End::SoftTimeout | End::HardTimeout, _) => (TrialStatus::Timeout, None),
            (End::Stopped(why), _) => (TrialStatus::Error, Some(why.clone())),
            (End::Exited, Exit::Code(0)) => (TrialStatus::Passed, None),
            (End::Exited, Exit::Code(code)) if code == self.settings.pending_code => {
                (TrialStatus::Pending, None)
            }
            (End::Exited, Exit::Code(_)) => (TrialStatus::Failed, None),
            (End::Exited, Exit::Signal(_)) => (TrialStatus::Error, None),
        };
        let mut result = TrialResult::error(outcome.stderr.bytes);
        result.set_status_alone(status);
        result.stdout = outcome.stdout.bytes;
        result.duration_ms = outcome.duration.as_millis() as u64;
        result.stopped = stopped;
        match outcome.exit {
            Exit::Code(code) => result.exit_code = Some(code),
            Exit::Signal(signal) => result.signal = Some(signal),
        }
        if outcome.out_of_memory {
            result.note("the kernel killed a process of the test for exceeding --trial-memory");
        }
        result.leave_behind(&outcome.leftovers);
        result
    }
}

fn fill(word: &str, spec_file: &str, report: &str) -> String {
    if word.contains('{') {
        // Both in one pass, because a spec file's name may itself contain `{report}`.
        let mut filled = String::new();
        let mut rest = word;
        while let Some(at) = rest.find('{') {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            let (value, length) = if rest.starts_with("{}") {
                (spec_file, 2)
            } else if rest.starts_with("{report}") {
                (report, 8)
            } else {
                ("{", 1)
            };
            filled.push_str(value);
            rest = &rest[length..];
        }
        filled + rest
    } else {
        word.to_owned()
    }
}

impl Adapter for Exec {
    fn prepare(&mut self, watch: &mut dyn Watch) -> anyhow::Result<()> {
        if !self.ready {
            let mut inquiry = Inquiry {
                supervisor: &mut self.supervisor,
                watch,
                limit: self.settings.boot,
                secrets: &self.settings.secrets,
            };
            self.program.prepare(&mut inquiry, &self.place)?;
            self.ready = true;
        }
        Ok(())
    }

    fn run(&mut self, order: &TrialOrder, watch: &mut dyn Watch) -> Finished {
        let limits = Limits {
            soft: order.soft,
            hard: order.hard,
            grace: GRACE,
            capture: CAPTURE,
            memory: self.settings.memory,
            leftovers: Leftovers::Kill,
        };
        let spec_file = &order.job.spec_file;
        let source = self.settings.report.as_ref();
        let names = self.program.names_report();
        let place = report_file::ReportPlace::new(source, &self.place, spec_file, names);
        let made = |result, hard_timeout| Finished {
            result,
            hard_timeout,
        };
        let begun = place.clear().and_then(|()| self.place.begin(order));
        let command = begun.and_then(|variables| {
            self.command_for(order, variables, &place.path.to_string_lossy())
        });
        let mut command = match command {
            Ok(command) => command,
            Err(why) => return made(TrialResult::error(format!("rrr: {why}\n")), false),
        };
        let mut made = match self.supervisor.run(&mut command, &limits, watch) {
            Ok(outcome) => {
                let whole = outcome.stdout.dropped == 0;
                let hard_timeout = outcome.end == End::HardTimeout;
                let mut result = self.result(outcome);
                let source = self.settings.report.as_ref();
                let reports = |_: &&ReportSource| self.program.reports(spec_file, &result);
                if let Some(source) = source.filter(reports) {
                    place.fill(source, whole, &mut result);
                }
                self.program.finish(spec_file, &mut result);
                made(result, hard_timeout)
            }
            Err(error) => {
                let program = command.get_program().to_string_lossy();
                let why = format!("rrr: cannot run '{program}': {error}\n");
                made(TrialResult::error(why), false)
            }
        };
        self.place.end(order, &mut made.result);
        made
    }
}

/// Reports once, at the start, that no task can run.
fn check_command(program: &str) -> anyhow::Result<()> {
    if program.contains("{}") || crate::process::which::find(program).is_some() {
        return Ok(());
    }
    Err(exit::usage(format!("command not found: '{program}'"))
        .hint("install it on this worker, or give its full path")
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_once_and_other_text_is_unchanged() {
        assert_eq!(fill("{}:{report}", "a{report}", "r{}"), "a{report}:r{}");
        assert_eq!(fill("{x} {", "a", "r"), "{x} {");
    }
}
