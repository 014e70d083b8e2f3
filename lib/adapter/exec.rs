//! The adapter for any command: run once for each task. Its exit code is the verdict, and a report
//! that it writes fills in the counts.

use super::{Adapter, CAPTURE, GRACE, Made, Order, Place, report};
use crate::child::{End, Exit, Leftovers, Limits, Outcome, Supervisor, Watch};
use crate::report::Source;
use crate::{cli, trial};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Runs a command for each task.
pub struct Exec {
    supervisor: Supervisor,
    place: Place,
    command: Vec<String>,
    pending_code: i32,
    report: Option<Source>,
    memory: Option<u64>,
    secrets: Vec<OsString>,
}

impl Exec {
    /// Runs `command`, with `{}` for the spec file, or the spec file behind it, and `{report}` for the
    /// file of its report. `pending_code` is the exit code that means pending; the variables `secrets`
    /// are kept from it, and it may have `memory` bytes of its own.
    ///
    /// Errors: there is no such command, said here at once and not once a task.
    pub fn new(
        place: Place,
        command: Vec<String>,
        pending_code: i32,
        report: Option<Source>,
        memory: Option<u64>,
        secrets: Vec<OsString>,
    ) -> anyhow::Result<Self> {
        let Some(program) = command.first() else {
            return Err(cli::usage("nothing says how to run a spec file")
                .hint("end with '-- CMD', for example: -- sh {}")
                .into());
        };
        check_command(program)?;
        Ok(Self {
            supervisor: Supervisor::new()?,
            place,
            command,
            pending_code,
            report,
            memory,
            secrets,
        })
    }

    fn command_for(&self, order: &Order, report: &str) -> Command {
        let spec_file = order.job.spec_file.as_str();
        let has_place = self.command.iter().any(|word| word.contains("{}"));
        let mut words = self
            .command
            .iter()
            .map(|word| fill(word, spec_file, report));
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        if !has_place {
            command.arg(spec_file);
        }
        for name in &self.secrets {
            command.env_remove(name);
        }
        command.envs(self.place.variables());
        command.envs(Place::variables_of(order));
        if let Some(bytes) = self.memory {
            let limit = Rlimit {
                current: Some(bytes),
                maximum: Some(bytes),
            };
            // SAFETY: setrlimit is async-signal-safe, and nothing else happens between fork and exec.
            unsafe {
                command.pre_exec(move || Ok(setrlimit(Resource::Data, limit)?));
            }
        }
        command
    }

    fn result(&self, outcome: Outcome) -> trial::Result {
        let (status, stopped) = match (&outcome.end, outcome.exit) {
            (End::SoftTimeout | End::HardTimeout, _) => (trial::Status::Timeout, None),
            (End::Stopped(why), _) => (trial::Status::Error, Some(why.clone())),
            (End::Exited, Exit::Code(0)) => (trial::Status::Passed, None),
            (End::Exited, Exit::Code(code)) if code == self.pending_code => {
                (trial::Status::Pending, None)
            }
            (End::Exited, Exit::Code(_)) => (trial::Status::Failed, None),
            (End::Exited, Exit::Signal(_)) => (trial::Status::Error, None),
        };
        let mut result = trial::Result::error(outcome.stderr.bytes);
        result.set_status_alone(status);
        result.stdout = outcome.stdout.bytes;
        result.duration_ms = outcome.duration.as_millis() as u64;
        result.stopped = stopped;
        match outcome.exit {
            Exit::Code(code) => result.exit_code = Some(code),
            Exit::Signal(signal) => result.signal = Some(signal),
        }
        if outcome.leftovers > 0 {
            result.note(format_args!(
                "killed {} process(es) that the test left behind",
                outcome.leftovers
            ));
        }
        result
    }
}

fn fill(word: &str, spec_file: &str, report: &str) -> String {
    if word.contains('{') {
        // In one go, because a spec file's name may itself hold a `{report}`.
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
    fn run(&mut self, order: &Order, watch: &mut dyn Watch) -> Made {
        let limits = Limits {
            soft: order.soft,
            hard: order.hard,
            grace: GRACE,
            capture: CAPTURE,
            leftovers: Leftovers::Kill,
        };
        let place = report::Place::new(self.report.as_ref(), &self.place, &order.job.spec_file);
        place.clear();
        let mut command = self.command_for(order, &place.path.to_string_lossy());
        let made = match self.supervisor.run(&mut command, &limits, watch) {
            Ok(outcome) => {
                let whole = outcome.stdout.dropped == 0;
                let hard_timeout = outcome.end == End::HardTimeout;
                let mut result = self.result(outcome);
                if let Some(source) = &self.report {
                    place.fill(source, whole, &mut result);
                }
                Made {
                    result,
                    hard_timeout,
                }
            }
            Err(error) => {
                let program = command.get_program().to_string_lossy();
                Made {
                    result: trial::Result::error(format!("rrr: cannot run '{program}': {error}\n")),
                    hard_timeout: false,
                }
            }
        };
        self.place.clean();
        made
    }
}

/// Says at the start, and once, that no task can be run.
fn check_command(program: &str) -> anyhow::Result<()> {
    if program.contains("{}") || super::find(program).is_some() {
        return Ok(());
    }
    Err(cli::usage(format!("command not found: '{program}'"))
        .hint("install it on this worker, or name it by its path")
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_once_and_nothing_else_is_touched() {
        assert_eq!(fill("{}:{report}", "a{report}", "r{}"), "a{report}:r{}");
        assert_eq!(fill("{x} {", "a", "r"), "{x} {");
    }
}
