//! rrr-worker: takes tasksets, prepares the tree, and keeps slaves alive in number.
//!
//! Slaves hold one end of a pipe (their stdin) whose other end only this process holds: when it is
//! killed they see the end of it, stop their tests and leave.

use crate::child::{End, Exit, Limits, Supervisor, Watch, reap};
use crate::key::{SlaveKey, TasksetKey, WorkerKey};
use crate::slave::Wake;
use crate::store::{BEAT, Store};
use crate::taskset::{self, Record};
use crate::worker::{self, Accepted, Card};
use crate::{cli, exit, key, queue, rsync, slave, stop, worker_log};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

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

/// Longest time rsync or the setup command may take.
const PREPARE_LIMIT: Duration = Duration::from_secs(3600);
/// Time slaves have to leave by themselves when the taskset is over or the worker stops.
const LEAVE_LIMIT: Duration = Duration::from_secs(10);
/// Slaves that end in a row without a trial: the slave command does not work.
const FALSE_STARTS: u32 = 3;

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
    let watch = Watcher::start(store.sibling(), &card)?;
    stop::nudge_on_child_exit()?;
    let mut worker = Worker {
        supervisor: Supervisor::new()?,
        store,
        card,
        watch,
        options,
    };
    let ended = worker.work();
    let code = if worker.watch.state().replaced {
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
    watch: Arc<Watcher>,
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
        self.watch.turn_to(Some(taskset.clone()));
        let result = self.prepare_and_run(taskset, log);
        self.watch.turn_to(None);
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
        let state = self.watch.state();
        stop::requested() || state.over || state.replaced
    }

    /// Brings the tree here; returns its folder.
    fn tree(
        &mut self,
        taskset: &TasksetKey,
        log: &str,
        record: &Record,
    ) -> anyhow::Result<PathBuf> {
        if let Some(folder) = &self.options.in_place {
            return Ok(folder.canonicalize()?);
        }
        let name = record.get("rsync_name").unwrap_or("");
        if let Some(wrong) = key::rsync_name_error(name) {
            return Err(CannotRun(format!("rsync name '{}': {wrong}", name.escape_debug())).into());
        }
        let base = match &self.options.working_dir {
            Some(folder) => folder.clone(),
            None => std::env::home_dir()
                .unwrap_or_default()
                .join(".local/state/rrr/work"),
        };
        let folder = base.join(name);
        std::fs::create_dir_all(&folder).map_err(|error| {
            CannotRun(format!(
                "cannot use the folder '{}': {error}",
                folder.display()
            ))
        })?;
        let folder = folder.canonicalize()?;
        let (path, flags) = (
            self.options.rsync_remote_path.as_deref(),
            self.options.rsync_options.as_deref(),
        );
        let remote = rsync::remote(&mut self.store, path, flags)
            .map_err(|error| match error.downcast::<exit::Failure>() {
                Ok(bad) if bad.code == exit::USAGE => CannotRun(bad.message).into(),
                Ok(other) => other.into(),
                Err(other) => other,
            })?
            .ok_or_else(|| {
                CannotRun(
                    "nobody says where trees come from: pass --rsync-remote-path or --in-place"
                        .into(),
                )
            })?;
        let mut command = Command::new("rsync");
        command.args(remote.down(name, &folder));
        self.step("rsync", &mut command, taskset, log)?;
        Ok(folder)
    }

    /// Runs the setup command from a file, so that nothing in it can read the rest of it (F5).
    fn setup(
        &mut self,
        taskset: &TasksetKey,
        log: &str,
        folder: &Path,
        script: &str,
    ) -> anyhow::Result<()> {
        if script.trim().is_empty() {
            return Ok(());
        }
        let file = tempfile::Builder::new().prefix("rrr-setup-").tempfile()?;
        std::fs::write(file.path(), script)?;
        let mut command = Command::new("bash");
        command
            .arg("-ex")
            .arg(file.path())
            .current_dir(folder)
            .env("RRRSPEC_TASKSET_KEY", taskset.as_str())
            .env("RRRSPEC_WORKING_DIR", folder)
            .env("NUM_SLAVES", self.card.slaves.to_string());
        self.step("setup_command", &mut command, taskset, log)
    }

    /// Runs one step of the preparation to its end, its output into the worker log.
    fn step(
        &mut self,
        what: &str,
        command: &mut Command,
        taskset: &TasksetKey,
        log: &str,
    ) -> anyhow::Result<()> {
        for name in super::slave::secrets() {
            command.env_remove(name);
        }
        let limits = Limits {
            soft: PREPARE_LIMIT,
            hard: PREPARE_LIMIT + Duration::from_secs(30),
            grace: super::slave::GRACE,
            capture: worker_log::LOG_LIMIT / 2,
        };
        let mut watch = Leaving(self.watch.clone());
        let outcome = self
            .supervisor
            .run(command, &limits, &mut watch)
            .map_err(|error| CannotRun(format!("cannot run {what}: {error}")))?;
        let mut output = outcome.stdout.bytes;
        output.extend_from_slice(&outcome.stderr.bytes);
        let log_key = format!("{log}:log");
        worker_log::append(&mut self.store, taskset, &log_key, &output)?;
        let last = last_line(&outcome.stderr.bytes);
        let ended = match (outcome.end, outcome.exit) {
            (End::Stopped(_), _) => return Ok(()),
            (End::Exited, Exit::Code(0)) => return Ok(()),
            (End::Exited, Exit::Code(code)) => format!("exit code {code}"),
            (End::Exited, Exit::Signal(signal)) => format!("signal {signal}"),
            _ => format!("longer than {} s", PREPARE_LIMIT.as_secs()),
        };
        Err(CannotRun(format!("{what} failed ({ended}){last}")).into())
    }

    /// Keeps the slaves alive until the taskset is over.
    fn run_slaves(
        &mut self,
        taskset: &TasksetKey,
        command: &str,
        folder: &Path,
    ) -> anyhow::Result<()> {
        let mut slots: Vec<Slot> = (0..self.card.slaves).map(Slot::new).collect();
        let mut leaving: Option<Instant> = None;
        loop {
            stop::drain();
            let must_leave = self.must_leave();
            for slot in &mut slots {
                slot.read_stderr(&mut self.store, taskset)?;
                if let Some(status) = slot.ended()? {
                    self.bury(taskset, slot, status)?;
                }
                if slot.false_starts >= FALSE_STARTS && !must_leave {
                    let reason =
                        format!("slave command '{command}' does not work: {}", slot.epitaph);
                    dismiss(&mut slots);
                    self.sweep(&slots);
                    return Err(CannotRun(reason).into());
                }
                if slot.child.is_none() && !must_leave && Instant::now() >= slot.start_at {
                    self.start(slot, taskset, command, folder)?;
                }
            }
            self.sweep(&slots);
            let living = slots.iter().filter(|slot| slot.child.is_some()).count();
            if must_leave {
                if living == 0 {
                    return Ok(());
                }
                let since = *leaving.get_or_insert_with(Instant::now);
                if stop::requested() || since.elapsed() > LEAVE_LIMIT / 2 {
                    // The end of their stdin tells them to leave.
                    slots.iter_mut().for_each(Slot::let_go);
                }
                if since.elapsed() > LEAVE_LIMIT {
                    slots.iter_mut().for_each(Slot::kill);
                }
            }
            wait(&slots, leaving.is_some());
        }
    }

    fn start(
        &self,
        slot: &mut Slot,
        taskset: &TasksetKey,
        command: &str,
        folder: &Path,
    ) -> anyhow::Result<()> {
        let nonce = uuid::Uuid::new_v4().simple().to_string()[..12].to_owned();
        let mut path = std::env::current_exe()?
            .parent()
            .map(Path::to_owned)
            .unwrap_or_default()
            .into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut shell = Command::new("/bin/sh");
        shell
            .arg("-c")
            .arg(command)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .env("PATH", path)
            .env("RRR_REDIS_URL", self.options.redis.url())
            .env("RRR_WORKER_ID", self.card.key.id())
            .env("RRR_SLAVE_NONCE", &nonce)
            .env("RRR_SUPERVISED", "1")
            .env("RRRSPEC_TASKSET_KEY", taskset.as_str())
            .env("RRRSPEC_WORKING_DIR", folder)
            .env("NUM_SLAVES", self.card.slaves.to_string())
            .env("SLAVE_NUMBER", slot.number.to_string())
            .env(
                "TEST_ENV_NUMBER",
                match slot.number {
                    0 => String::new(),
                    number => (number + 1).to_string(),
                },
            );
        if let Some(file) = self.options.redis.password_file() {
            shell.env(
                "RRR_REDIS_PASSWORD_FILE",
                file.canonicalize().unwrap_or_else(|_| file.clone()),
            );
        }
        let child = shell
            .spawn()
            .map_err(|error| CannotRun(format!("cannot run the slave command: {error}")))?;
        if let Some(stderr) = &child.stderr {
            let flags = rustix::fs::fcntl_getfl(stderr)? | rustix::fs::OFlags::NONBLOCK;
            rustix::fs::fcntl_setfl(stderr, flags)?;
        }
        slot.child = Some(child);
        slot.nonce = nonce;
        slot.key = None;
        slot.tail.clear();
        slot.early.clear();
        slot.began = Instant::now();
        Ok(())
    }

    /// Looks after what a slave that has ended leaves: its trial, if it died in one.
    fn bury(
        &mut self,
        taskset: &TasksetKey,
        slot: &mut Slot,
        status: ExitStatus,
    ) -> anyhow::Result<()> {
        let key = slot.find_key(&mut self.store, taskset)?;
        slot.flush_log(&mut self.store, taskset)?;
        slot.child = None;
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or(0)),
        };
        slot.epitaph = format!("{how}{}", last_line(&slot.tail));
        let made_trials = match &key {
            Some(key) => {
                slave::reap(
                    &mut self.store,
                    taskset,
                    key,
                    &format!("the slave died ({how})"),
                    true,
                )?;
                slave::has_trials(&mut self.store, key)?
            }
            None => false,
        };
        if made_trials || status.success() {
            slot.false_starts = 0;
        } else {
            slot.false_starts += 1;
            eprintln!(
                "rrr-worker: slave {} ended without a trial: {}",
                slot.number, slot.epitaph
            );
        }
        let pause = if slot.began.elapsed() < Duration::from_secs(1) {
            50
        } else {
            0
        };
        slot.start_at = Instant::now() + Duration::from_millis(pause);
        Ok(())
    }

    /// Kills what dead slaves left: as the subreaper, this process gets their tests as children.
    fn sweep(&self, slots: &[Slot]) {
        let keep: Vec<u32> = slots
            .iter()
            .filter_map(|slot| Some(slot.child.as_ref()?.id()))
            .collect();
        reap::sweep(&keep);
    }
}

