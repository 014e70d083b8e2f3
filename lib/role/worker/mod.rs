//! rrr-worker: takes tasksets, prepares the tree, and keeps the set number of slaves running.
//!
//! Only this process holds the write end of each slave's stdin. When it is killed, the slaves read
//! the end of the file, stop their tests and exit.

mod bench;
mod heartbeat;
mod intake;
mod prepare;
mod slaves;
mod slot;
mod time_limit;
mod trusted;

use crate::cli::redis_args::RedisArgs;
use crate::entity::heartbeat::Heartbeat;
use crate::entity::taskset::{self, Record};
use crate::entity::worker::{self, Registration};
use crate::entity::worker_log;
use crate::exec::adapter::Outputs;
use crate::exec::child::cgroup::{self, CgroupBounds};
use crate::exec::child::{self, Supervisor, reap};
use crate::process::host::host_name;
use crate::process::stderr::{self, say};
use crate::process::temp_dir::{self, TempDir};
use crate::process::{exit, signals, state_dir, systemd};
use crate::protocol::key::{TasksetKey, WorkerKey};
use crate::protocol::status::TasksetStatus;
use crate::protocol::taskset_field as field;
use crate::protocol::time;
use crate::role::worker::heartbeat::HeartbeatThread;
use crate::role::worker::time_limit::TimeLimit;
use crate::store;
use crate::store::Store;
use crate::suite::signing::{EndedRuns, Trust};
use bench::cannot_register;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use trusted::{NotTrusted, Wary};

/// Runs slaves for tasksets on this machine
#[derive(clap::Parser)]
#[command(name = "rrr-worker", version)]
pub struct Options {
    #[command(flatten)]
    redis: RedisArgs,
    /// Name of this worker [default: the host name]
    #[arg(long, value_name = "ID")]
    worker_id: Option<String>,
    /// Type of the tasksets to take
    #[arg(long, value_name = "T", default_value = field::DEFAULT)]
    worker_type: String,
    /// Number of slaves [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    slaves: Option<u16>,
    /// Folder for the trees [default: ~/.local/state/rrr/work]
    #[arg(long, value_name = "DIR", conflicts_with = "in_place")]
    working_dir: Option<PathBuf>,
    /// Use the tree in this folder, without rsync
    #[arg(long, value_name = "DIR")]
    in_place: Option<PathBuf>,
    /// Where to fetch trees from [default: rsync_info in Redis]
    #[arg(long, value_name = "P")]
    rsync_remote_path: Option<String>,
    /// rsync options [default: rsync_info in Redis, or --archive --delete]
    #[arg(long, value_name = "S", allow_hyphen_values = true)]
    rsync_options: Option<String>,
    #[command(flatten)]
    heartbeat: Heartbeat,
    /// Variables passed to tests, with PATH and the protocol's [default: all except rrr's own]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    env_allow: Option<Vec<String>>,
    #[command(flatten)]
    bounds: CgroupBounds,
    #[command(flatten)]
    outputs: Outputs,
    /// Run only tasksets signed with a public key in FILE
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    trust: Option<PathBuf>,
    /// Run one taskset, then exit
    #[arg(long)]
    once: bool,
    /// Run this taskset without the dispatcher, then exit
    #[arg(long, value_name = "KEY")]
    taskset: Option<TasksetKey>,
    /// Wait SEC seconds for the taskset (exit 124) [1800]
    ///
    /// With --taskset, half an hour by default; with --once only if it is given.
    #[arg(long, value_name = "SEC", hide_short_help = true)]
    wait: Option<u64>,
    /// Stop after SEC seconds, and return the tasks (exit 124)
    // RRR_TIMEOUT is meant for the tools that follow a taskset.
    #[arg(
        long,
        value_name = "SEC",
        env = "RRR_WORKER_TIMEOUT",
        hide_short_help = true
    )]
    timeout: Option<u64>,
}

impl Options {
    /// The trusted keys, with --trust. The location of trees in Redis is then ignored.
    fn trusted_keys(&self) -> anyhow::Result<Option<Trust>> {
        let Some(path) = &self.trust else {
            return Ok(None);
        };
        if self.in_place.is_none() && self.rsync_remote_path.is_none() {
            return Err(exit::usage(
                "--trust ignores rsync_info in Redis, and no location for trees is set",
            )
            .hint("pass --rsync-remote-path P, or --in-place DIR")
            .into());
        }
        Ok(Some(Trust::load(path)?))
    }
}

