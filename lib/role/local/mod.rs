//! rrr-local: all roles on this machine, over a private Redis that ends with the run.

mod command;
mod history;
mod init;
mod processes;

use super::submit;
use super::submit::{Suite, Task, rerun};
use crate::archive::document::Source;
use crate::entity::taskset::Submission;
use crate::exec::adapter::Outputs;
use crate::exec::child::cgroup::{self, CgroupBounds};
use crate::inspect::lookup;
use crate::process::temp_dir::{self, TempDir};
use crate::process::text::shell_word;
use crate::process::{exit, signals};
use crate::protocol::event::Event;
use crate::protocol::key::TasksetKey;
use crate::protocol::request::{LOCAL, Request};
use crate::protocol::taskset_ref::TasksetRef;
use crate::role::local::history::{History, HistoryArgs};
use crate::role::local::processes::Processes;
use crate::show::export::args::Export;
use crate::show::follow::{self, Follow, OnInterrupt, Sink};
use crate::show::view::{self, Background, ViewArgs};
use crate::store::Store;
use crate::suite::tasks;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Runs a suite on this machine; no services needed
#[derive(clap::Parser)]
#[command(name = "rrr-local", version, mut_arg("db", |arg| arg.hide_short_help(true)))]
pub struct Options {
    /// Number of slaves [number of processors]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    #[command(flatten)]
    suite: Suite,
    /// Write a commented .rrr.toml, and run nothing
    #[arg(long, conflicts_with_all = ["list", "print_config"])]
    init: bool,
    /// Run again what did not pass in KEY, or in last
    #[arg(long, value_name = "KEY", conflicts_with_all = rerun::SETTINGS)]
    rerun_failed: Option<TasksetRef>,
    /// Write a report at the end; may be repeated
    ///
    /// The formats are those of rrr-show.
    #[arg(long, value_name = "FORMAT=FILE")]
    export: Vec<Export>,
    #[command(flatten)]
    history: HistoryArgs,
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

impl Options {
    /// The request and the tasks: those of the command line, or of an earlier run.
    fn suite(&self) -> anyhow::Result<(Request, Vec<Task>)> {
        let folder = &self.packaging_dir;
        let Some(earlier) = &self.rerun_failed else {
            let tasks = self.suite.tasks(folder, true)?;
            let mut request = self.suite.request(LOCAL)?;
            request.taskset_class = history::class(&request.taskset_class, folder);
            return Ok((request, tasks));
        };
        let class = lookup::class_of(folder);
        let (db, logs) = (self.history.db(), self.history.log_dir());
        let key = lookup::find(None, db, class.as_deref(), earlier)?;
        // A rerun does not need the outputs, so unreadable ones are ignored.
        let (document, _) = lookup::record(None, db, logs, &key)?;
        let (mut request, tasks) = rerun::of(&document, LOCAL, None)?;
        request.policy = self.suite.policy();
        Ok((request, tasks))
    }

    /// The packaging folder, if it is not the current one.
    fn elsewhere(&self) -> Option<String> {
        let is_here = self
            .packaging_dir
            .components()
            .eq(Path::new(".").components());
        (!is_here).then(|| self.packaging_dir.to_string_lossy().into_owned())
    }

