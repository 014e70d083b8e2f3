//! rrr-worker: takes tasksets, prepares the tree, and keeps slaves alive in number.
//!
//! Slaves hold one end of a pipe (their stdin) whose other end only this process holds: when it is
//! killed they see the end of it, stop their tests and leave.

mod crew;
mod prepare;
mod pulse;
mod slot;

use crate::child::Supervisor;
use crate::key::{TasksetKey, WorkerKey};
use crate::store::Store;
use crate::taskset::{self, Record};
use crate::worker::{self, Accepted, Card};
use crate::{cli, exit, queue, stop, worker_log};
use pulse::Pulse;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Runs slaves for tasksets on this machine
#[derive(clap::Parser)]
#[command(name = "rrr-worker", version)]
pub struct Options {
    #[command(flatten)]
    redis: cli::Redis,
    /// Name of this worker [default: the host name]
    #[arg(long, value_name = "ID", env = "RRR_WORKER_ID")]
    worker_id: Option<String>,
    /// Take tasksets of this type only
    #[arg(
        long,
        value_name = "T",
        default_value = "default",
        env = "RRR_WORKER_TYPE"
    )]
    worker_type: String,
    /// Slaves to run at once [default: the number of processors]
    #[arg(long, value_name = "N", env = "RRR_SLAVES", value_parser = clap::value_parser!(u16).range(1..))]
    slaves: Option<u16>,
    /// Folder below which trees are kept
    #[arg(
        long,
        value_name = "DIR",
        env = "RRR_WORKING_DIR",
        conflicts_with = "in_place"
    )]
    working_dir: Option<PathBuf>,
    /// The tree is here already: no rsync
    #[arg(long, value_name = "DIR", env = "RRR_IN_PLACE")]
    in_place: Option<PathBuf>,
    /// Where trees come from [default: rsync_info in Redis]
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
    /// Run one taskset, then exit
    #[arg(long)]
    once: bool,
    /// Run this taskset without waiting for the dispatcher, then exit
    #[arg(long, value_name = "KEY")]
    taskset: Option<TasksetKey>,
}

/// The name of this machine.
pub fn host_name() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    name.replace(|c: char| c == ':' || c.is_whitespace(), "-")
}

/// Runs the tool.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let id = options.worker_id.clone().unwrap_or_else(host_name);
    let slaves = match options.slaves {
        Some(slaves) => usize::from(slaves),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    for folder in [&options.working_dir, &options.in_place]
        .into_iter()
        .flatten()
    {
        std::fs::create_dir_all(folder).map_err(|error| {
            cli::usage(format!(
                "cannot use the folder '{}': {error}",
                folder.display()
            ))
        })?;
    }
    let card = Card {
        key: WorkerKey::new(&id).map_err(|error| cli::usage(error.to_string()))?,
        worker_type: options.worker_type.clone(),
        slaves,
        instance: worker::instance(),
    };
    let mut store = options.redis.connect()?;
    if worker::register(&mut store, &card)?.is_some() {
        return Err(cli::usage(format!(
            "the worker id '{id}' is in use by another worker that lives"
        ))
        .hint("pass --worker-id with a name of its own")
        .into());
    }
    let pulse = Pulse::start(store.sibling(), &card)?;
    stop::nudge_on_child_exit()?;
    let mut worker = Worker {
        supervisor: Supervisor::new()?,
        store,
        card,
        pulse,
        options,
    };
    let ended = worker.work();
    let code = if worker.pulse.state().replaced {
        eprintln!("rrr-worker: another worker has taken the id '{id}': stopping");
        exit::INTERNAL
    } else {
        worker::exit(&mut worker.store, &worker.card)?;
        exit::OK
    };
    ended.map(|()| code)
}

struct Worker {
    supervisor: Supervisor,
    store: Store,
    card: Card,
    pulse: Arc<Pulse>,
    options: Options,
}

impl Worker {
    fn work(&mut self) -> anyhow::Result<()> {
        let queue = self.card.key.queue();
        while !stop::requested() {
            let (message, parsed) = match self.options.taskset.clone() {
                Some(taskset) => (Vec::new(), Ok(taskset)),
                None => {
                    let Some(message) = queue::peek(&mut self.store, &queue, 1, 0.5)?.pop() else {
                        continue;
                    };
                    let parsed = String::from_utf8_lossy(&message).parse::<TasksetKey>();
                    (message, parsed)
                }
            };
            let taskset = match parsed {
                Ok(taskset) => taskset,
                Err(error) => {
                    queue::refuse(&mut self.store, &queue, &message, &error.to_string())?;
                    continue;
                }
            };
            match worker::accept(&mut self.store, &self.card, &taskset, &message)? {
                Accepted::Yes(log) => {
                    self.stay(&taskset, &log)?;
                    if self.options.once {
                        return Ok(());
                    }
                }
                Accepted::Over(status) => eprintln!("rrr-worker: '{taskset}' is over ({status})"),
                Accepted::NotNow => {
                    stop::sleep(Duration::from_millis(100));
                    continue;
                }
            }
            if self.options.taskset.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Works for one taskset until it is over.
    fn stay(&mut self, taskset: &TasksetKey, log: &str) -> anyhow::Result<()> {
        self.pulse.turn_to(Some(taskset.clone()));
        let result = self.prepare_and_run(taskset, log);
        self.pulse.turn_to(None);
        match result {
            Ok(()) => {}
            Err(error) if error.downcast_ref::<CannotRun>().is_some() => {
                // The worker stops by itself, whatever the status says (F3).
                let reason = format!("worker '{}': {error}", self.card.key.id());
                eprintln!("rrr-worker: {error}");
                worker_log::append(
                    &mut self.store,
                    taskset,
                    &format!("{log}:log"),
                    format!("rrr: {error}\n").as_bytes(),
                )?;
                taskset::request_fail(&mut self.store, taskset, &self.card.key, log, &reason)?;
            }
            Err(error) => return Err(error),
        }
        worker::leave(&mut self.store, &self.card, taskset, log)
    }

    fn prepare_and_run(&mut self, taskset: &TasksetKey, log: &str) -> anyhow::Result<()> {
        let Some(record) = Record::load(&mut self.store, taskset)? else {
            return Ok(());
        };
        let folder = self.tree(taskset, log, &record)?;
        if self.must_leave() {
            return Ok(());
        }
        worker_log::note(&mut self.store, log, "rsync_finished_at")?;
        self.setup(
            taskset,
            log,
            &folder,
            record.get("setup_command").unwrap_or(""),
        )?;
        if self.must_leave() {
            return Ok(());
        }
        worker_log::note(&mut self.store, log, "setup_finished_at")?;
        let Some(slave_command) = record.get("slave_command") else {
            return Err(CannotRun("the taskset has no slave_command".into()).into());
        };
        self.run_slaves(taskset, slave_command, &folder)
    }

    fn must_leave(&self) -> bool {
        let state = self.pulse.state();
        stop::requested() || state.over || state.replaced
    }
}

/// This worker cannot run the taskset; another might.
#[derive(Debug)]
struct CannotRun(String);

impl std::fmt::Display for CannotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CannotRun {}