/// Opens the notes on finished signed runs, with --trust.
fn wary(store: &mut Store, trust: Trust, id: &str) -> anyhow::Result<Wary> {
    let (folder, now) = (state_dir::folder(), time::unix_ms() / 1000);
    let is_over = |taskset: &TasksetKey| {
        let record = Record::load(store, taskset)?;
        let status = record.map(|record| record.status());
        Ok(status.is_none_or(|status| status.is_some_and(TasksetStatus::is_final)))
    };
    let ended = EndedRuns::open(&folder, id, now, is_over).map_err(|error| {
        let folder = folder.display();
        exit::usage(format!(
            "cannot record finished signed runs in '{folder}': {error}"
        ))
        .hint("--trust needs these records; set XDG_STATE_HOME to use another folder")
    })?;
    Ok(Wary {
        trust,
        ended,
        on_hand: None,
    })
}

/// Checks the folders of the flags, and makes the missing ones.
fn prepare_folders(options: &mut Options) -> anyhow::Result<()> {
    if let Some(folder) = options.in_place.as_ref().filter(|it| !it.is_dir()) {
        let message = format!("folder '{}' does not exist", folder.display());
        return Err(exit::usage(message)
            .hint("--in-place needs an existing tree; --working-dir is created if missing")
            .into());
    }
    if let Some(folder) = &options.working_dir {
        std::fs::create_dir_all(folder).map_err(|error| {
            let folder = folder.display();
            exit::usage(format!("cannot use the folder '{folder}': {error}"))
        })?;
    }
    options.outputs.settle()?;
    Ok(())
}

