//! The adapter for any command: run once for each task, its exit code is the verdict.

use super::{Adapter, CAPTURE, GRACE, Made, Order, error_result};
use crate::child::{End, Exit, Leftovers, Limits, Outcome, Supervisor, Watch};
use crate::{cli, trial};
use std::ffi::OsString;
use std::process::Command;

/// Runs a command for each task.
pub struct Exec {
    supervisor: Supervisor,
    command: Vec<String>,
    pending_code: i32,
    secrets: Vec<OsString>,
}

impl Exec {
    /// Runs `command`, with `{}` for the spec file, or the spec file behind it. `pending_code` is the
    /// exit code that means pending; the variables `secrets` are kept from it.
    ///
    /// Errors: there is no such command, said here at once and not once a task.
    pub fn new(
        command: Vec<String>,
        pending_code: i32,
        secrets: Vec<OsString>,
    ) -> anyhow::Result<Self> {
        check_command(command.first().map_or("", String::as_str))?;
        Ok(Self {
            supervisor: Supervisor::new()?,
            command,
            pending_code,
            secrets,
        })
    }

    fn command_for(&self, spec_file: &str) -> Command {
        let has_place = self.command.iter().any(|word| word.contains("{}"));
        let mut words = self
            .command
            .iter()
            .map(|word| word.replace("{}", spec_file));
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        if !has_place {
            command.arg(spec_file);
        }
        for name in &self.secrets {
            command.env_remove(name);
        }
        command
    }

    fn result(&self, outcome: Outcome) -> trial::Result {
        let mut stderr = outcome.stderr.bytes;
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
        if outcome.leftovers > 0 {
            let note = format!(
                "rrr: killed {} process(es) that the test left behind\n",
                outcome.leftovers
            );
            stderr.extend_from_slice(note.as_bytes());
        }
        let count = |wanted| u64::from(status == wanted);
        trial::Result {
            status,
            passed: count(trial::Status::Passed),
            pending: count(trial::Status::Pending),
            failed: count(trial::Status::Failed),
            stdout: outcome.stdout.bytes,
            stderr,
            duration_ms: outcome.duration.as_millis() as u64,
            exit_code: match outcome.exit {
                Exit::Code(code) => Some(code),
                Exit::Signal(_) => None,
            },
            signal: match outcome.exit {
                Exit::Code(_) => None,
                Exit::Signal(signal) => Some(signal),
            },
            stopped,
        }
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
        let mut command = self.command_for(&order.job.spec_file);
        match self.supervisor.run(&mut command, &limits, watch) {
            Ok(outcome) => Made {
                hard_timeout: outcome.end == End::HardTimeout,
                result: self.result(outcome),
            },
            Err(error) => {
                let program = command.get_program().to_string_lossy();
                Made {
                    result: error_result(format!("rrr: cannot run '{program}': {error}\n")),
                    hard_timeout: false,
                }
            }
        }
    }
}

/// Says at the start, and once, that no task can be run.
fn check_command(program: &str) -> anyhow::Result<()> {
    if program.contains("{}") {
        return Ok(());
    }
    let found = if program.contains('/') {
        std::path::Path::new(program).exists()
    } else {
        std::env::var_os("PATH").is_some_and(|path| {
            std::env::split_paths(&path).any(|folder| folder.join(program).exists())
        })
    };
    if found {
        return Ok(());
    }
    Err(cli::usage(format!("command not found: '{program}'"))
        .hint("install it on this worker, or name it by its path")
        .into())
}