fn dismiss(slots: &mut [Slot]) {
    for slot in slots {
        slot.kill();
        if let Some(mut child) = slot.child.take() {
            let _ = child.wait();
        }
    }
}

/// Waits for a nudge, output of a slave, or the next time something is due.
fn wait(slots: &[Slot], leaving: bool) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stop_fd = stop::fd();
    let mut fds = vec![];
    // A wish to stop stays readable only until drained; its work goes on by the timeout.
    fds.push(PollFd::new(&stop_fd, PollFlags::IN));
    for slot in slots {
        if let Some(stderr) = slot.child.as_ref().and_then(|child| child.stderr.as_ref()) {
            fds.push(PollFd::from_borrowed_fd(stderr.as_fd(), PollFlags::IN));
        }
    }
    let idle = slots.iter().any(|slot| slot.child.is_none());
    let ms = if leaving || idle { 20 } else { 1000 };
    let _ = poll(
        &mut fds,
        Some(&Timespec {
            tv_sec: ms / 1000,
            tv_nsec: (ms % 1000) * 1_000_000,
        }),
    );
}

/// A place for one slave.
struct Slot {
    number: usize,
    child: Option<Child>,
    nonce: String,
    key: Option<SlaveKey>,
    /// The last of its stderr, for messages.
    tail: Vec<u8>,
    /// What it said before its key was known.
    early: Vec<u8>,
    epitaph: String,
    began: Instant,
    start_at: Instant,
    false_starts: u32,
}