/// The worker's entry in Redis.
fn registration(options: &Options, id: &str) -> anyhow::Result<Registration> {
    let slaves = match options.slaves {
        Some(slaves) => usize::from(slaves),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    Ok(Registration {
        key: WorkerKey::new(id).map_err(|error| exit::usage(error.to_string()))?,
        worker_type: options.worker_type.clone(),
        slaves,
        heartbeat: options.heartbeat.clone(),
        instance: worker::instance(),
    })
}

/// Registers the worker.
///
/// Errors: a running worker has its id, or a key of the worker is of the wrong type.
fn register(store: &mut Store, card: &Registration) -> anyhow::Result<()> {
    let holder = match worker::register(store, card) {
        Err(error) if error.is::<store::error::Refused>() => {
            return Err(cannot_register(store, card, error));
        }
        registered => registered?,
    };
    if holder.is_none() {
        return Ok(());
    }
    let id = card.key.id();
    Err(
        exit::usage(format!("worker id '{id}' is in use by a running worker"))
            .hint("pass --worker-id with another name")
            .into(),
    )
}

/// The parent cgroup of the trials' cgroups, if there can be one; says which guarantee this machine
/// gives.
fn cgroups(bounds: &mut CgroupBounds) -> Option<PathBuf> {
    if cgroup::is_unwanted() && bounds.is_empty() {
        return None;
    }
    let base = cgroup::base(bounds).or_else(|error| {
        std::mem::take(bounds).cannot_be_kept("rrr-worker", &error);
        cgroup::base(bounds)
    });
    stderr::line(&match &base {
        Ok(base) => format!(
            "rrr-worker: each trial runs in its own cgroup below '{}'",
            base.display()
        ),
        Err(why) => format!(
            "rrr-worker: trials end without a cgroup ({why}): one whose processes start others \
             faster than they can be killed takes longer; see rrr-deploy(7)"
        ),
    });
    base.ok()
}

/// Runs the tool.
pub fn run(mut options: Options) -> anyhow::Result<u8> {
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    child::keep_descriptors_to_ourselves();
    let id = options.worker_id.clone().unwrap_or_else(host_name);
    prepare_folders(&mut options)?;
    temp_dir::clean_up();
    let folder = TempDir::new("worker")
        .map_err(|error| exit::usage(format!("cannot create a temporary folder: {error}")))?;
    let trust = options.trusted_keys()?;
    let card = registration(&options, &id)?;
    let mut store = options.redis.connect()?;
    register(&mut store, &card)?;
    let wary = match trust {
        Some(trust) => Some(wary(&mut store, trust, &id)?),
        None => None,
    };
    let pulse = HeartbeatThread::start(store.sibling(card.heartbeat.beat()), &card)?;
    signals::nudge_on_child_exit()?;
    let cgroups = cgroups(&mut options.bounds);
    let mut worker = Worker {
        supervisor: Supervisor::new(None)?,
        folder,
        cgroups,
        store,
        card,
        pulse,
        options,
        wary,
        failures: 0,
    };
    systemd::ready("waiting for a taskset");
    let timeout = worker.options.timeout.map(Duration::from_secs);
    let limit = timeout.map(TimeLimit::start).transpose()?;
    let code = worker.work().and_then(|code| match limit {
        Some(limit) if limit.has_passed() => Err(worker.out_of_time()),
        _ => Ok(code),
    });
    systemd::stopping();
    if worker.pulse.news().replaced {
        say!("rrr-worker: another worker has taken over the id '{id}': stopping");
        return Ok(exit::INTERNAL);
    }
    worker.pulse.leave();
    let left = worker::exit(&mut worker.store, &worker.card);
    store::unless_refused(&worker.card.key, left)?;
    code
}

struct Worker {
    supervisor: Supervisor,
    store: Store,
    card: Registration,
    pulse: Arc<HeartbeatThread>,
    options: Options,
    /// With --trust.
    wary: Option<Wary>,
    /// The temporary folder for files that its children read.
    folder: TempDir,
    /// The parent cgroup of the trials' cgroups, where cgroups are available.
    cgroups: Option<PathBuf>,
    /// Consecutive tasksets that could not be run on this machine.
    failures: u32,
}

impl Worker {
    /// Works on one taskset until it finishes.
    fn stay(&mut self, taskset: &TasksetKey, log: &str) -> anyhow::Result<Assignment> {
        self.pulse.turn_to(Some(taskset.clone()));
        let result = self.prepare_and_run(taskset, log);
        let over = self.pulse.news().over;
        self.pulse.turn_to(None);
        // Slaves' tests and the setup command's processes: no process of a taskset survives
        // (promise 5).
        reap::sweep(&[]);
        self.clear_up();
        self.note_end(over)?;
        let stay = match result {
            Ok(()) => Assignment::Ran,
            Err(error) if error.is::<CannotRun>() || error.is::<NotTrusted>() => {
                // The worker stops in any case, whatever the status is (F3).
                let reason = format!("worker '{}': {error}", self.card.key.id());
                say!("rrr-worker: {error}");
                worker_log::append(
                    &mut self.store,
                    taskset,
                    &format!("{log}:log"),
                    format!("rrr: {error}\n").as_bytes(),
                )?;
                let asked =
                    taskset::request_fail(&mut self.store, taskset, &self.card.key, log, &reason);
                store::unless_refused(taskset, asked)?;
                match error.is::<NotTrusted>() {
                    true => Assignment::Refused,
                    false => Assignment::Failed,
                }
            }
            Err(error) => {
                store::unless_refused::<()>(taskset, Err(error))?;
                // The dispatcher may assign the same taskset again at once.
                signals::sleep(Duration::from_secs(1));
                Assignment::Refused
            }
        };
        let left = worker::leave(&mut self.store, &self.card, taskset, log);
        store::unless_refused(log, left)?;
        Ok(stay)
    }

    fn prepare_and_run(&mut self, taskset: &TasksetKey, log: &str) -> anyhow::Result<()> {
        let Some(record) = Record::load(&mut self.store, taskset)? else {
            return Ok(());
        };
        let signed = self.check_signature(taskset, &record)?;
        let folder = self.tree(taskset, log, &record)?;
        if self.must_leave() {
            return Ok(());
        }
        worker_log::note(&mut self.store, log, "rsync_finished_at")?;
        self.setup(
            taskset,
            log,
            &folder,
            record.get(field::SETUP_COMMAND).unwrap_or_default(),
        )?;
        if self.must_leave() {
            return Ok(());
        }
        worker_log::note(&mut self.store, log, "setup_finished_at")?;
        let Some(slave_command) = record.get(field::SLAVE_COMMAND) else {
            return Err(CannotRun("the taskset has no slave_command".into()).into());
        };
        let signed = signed.as_ref().map(|file| file.path());
        self.run_slaves(taskset, slave_command, &folder, signed)
    }

    /// A file in the worker's temporary folder, recreated if a cleanup job has removed the folder.
    fn scratch_file(&self) -> std::io::Result<tempfile::NamedTempFile> {
        self.folder.restore()?;
        tempfile::NamedTempFile::new_in(self.folder.path())
    }

    fn must_leave(&self) -> bool {
        let state = self.pulse.news();
        signals::requested() || state.over || state.replaced
    }
}

/// The outcome of working on a taskset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Assignment {
    Ran,
    /// The taskset could not be run here: this machine may be faulty.
    Failed,
    Refused,
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
