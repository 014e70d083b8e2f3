//! The flags of rrr-slave that say how tasks are run.

use super::{Adapter, Exec, Place, Serve};
use crate::{cli, report};
use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

/// How tasks are run.
#[derive(Clone, Debug, clap::Args)]
pub struct Choice {
    /// How tasks are run
    #[arg(long, value_enum, default_value_t = Name::Exec)]
    adapter: Name,
    /// Exit code of CMD that means pending
    #[arg(long, value_name = "CODE", default_value_t = 77)]
    pending_code: i32,
    /// Fill in the counts from a report: junit, tap, rspec-json, libtest-json, go-json or auto, from
    /// PATH ({} is the spec file); CMD's {report} is its path
    #[arg(long, value_name = "FORMAT[:PATH]")]
    report: Option<report::Source>,
    /// Seconds a runner has to start
    #[arg(long, value_name = "SEC", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    boot_timeout: u64,
    /// Command for each task; {} is its spec file, appended when there is no {}
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

/// The adapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// Run CMD once for each task
    Exec,
    /// Start CMD once; it speaks the runner protocol, see rrr-runner(7)
    Serve,
}

impl Choice {
    /// The adapter that they ask for, at `place`; the variables `secrets` are kept from all tests.
    ///
    /// Errors: they do not go together, or there is no such command.
    pub fn adapter(
        &self,
        place: Place,
        secrets: Vec<OsString>,
    ) -> anyhow::Result<Box<dyn Adapter>> {
        if self.report.is_some() && self.adapter != Name::Exec {
            return Err(
                cli::usage("--report is for --adapter exec: a runner counts by itself").into(),
            );
        }
        let boot = Duration::from_secs(self.boot_timeout);
        Ok(match self.adapter {
            Name::Exec => Box::new(Exec::new(
                place,
                self.command.clone(),
                self.pending_code,
                self.report.clone(),
                secrets,
            )?),
            Name::Serve => {
                let Some((program, words)) = self.command.split_first() else {
                    return Err(cli::usage("no runner is named")
                        .hint("end with '-- CMD', a program that speaks rrr-runner(7)")
                        .into());
                };
                let (program, words) = (program.clone(), words.to_vec());
                Box::new(Serve::new(place, boot, move |_| {
                    let mut command = Command::new(&program);
                    command.args(&words);
                    for name in &secrets {
                        command.env_remove(name);
                    }
                    command
                })?)
            }
        })
    }
}