impl Slot {
    fn new(number: usize) -> Self {
        Self {
            number,
            child: None,
            nonce: String::new(),
            key: None,
            tail: Vec::new(),
            early: Vec::new(),
            epitaph: String::new(),
            began: Instant::now(),
            start_at: Instant::now(),
            false_starts: 0,
        }
    }

    fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(match &mut self.child {
            Some(child) => child.try_wait()?,
            None => None,
        })
    }

    fn let_go(&mut self) {
        if let Some(child) = &mut self.child {
            child.stdin = None;
        }
    }

    fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
        }
    }

    /// The key that the slave made of its pid and our nonce.
    fn find_key(
        &mut self,
        store: &mut Store,
        taskset: &TasksetKey,
    ) -> anyhow::Result<Option<SlaveKey>> {
        if self.key.is_none() && !self.nonce.is_empty() {
            let suffix = format!("-{}", self.nonce);
            self.key = taskset::slaves(store, taskset)?
                .into_iter()
                .rev()
                .find(|key| key.as_str().ends_with(&suffix));
        }
        Ok(self.key.clone())
    }

    fn read_stderr(&mut self, store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<()> {
        let mut buffer = [0; 16 << 10];
        let mut got = false;
        while let Some(stderr) = self.child.as_mut().and_then(|child| child.stderr.as_mut()) {
            match stderr.read(&mut buffer) {
                Ok(0) => {
                    if let Some(child) = &mut self.child {
                        child.stderr = None;
                    }
                }
                Ok(n) => {
                    got = true;
                    if self.early.len() < worker_log::LOG_LIMIT {
                        self.early.extend_from_slice(&buffer[..n]);
                    }
                    self.tail.extend_from_slice(&buffer[..n]);
                    let excess = self.tail.len().saturating_sub(2000);
                    self.tail.drain(..excess);
                }
                Err(_) => break,
            }
        }
        if got {
            self.find_key(store, taskset)?;
            self.flush_log(store, taskset)?;
        }
        Ok(())
    }

    fn flush_log(&mut self, store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<()> {
        if let Some(key) = &self.key
            && !self.early.is_empty()
        {
            worker_log::append(store, taskset, &key.log(), &self.early)?;
            self.early.clear();
        }
        Ok(())
    }
}

/// `: LAST LINE` of what was said on stderr, for a message.
fn last_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty() && !line.starts_with("hint:"))
        .unwrap_or("");
    let line: String = line
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(300)
        .collect();
    if line.is_empty() {
        line
    } else {
        format!(": {line}")
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

#[derive(Clone, Default)]
struct State {
    taskset: Option<TasksetKey>,
    over: bool,
    replaced: bool,
}

/// The worker's second thread: its heartbeat, and news of the taskset on hand.
struct Watcher(Mutex<State>);

impl Watcher {
    fn start(mut store: Store, card: &Card) -> std::io::Result<Arc<Self>> {
        let watcher = Arc::new(Self(Mutex::default()));
        let (shared, card) = (watcher.clone(), card.clone());
        std::thread::Builder::new()
            .name("pulse".into())
            .stack_size(256 << 10)
            .spawn(move || while shared.turn(&mut store, &card).is_ok() {})?;
        Ok(watcher)
    }

    fn state(&self) -> State {
        self.0.lock().expect("no panic while noting news").clone()
    }

    fn turn_to(&self, taskset: Option<TasksetKey>) {
        let mut state = self.0.lock().expect("no panic while noting news");
        state.taskset = taskset;
        state.over = false;
    }

    /// One heartbeat, and listening until the next is due.
    fn turn(&self, store: &mut Store, card: &Card) -> anyhow::Result<()> {
        if !worker::beat(store, card)? {
            self.0.lock().expect("no panic while noting news").replaced = true;
            stop::request();
        }
        let due = Instant::now() + BEAT;
        let mut heard: Option<(TasksetKey, String)> = None;
        while Instant::now() < due {
            let state = self.state();
            let Some(taskset) = state.taskset.filter(|_| !state.over) else {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            };
            let mut after = match heard.take() {
                Some((known, after)) if known == taskset => after,
                _ => "0-0".to_owned(),
            };
            let wait = due
                .saturating_duration_since(Instant::now())
                .min(Duration::from_secs(2));
            let wakes = slave::wakes(store, &taskset, &mut after, wait.as_millis().max(1) as u64)?;
            if wakes.iter().any(|wake| matches!(wake, Wake::Over(_))) {
                let mut state = self.0.lock().expect("no panic while noting news");
                if state.taskset.as_ref() == Some(&taskset) {
                    state.over = true;
                }
                stop::nudge();
            }
            heard = Some((taskset, after));
        }
        Ok(())
    }
}

/// Ends a step of the preparation when there is nothing more to prepare for.
struct Leaving(Arc<Watcher>);

impl Watch for Leaving {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(stop::fd())
    }

    fn stop(&mut self) -> Option<String> {
        stop::drain();
        let state = self.0.state();
        (stop::requested() || state.over || state.replaced)
            .then(|| "there is nothing to prepare for".to_owned())
    }
}
