//! rrr-submit: sends the tree up, writes a taskset, hands it over, and may follow it to its end.

use crate::event::{self, Event};
use crate::key::{self, TasksetKey};
use crate::store::Store;
use crate::taskset::{self, Record, Request, Status};
use crate::{cli, exit, out, rsync, schedule, stop};
use serde::Deserialize;
use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Submits a suite
#[derive(clap::Parser)]
#[command(name = "rrr-submit", version)]
pub struct Options {
    #[command(flatten)]
    redis: cli::Redis,
    #[command(flatten)]
    pub suite: Suite,
    /// Print events until the taskset ends, and exit by its verdict
    #[arg(long)]
    follow: bool,
    /// Print the taskset's key instead of an event
    #[arg(long, conflicts_with = "follow")]
    key_only: bool,
    /// Give up following after SEC seconds (exit code 124)
    #[arg(long, value_name = "SEC", requires = "follow")]
    timeout: Option<u64>,
    /// Name of the tree [default: $USER]
    #[arg(long, value_name = "N", env = "RRR_RSYNC_NAME")]
    rsync_name: Option<String>,
    /// Folder to send
    #[arg(long, value_name = "D", default_value = ".", env = "RRR_PACKAGING_DIR")]
    packaging_dir: PathBuf,
    /// Where the tree goes [default: rsync_info in Redis]
    #[arg(long, value_name = "P", env = "RRR_RSYNC_REMOTE_PATH")]
    rsync_remote_path: Option<String>,
    /// Options of rsync [default: rsync_info in Redis, or --archive --delete]
    #[arg(
        long,
        value_name = "S",
        env = "RRR_RSYNC_OPTIONS",
        allow_hyphen_values = true
    )]
    rsync_options: Option<String>,
    /// Do not send the tree: the workers have it
    #[arg(long)]
    no_rsync: bool,
}

/// What to run, and how: the flags that rrr-submit and rrr-local share.
#[derive(Clone, clap::Args)]
pub struct Suite {
    /// Spec files, relative to the packaging folder
    #[arg(value_name = "FILE")]
    pub files: Vec<String>,
    /// Read spec files from F ('-' is stdin): one a line, or a JSON object {"spec_file": …}
    #[arg(long, value_name = "F")]
    pub files_from: Option<PathBuf>,
    /// With --files-from: names end with NUL instead of a line feed
    #[arg(short = '0', requires = "files_from")]
    pub nul: bool,
    /// Shell script that workers run once in the tree before the slaves start
    #[arg(
        long,
        value_name = "CMD",
        default_value = "",
        hide_default_value = true,
        env = "RRR_SETUP"
    )]
    pub setup: String,
    /// Shell command that starts a slave
    #[arg(
        long,
        value_name = "CMD",
        conflicts_with = "command",
        env = "RRR_SLAVE"
    )]
    pub slave: Option<String>,
    /// Type of the workers to run on
    #[arg(
        long,
        value_name = "T",
        default_value = "default",
        env = "RRR_WORKER_TYPE"
    )]
    pub worker_type: String,
    /// Whose timings to use, and to add to
    #[arg(
        long,
        value_name = "C",
        default_value = "default",
        env = "RRR_TASKSET_CLASS"
    )]
    pub taskset_class: String,
    /// Most workers at once
    #[arg(long, value_name = "N", default_value_t = 10, env = "RRR_MAX_WORKERS", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_workers: u32,
    /// Most trials of a task
    #[arg(long, value_name = "N", default_value_t = 3, env = "RRR_MAX_TRIALS", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_trials: u32,
    /// Seconds a spec file without an estimate may take
    #[arg(long, value_name = "SEC", default_value_t = 300, env = "RRR_UNKNOWN_SPEC_TIMEOUT", value_parser = clap::value_parser!(u64).range(1..))]
    pub unknown_spec_timeout: u64,
    /// Seconds that every spec file may take at least
    #[arg(long, value_name = "SEC", default_value_t = 30, env = "RRR_LEAST_TIMEOUT", value_parser = clap::value_parser!(u64).range(1..))]
    pub least_timeout: u64,
    /// Command for each spec file, short for --slave 'rrr-slave -- CMD'; {} is the file
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonTask {
    spec_file: String,
    estimate_sec: Option<u64>,
}

/// A task to submit: its spec file, and its estimate in seconds if one is known.
pub type Task = (String, Option<u64>);

impl Suite {
    /// The command that starts a slave.
    pub fn slave_command(&self) -> anyhow::Result<String> {
        match (&self.slave, self.command.is_empty()) {
            (Some(slave), _) => Ok(slave.clone()),
            (None, false) => {
                let words = shlex::try_join(self.command.iter().map(String::as_str))
                    .map_err(|_| cli::usage("the command has a NUL byte"))?;
                Ok(format!("rrr-slave -- {words}"))
            }
            (None, true) => Err(cli::usage("nothing says how to run a spec file")
                .hint("end with '-- CMD', for example: -- sh {}")
                .into()),
        }
    }