    /// The command that reruns the failures of `taskset`.
    fn rerun(&self, taskset: &TasksetKey) -> String {
        let folder = self.elsewhere().map_or(String::new(), |folder| {
            format!(" --packaging-dir {}", shell_word(&folder))
        });
        format!("rrr-local{folder} --rerun-failed {}", taskset.short())
    }
}

/// Runs the tool.
pub fn run(mut options: Options) -> anyhow::Result<u8> {
    options.suite.detect(&options.packaging_dir)?;
    if options.init {
        return init::write(&options.packaging_dir, &options.suite);
    }
    let (request, tasks) = options.suite()?;
    if options.suite.list {
        return tasks::print(&tasks);
    }
    command::check(
        &request.slave_command,
        &options.suite.command,
        &options.packaging_dir,
    )?;
    options.export.iter().try_for_each(Export::check)?;
    options.outputs.settle()?;
    temp_dir::clean_up();
    let mut history = History::open(&options.history)?;
    let folder = TempDir::new("local").map_err(|error| {
        exit::usage(format!("cannot create a temporary folder: {error}"))
            .hint("set TMPDIR to an existing folder that you may write to")
    })?;
    let mut processes = Processes::new()?;
    let redis = processes.start_redis(folder.path())?;
    let mut store = redis.connect()?;
    store.set_patience(Duration::from_secs(2));
    let lessons = history.teach(&mut store, &request.taskset_class, tasks.len());
    let place = Place::new(folder.path())?;
    processes.start(place.role("rrr-arbiter")?, &redis)?;
    processes.start(place.role("rrr-dispatch")?, &redis)?;
    processes.start(place.worker(&options, &request.worker_type)?, &redis)?;
    let taskset = options.submit(&mut store, &request, tasks, &lessons.failed)?;
    let background = Background {
        lasting: history.is_open(),
        rerun: history.is_open().then(|| options.rerun(&taskset)),
        folder: options.elsewhere(),
        earlier_ms: lessons.durations_ms,
    };
    let mut sink = Mending {
        processes: &mut processes,
        view: view::open(&mut store, &taskset, &options.view, background)?,
    };
    let outcome = options.follow(&mut store, &taskset, &mut sink);
    drop(sink);
    processes.report();
    let mut exported = Ok(());
    if outcome.is_ok() {
        // They end, and complete their logs, while the run is recorded.
        processes.dismiss();
        exported = options.export(&mut store, &taskset);
        history.record(&mut store, &taskset);
    }
    let code = end(&mut processes, outcome)?;
    exported?;
    Ok(if signals::requested() && code == exit::OK {
        signals::signal_code()
    } else {
        code
    })
}

/// Returns the outcome, unless a process has died: without Redis the run cannot be followed, and its
/// death is the better message.
fn end(processes: &mut Processes, outcome: anyhow::Result<u8>) -> anyhow::Result<u8> {
    let outcome = outcome.or_else(|error| processes.restart_dead().and(Err(error)));
    outcome.map_err(nothing_goes_on)
}

impl Options {
    /// Submits the tasks, those that failed last first.
    fn submit(
        &self,
        store: &mut Store,
        request: &Request,
        tasks: Vec<Task>,
        failed: &HashSet<String>,
    ) -> anyhow::Result<TasksetKey> {
        let dir = &self.packaging_dir;
        let tasks = self.suite.split(store, request, tasks, dir, "rrr-local")?;
        let submission = Submission::of(TasksetKey::fresh());
        submit::submit(store, &submission, request, tasks, failed, false, None)?;
        Ok(submission.taskset)
    }

    /// Writes the requested exports.
    fn export(&self, store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<()> {
        for export in &self.export {
            if let Some(mut source) = Source::open(store, taskset)? {
                export.write(&mut source)?;
            }
        }
        Ok(())
    }

    /// Shows the run to its end; returns the exit code of its verdict.
    fn follow(
        &self,
        store: &mut Store,
        taskset: &TasksetKey,
        sink: &mut dyn Sink,
    ) -> anyhow::Result<u8> {
        let follow = Follow {
            taskset,
            limit: self.timeout.map(Duration::from_secs),
            on_interrupt: OnInterrupt::Cancel,
        };
        follow::to_the_end(store, &follow, sink)
    }
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

impl<'a> Place<'a> {
    /// The folders of a run whose temporary folder is `folder`.
    fn new(folder: &'a Path) -> anyhow::Result<Self> {
        let tests = folder.join("tmp");
        temp_dir::make_private(&tests)?;
        Ok(Self { folder, tests })
    }

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

    fn worker(&self, options: &Options, worker_type: &str) -> anyhow::Result<Command> {
        let mut worker = self.role("rrr-worker")?;
        worker.arg("--in-place").arg(&options.packaging_dir);
        worker.arg("--worker-type").arg(worker_type);
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
