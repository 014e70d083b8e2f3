//! rrr-local: everything on this machine, over a Redis of its own that goes away with it.

mod processes;

use super::submit;
use super::submit::Suite;
use crate::entity::taskset::Submission;
use crate::exec::adapter::Outputs;
use crate::exec::child::cgroup::{self, Bounds};
use crate::process::stderr::say;
use crate::process::temp_dir::{self, Folder};
use crate::process::{exit, signals};
use crate::protocol::event::Event;
use crate::protocol::key::TasksetKey;
use crate::role::local::processes::House;
use crate::show::follow::{self, Follow, OnInterrupt, Sink};
use crate::show::view;
use crate::store::Store;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Runs a suite on this machine, with no service to set up
#[derive(clap::Parser)]
#[command(name = "rrr-local", version)]
pub struct Options {
    /// Slaves to run at once [number of processors]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    #[command(flatten)]
    suite: Suite,
    /// Give up after this time (exit 124)
    #[arg(long, value_name = "SEC", hide_short_help = true)]
    timeout: Option<u64>,
    #[command(flatten)]
    view: view::Choice,
    #[command(flatten)]
    bounds: Bounds,
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
    options.outputs.settle()?;
    temp_dir::clean_up();
    let folder = Folder::new("local")?;
    let mut house = House::new()?;
    let redis = house.start_redis(folder.path())?;
    let mut store = redis.connect()?;
    store.set_patience(Duration::from_secs(2));
    let dir = &options.packaging_dir;
    let tasks = options.suite.split(&mut store, tasks, dir, "rrr-local")?;
    let place = Place {
        folder: folder.path(),
        tests: folder.path().join("tmp"),
    };
    temp_dir::make_private(&place.tests)?;
    house.start(place.role("rrr-arbiter")?, &redis)?;
    house.start(place.role("rrr-dispatch")?, &redis)?;
    house.start(place.worker(&options)?, &redis)?;
    let submission = Submission::of(TasksetKey::fresh());
    submit::submit(&mut store, &submission, &request, tasks, false, None)?;
    let taskset = submission.taskset;
    let follow = Follow {
        taskset: &taskset,
        limit: options.timeout.map(Duration::from_secs),
        on_interrupt: OnInterrupt::Cancel,
    };
    let mut sink = Mending {
        house: &mut house,
        view: view::open(&mut store, &taskset, &options.view, false)?,
    };
    let outcome = follow::to_the_end(&mut store, &follow, &mut sink);
    drop(sink);
    house.said().iter().for_each(|line| say!("{line}"));
    // Without its Redis the run cannot be followed; that it died says more.
    let outcome = outcome.or_else(|error| house.mend().and(Err(error)));
    let code = outcome.map_err(nothing_goes_on)?;
    Ok(if signals::requested() && code == exit::OK {
        signals::signal_code()
    } else {
        code
    })
}

/// Time is up: other than elsewhere, nobody can watch the rest.
fn nothing_goes_on(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<exit::Failure>() {
        Ok(failure) if failure.code == exit::TIMED_OUT => {
            exit::failure(failure.code, failure.message).into()
        }
        Ok(failure) => failure.into(),
        Err(error) => error,
    }
}

/// Where the roles of the run live.
struct Place<'a> {
    /// Holds whatever they leave in a temporary folder; it goes away with the run.
    folder: &'a Path,
    /// Where the tests make their temporary files: some remove all that is there.
    tests: PathBuf,
}

impl Place<'_> {
    /// A role of ours that uses the private Redis, and takes nothing from the environment that was
    /// meant for this tool.
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
        // To enter one takes longer than a quick test, and what a test starts ends with it anyway.
        // For bounds the worker makes them all the same.
        worker.env(cgroup::BASE, "");
        Ok(worker)
    }
}

/// Shows the run, and looks after the processes that make it.
struct Mending<'a> {
    house: &'a mut House,
    view: Box<dyn Sink>,
}

impl Sink for Mending<'_> {
    fn event(&mut self, store: &mut Store, unix_ms: i64, event: &Event) -> anyhow::Result<()> {
        self.view.event(store, unix_ms, event)
    }

    fn tick(&mut self) -> anyhow::Result<()> {
        for line in self.house.said().into_iter().chain(self.house.mend()?) {
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