    /// Reads and checks the list of tasks. Files named as arguments must exist below `folder`, if
    /// one is given.
    pub fn tasks(&self, folder: Option<&Path>) -> anyhow::Result<Vec<Task>> {
        let mut tasks: Vec<Task> = Vec::new();
        for file in &self.files {
            let path = file.split("::").next().unwrap_or(file);
            if let Some(folder) = folder
                && !folder.join(path).exists()
                && !folder.join(path.split('[').next().unwrap_or(path)).exists()
            {
                return Err(cli::usage(format!(
                    "there is no spec file '{file}' in '{}'",
                    folder.display()
                ))
                .hint("name files relative to the packaging folder (--packaging-dir)")
                .into());
            }
            tasks.push((file.clone(), None));
        }
        if let Some(from) = &self.files_from {
            self.read_list(from, &mut tasks)?;
        }
        let mut seen = HashSet::new();
        for (file, _) in &tasks {
            if let Some(wrong) = key::spec_file_error(file) {
                let shown: String = file.escape_debug().take(200).collect();
                return Err(cli::usage(format!("spec file '{shown}': {wrong}")).into());
            }
        }
        tasks.retain(|(file, _)| seen.insert(file.clone()));
        if tasks.is_empty() {
            return Err(exit::failure(
                exit::NOTHING,
                "there is nothing to run: no spec file was named",
            )
            .hint("name spec files, or pass --files-from FILE")
            .into());
        }
        Ok(tasks)
    }

    fn read_list(&self, from: &Path, tasks: &mut Vec<Task>) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        let read = if from.as_os_str() == "-" {
            std::io::stdin().read_to_end(&mut bytes).map(|_| ())
        } else {
            std::fs::read(from).map(|content| bytes = content)
        };
        read.map_err(|error| {
            cli::usage(format!(
                "cannot read the list '{}': {error}",
                from.display()
            ))
        })?;
        let end = if self.nul { 0 } else { b'\n' };
        for (number, line) in bytes.split(|byte| *byte == end).enumerate() {
            let place = || format!("'{}', entry {}", from.display(), number + 1);
            let line = std::str::from_utf8(line)
                .map_err(|_| cli::usage(format!("{}: not valid UTF-8", place())))?;
            let line = if self.nul {
                line
            } else {
                line.trim_end_matches('\r')
            };
            if line.is_empty() {
                continue;
            }
            if line.starts_with('{') && !self.nul {
                let task: JsonTask = serde_json::from_str(line)
                    .map_err(|error| cli::usage(format!("{}: bad JSON task: {error}", place())))?;
                tasks.push((task.spec_file, task.estimate_sec));
            } else {
                tasks.push((line.to_owned(), None));
            }
        }
        Ok(())
    }

    fn request(&self, rsync_name: String) -> anyhow::Result<Request> {
        Ok(Request {
            rsync_name,
            setup_command: self.setup.clone(),
            slave_command: self.slave_command()?,
            worker_type: self.worker_type.clone(),
            max_workers: self.max_workers,
            max_trials: self.max_trials,
            taskset_class: self.taskset_class.clone(),
            unknown_spec_timeout_sec: self.unknown_spec_timeout,
            least_timeout_sec: self.least_timeout,
        })
    }
}

/// Runs the tool.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let folder = &options.packaging_dir;
    let rsync_name = options
        .rsync_name
        .clone()
        .or_else(|| std::env::var("USER").ok().filter(|user| !user.is_empty()))
        .unwrap_or_else(|| "rrr".to_owned());
    if let Some(wrong) = key::rsync_name_error(&rsync_name) {
        return Err(cli::usage(format!(
            "rsync name '{}': {wrong}",
            rsync_name.escape_debug()
        ))
        .hint("pass --rsync-name NAME")
        .into());
    }
    let request = options.suite.request(rsync_name.clone())?;
    if !options.no_rsync && !folder.is_dir() {
        return Err(cli::usage(format!(
            "there is no packaging folder '{}'",
            folder.display()
        ))
        .into());
    }
    let tasks = options
        .suite
        .tasks((!options.no_rsync).then_some(folder.as_path()))?;
    let mut store = options.redis.connect()?;
    store.set_patience(Duration::from_secs(10));
    let taskset = TasksetKey::fresh();
    if !options.no_rsync {
        let sent = send(&mut store, &options, &taskset, &rsync_name);
        if sent.is_err() {
            taskset::unlock_rsync_name(&mut store, &taskset, &rsync_name)?;
        }
        sent?;
    }
    submit(&mut store, &taskset, &request, tasks, !options.no_rsync)?;
    if options.key_only {
        out::line(taskset.as_str());
    }
    if options.follow {
        let limit = options.timeout.map(Duration::from_secs);
        return follow(&mut store, &taskset, limit, &mut |_| {});
    }
    if !options.key_only {
        let mut after = "0-0".to_owned();
        for entry in store.call(|c, _| event::read(c, &taskset, &mut after, 1))? {
            for event in entry
                .events
                .iter()
                .filter(|e| matches!(e, Event::TasksetSubmitted { .. }))
            {
                out::line(&event::line(entry.unix_ms, taskset.as_str(), event));
            }
        }
    }
    Ok(exit::OK)
}

