//! rrr-local: all roles on this machine, over a private Redis that ends with the run.

mod command;
mod processes;

use super::submit;
use super::submit::Suite;
use crate::entity::taskset::Submission;
use crate::exec::adapter::Outputs;
use crate::exec::child::cgroup::{self, CgroupBounds};
use crate::process::stderr::say;
use crate::process::temp_dir::{self, TempDir};
use crate::process::{exit, signals};
use crate::protocol::event::Event;
use crate::protocol::key::TasksetKey;
use crate::role::local::processes::Processes;
use crate::show::follow::{self, Follow, OnInterrupt, Sink};
use crate::show::view::{self, ViewArgs};
use crate::store::Store;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Runs a suite on this machine; no services needed
#[derive(clap::Parser)]
#[command(name = "rrr-local", version)]
pub struct Options {
    /// Number of slaves [number of processors]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    #[command(flatten)]
    suite: Suite,
    /// Stop after SEC seconds (exit 124)
    #[arg(long, value_name = "SEC", hide_short_help = true)]
    timeout: Option<u64>,
    #[command(flatten)]
    view: ViewArgs,
    #[command(flatten)]
    bounds: CgroupBounds,
    #[command(flatten)]
    outputs: Outputs,
    /// Folder of the suite, with its .rrr.toml
    #[arg(long, value_name = "D", default_value = ".")]
    packaging_dir: PathBuf,
}

/// Runs the tool.
pub fn run(mut options: Options) -> anyhow::Result<u8> {
    let tasks = options.suite.tasks(&options.packaging_dir, true)?;
    let request = options.suite.request("local")?;
    command::check(
        &request.slave_command,
        &options.suite.command,
        &options.packaging_dir,
    )?;
    options.outputs.settle()?;
    temp_dir::clean_up();
    let folder = TempDir::new("local").map_err(|error| {
        exit::usage(format!("cannot create a temporary folder: {error}"))
            .hint("set TMPDIR to an existing folder that you may write to")
    })?;
    let mut processes = Processes::new()?;
    let redis = processes.start_redis(folder.path())?;
    let mut store = redis.connect()?;
    store.set_patience(Duration::from_secs(2));
    let dir = &options.packaging_dir;
    let tasks = options.suite.split(&mut store, tasks, dir, "rrr-local")?;
    let place = Place {
        folder: folder.path(),
        tests: folder.path().join("tmp"),
    };
    temp_dir::make_private(&place.tests)?;
    processes.start(place.role("rrr-arbiter")?, &redis)?;
    processes.start(place.role("rrr-dispatch")?, &redis)?;
    processes.start(place.worker(&options)?, &redis)?;
    let submission = Submission::of(TasksetKey::fresh());
    submit::submit(&mut store, &submission, &request, tasks, false, None)?;
    let taskset = submission.taskset;
    let follow = Follow {
        taskset: &taskset,
        limit: options.timeout.map(Duration::from_secs),
        on_interrupt: OnInterrupt::Cancel,
    };
    let mut sink = Mending {
        processes: &mut processes,
        view: view::open(&mut store, &taskset, &options.view, false)?,
    };
    let outcome = follow::to_the_end(&mut store, &follow, &mut sink);
    drop(sink);
    processes
        .take_stderr()
        .iter()
        .for_each(|line| say!("{line}"));
    // Without Redis the run cannot be followed; the death of Redis is the better message.
    let outcome = outcome.or_else(|error| processes.restart_dead().and(Err(error)));
    let code = outcome.map_err(nothing_goes_on)?;
    Ok(if signals::requested() && code == exit::OK {
        signals::signal_code()
    } else {
        code
    })
}

/// The failure after --timeout: the rest of the run cannot be watched, unlike a submitted one.
fn nothing_goes_on(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<exit::Failure>() {
        Ok(failure) if failure.code == exit::TIMED_OUT => {
            exit::failure(failure.code, failure.message).into()
        }
        Ok(failure) => failure.into(),
        Err(error) => error,
    }
}

/// The folders of the run.
struct Place<'a> {
    /// The temporary folder of the roles, removed with the run.
    folder: &'a Path,
    /// The temporary folder of the tests, apart because some tests remove everything in it.
    tests: PathBuf,
}

impl Place<'_> {
    /// The command of a role that uses the private Redis, without the environment variables meant
    /// for rrr-local.
    fn role(&self, name: &str) -> anyhow::Result<Command> {
        let here = std::env::current_exe()?;
        let mut command = Command::new(here.parent().unwrap_or(Path::new("")).join(name));
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("RRR_") {
                command.env_remove(variable);
            }
        }
        command
            .env(temp_dir::BASE, self.folder)
            .env("TMPDIR", &self.tests);
        Ok(command)
    }

    fn worker(&self, options: &Options) -> anyhow::Result<Command> {
        let mut worker = self.role("rrr-worker")?;
        worker.arg("--in-place").arg(&options.packaging_dir);
        worker.arg("--worker-type").arg(&options.suite.worker_type);
        options.bounds.pass_on(&mut worker);
        options.outputs.pass_on(&mut worker);
        if let Some(jobs) = options.jobs {
            worker.arg("--slaves").arg(jobs.to_string());
        }
        // Entering a cgroup takes longer than a quick test, and the processes of a test end with it
        // anyway. If limits are set, the worker makes cgroups all the same.
        worker.env(cgroup::BASE, "");
        Ok(worker)
    }
}

/// A view of the run that also supervises its processes.
struct Mending<'a> {
    processes: &'a mut Processes,
    view: Box<dyn Sink>,
}

impl Sink for Mending<'_> {
    fn event(&mut self, store: &mut Store, unix_ms: i64, event: &Event) -> anyhow::Result<()> {
        self.view.event(store, unix_ms, event)
    }

    fn tick(&mut self) -> anyhow::Result<()> {
        for line in self
            .processes
            .take_stderr()
            .into_iter()
            .chain(self.processes.restart_dead()?)
        {
            self.view.say(&line);
        }
        self.view.tick()
    }

    fn waiting(&mut self, what: Option<&str>) {
        self.view.waiting(what);
    }

    fn say(&mut self, what: &str) {
        self.view.say(what);
    }
}
