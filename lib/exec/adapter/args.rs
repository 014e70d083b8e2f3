//! The flags of rrr-slave that choose how tasks run.

use super::exec::{Exec, Program, Settings, Template};
use super::serve::Patience;
use super::{Adapter, CargoTest, Nextest, Serve, Workspace};
use crate::exec::report;
use crate::process::exit;
use crate::tool::{pytest, rspec};
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The adapter and its flags.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct AdapterArgs {
    /// How tasks are run
    #[arg(long, value_enum, default_value_t = Name::Exec)]
    adapter: Name,
    /// Exit code of CMD that means pending
    #[arg(long, value_name = "CODE", default_value_t = 77)]
    pending_code: i32,
    /// Fill in the counts from a report: junit, tap, rspec-json, libtest, libtest-json, go-json or
    /// auto, from PATH ({} is the spec file); CMD's {report} is its path
    #[arg(long, value_name = "FORMAT[:PATH]")]
    report: Option<report::ReportSource>,
    /// Load FILE once, before all spec files [default: spec/rails_helper.rb or spec/spec_helper.rb,
    /// topmost conftest.py]
    #[arg(long, value_name = "FILE")]
    preload: Vec<String>,
    /// Each spec file in a fork, or all in the runner [default: fork]
    #[arg(long, value_enum)]
    isolation: Option<Isolation>,
    /// Ruby or Python to use, with its arguments [default: bundle exec ruby if there is a Gemfile; the
    /// Python of the virtual environment, or of the pytest on PATH]
    #[arg(long, value_name = "CMD", hide_short_help = true)]
    interpreter: Option<String>,
    /// Maximum private MiB of a test process
    ///
    /// Allocations beyond the limit fail.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..))]
    memory_max: Option<u64>,
    /// Seconds to start a runner, or to build
    #[arg(long, value_name = "SEC", default_value_t = 300, hide_short_help = true, value_parser = clap::value_parser!(u64).range(1..))]
    boot_timeout: u64,
    /// Seconds to end a runner
    #[arg(long, value_name = "SEC", default_value_t = 60, hide_short_help = true, value_parser = clap::value_parser!(u64).range(1..))]
    end_timeout: u64,
    /// Command for each task ({} is its spec file), the runner, or options of the others
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
    /// Load RSpec and the suite's helpers once
    Rspec,
    /// Load pytest and the suite's conftest files once
    Pytest,
    /// Run Rust's test binaries, which cargo test builds once
    CargoTest,
    /// Run test binaries, or single tests, by cargo nextest, which builds or unpacks them once
    Nextest,
}

/// A value that is not an exit code.
const NEVER: i32 = -1;

/// The process in which a spec file runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Isolation {
    Fork,
    None,
}

impl AdapterArgs {
    /// The adapter chosen by the flags, at `place`; the variables `secrets` are hidden from all
    /// tests.
    ///
    /// Errors: the flags conflict, or the command does not exist.
    pub(crate) fn adapter(
        &self,
        place: Workspace,
        secrets: Vec<OsString>,
    ) -> anyhow::Result<Box<dyn Adapter>> {
        self.check()?;
        let words = || self.command.clone();
        match self.adapter {
            Name::Exec => {
                let settings = self.settings(self.report.clone(), secrets);
                exec(place, Template::new(words())?, settings)
            }
            Name::CargoTest => {
                let settings = self.settings(Some(CargoTest::REPORT), secrets);
                exec(place, CargoTest::new(words()), settings)
            }
            Name::Nextest => {
                let settings = self.settings(Some(Nextest::REPORT), secrets);
                exec(place, Nextest::new(words()), settings)
            }
            Name::Serve => self.serve(place, words(), secrets),
            Name::Rspec => {
                let files = &[("rrr_rspec.rb", rspec::RUNNER)];
                let words = self.bundled(rspec::interpreter, files, &place)?;
                self.serve(place, words, secrets)
            }
            Name::Pytest => {
                let words = self.bundled(pytest::interpreter, pytest::RUNNER, &place)?;
                self.serve(place, words, secrets)
            }
        }
    }

    /// Refuses flags that the chosen adapter does not have.
    fn check(&self) -> Result<(), exit::Failure> {
        if self.report.is_some() && self.adapter != Name::Exec {
            return Err(exit::usage(
                "--report requires --adapter exec: a runner reports its own counts",
            ));
        }
        let bundled = matches!(self.adapter, Name::Rspec | Name::Pytest);
        if !bundled
            && (self.isolation.is_some() || self.interpreter.is_some() || !self.preload.is_empty())
        {
            return Err(exit::usage(
                "--preload, --isolation and --interpreter require --adapter rspec or pytest",
            ));
        }
        if self.adapter == Name::Serve && self.command.is_empty() {
            return Err(exit::usage("no runner given")
                .hint("end with '-- CMD', a program that speaks rrr-runner(7)"));
        }
        Ok(())
    }

    /// The maximum private memory of a test process, in bytes.
    fn memory(&self) -> Option<u64> {
        self.memory_max.map(|mib| mib << 20)
    }

    /// The settings of an adapter that starts a process for each task.
    fn settings(&self, report: Option<report::ReportSource>, secrets: Vec<OsString>) -> Settings {
        Settings {
            // Applies to plain commands. Under cargo, a result is pending only if the report shows
            // it.
            pending_code: match self.adapter {
                Name::Exec => self.pending_code,
                _ => NEVER,
            },
            report,
            memory: self.memory(),
            secrets,
            boot: Duration::from_secs(self.boot_timeout),
        }
    }

    /// The adapter for a runner that this command starts once.
    fn serve(
        &self,
        place: Workspace,
        words: Vec<String>,
        secrets: Vec<OsString>,
    ) -> anyhow::Result<Box<dyn Adapter>> {
        let start = move || {
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]);
            for name in &secrets {
                command.env_remove(name);
            }
            command
        };
        let patience = Patience {
            boot: Duration::from_secs(self.boot_timeout),
            end: Duration::from_secs(self.end_timeout),
        };
        Ok(Box::new(Serve::new(place, patience, self.memory(), start)?))
    }

    /// The command of a bundled runner, whose files are written to the slave's folder; the first
    /// file is the script.
    fn bundled(
        &self,
        find: fn(&Path) -> Vec<String>,
        files: &[(&str, &str)],
        place: &Workspace,
    ) -> anyhow::Result<Vec<String>> {
        let mut words = match &self.interpreter {
            Some(command) => shlex::split(command)
                .filter(|words| !words.is_empty())
                .ok_or_else(|| exit::usage(format!("--interpreter '{command}': not a command")))?,
            None => find(Path::new(".")),
        };
        for (name, text) in files {
            let path = place.path().join(name);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::File::create_new(&path)?.write_all(text.as_bytes())?;
        }
        let script = place.path().join(files[0].0);
        words.push(script.to_string_lossy().into_owned());
        words.push(match self.isolation {
            Some(Isolation::Fork) | None => "fork".into(),
            Some(Isolation::None) => "none".into(),
        });
        for file in &self.preload {
            words.push("--preload".into());
            words.push(file.clone());
        }
        words.push("--".into());
        words.extend(self.command.iter().cloned());
        Ok(words)
    }
}

fn exec(
    place: Workspace,
    program: impl Program + 'static,
    settings: Settings,
) -> anyhow::Result<Box<dyn Adapter>> {
    Ok(Box::new(Exec::new(place, program, settings)?))
}