/// Completes the estimates, orders the tasks, writes the taskset and hands it over.
pub fn submit(
    store: &mut Store,
    taskset: &TasksetKey,
    request: &Request,
    mut tasks: Vec<Task>,
    locked: bool,
) -> anyhow::Result<()> {
    let known = taskset::estimates(store, &request.taskset_class)?;
    for (file, estimate) in &mut tasks {
        *estimate = estimate.or_else(|| known.get(file.as_str()).copied());
    }
    schedule::order(&mut tasks);
    taskset::stage(store, taskset, request, &tasks)?;
    taskset::activate(store, taskset, &request.rsync_name, tasks.len(), locked)
}

/// The request that a suite makes under this rsync name.
pub fn request(suite: &Suite, rsync_name: &str) -> anyhow::Result<Request> {
    suite.request(rsync_name.to_owned())
}

/// Sends the tree up, holding the lock of its name, so that nobody's tree changes while it is read.
fn send(
    store: &mut Store,
    options: &Options,
    taskset: &TasksetKey,
    name: &str,
) -> anyhow::Result<()> {
    let (path, flags) = (
        options.rsync_remote_path.as_deref(),
        options.rsync_options.as_deref(),
    );
    let Some(remote) = rsync::remote(store, path, flags)? else {
        return Err(cli::usage("nobody says where the tree should go")
            .hint("pass --rsync-remote-path P, or --no-rsync when the workers have the tree")
            .into());
    };
    if let Some(holder) = taskset::lock_rsync_name(store, taskset, name)? {
        return Err(
            cli::usage(format!("the rsync name '{name}' is in use by '{holder}'"))
                .hint("wait for it, rrr-cancel it, or pass another --rsync-name")
                .into(),
        );
    }
    remote.make_folder(name)?;
    let handle = duct::cmd("rsync", remote.up(&options.packaging_dir, name))
        .stdin_null()
        .stdout_null()
        .stderr_capture()
        .unchecked()
        .start()
        .map_err(|error| rsync::not_started(&error))?;
    let mut renewed = Instant::now();
    let output = loop {
        if let Some(output) = handle.try_wait()? {
            break output;
        }
        if stop::requested() {
            handle.kill()?;
            return Err(crate::store::Stopped.into());
        }
        if renewed.elapsed() > Duration::from_secs(5) {
            taskset::lock_rsync_name(store, taskset, name)?;
            renewed = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(cli::usage(format!(
            "rsync to '{}' failed ({}): {}",
            remote.path,
            output.status,
            said.trim()
        ))
        .hint("check --rsync-remote-path and --rsync-options; nothing was submitted")
        .into());
    }
    Ok(())
}

/// Prints events until the taskset ends; returns the exit code of its verdict. `seen` is shown
/// each event as well.
pub fn follow(
    store: &mut Store,
    taskset: &TasksetKey,
    limit: Option<Duration>,
    seen: &mut dyn FnMut(&Event),
) -> anyhow::Result<u8> {
    let began = Instant::now();
    let mut after = "0-0".to_owned();
    let mut cancelled = false;
    let mut waiting_said = false;
    loop {
        if out::is_closed() {
            return Ok(exit::PIPE_CLOSED);
        }
        if stop::count() >= 2 {
            return Ok(stop::signal_code());
        }
        if stop::requested() && !cancelled {
            eprintln!("cancelling '{taskset}' (again to leave it)");
            taskset::request_cancel(store, Some(taskset))?;
            cancelled = true;
        }
        if limit.is_some_and(|limit| began.elapsed() >= limit) {
            return Err(exit::failure(
                exit::TIMED_OUT,
                format!("'{taskset}' has not ended in time"),
            )
            .into());
        }
        let entries = store.call(|c, _| event::read(c, taskset, &mut after, 200))?;
        let quiet = entries.is_empty();
        for entry in entries {
            for event in &entry.events {
                out::line(&event::line(entry.unix_ms, taskset.as_str(), event));
                seen(event);
                if let Event::TasksetFinished { status, .. } = event {
                    let status = Status::parse(status).unwrap_or(Status::Failed);
                    return Ok(if out::is_closed() {
                        exit::PIPE_CLOSED
                    } else {
                        status.exit_code()
                    });
                }
            }
        }
        if !quiet {
            continue;
        }
        let Some(record) = Record::load(store, taskset)? else {
            return Err(
                exit::failure(exit::INTERNAL, format!("'{taskset}' has gone from Redis")).into(),
            );
        };
        if let Some(status) = record.status().filter(|status| status.is_final()) {
            // Finished by somebody who writes no events, and none is on its way.
            let late = store.call(|c, _| event::read(c, taskset, &mut after.clone(), 1))?;
            if late.is_empty() {
                return Ok(status.exit_code());
            }
        }
        if record.status().is_none() && !waiting_said && began.elapsed() > Duration::from_secs(3) {
            eprintln!(
                "waiting for a worker of type '{}'",
                record.get("worker_type").unwrap_or("default")
            );
            waiting_said = true;
        }
    }
}
