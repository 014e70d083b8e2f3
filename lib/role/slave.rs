//! rrr-slave: takes tasks one after the other, runs a command for each, and tells the arbiter.
//!
//! The main thread supervises the test. A second one, the pulse, sends the heartbeat and listens
//! for news (a verdict by another slave, the end of the taskset), so that no test can keep either
//! from happening.

use crate::child::{End, Exit, Limits, Outcome, Supervisor, Watch};
use crate::event::{self, Event};
use crate::exit;
use crate::key::{SlaveKey, TaskKey, TasksetKey, WorkerKey};
use crate::slave::{self, Job, Next, Status, Wake};
use crate::store::{BEAT, Store};
use crate::taskset::Record;
use crate::trial::{self, Result as TrialResult};
use crate::{cli, out, stop, task, time};
use std::collections::HashSet;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Runs the tasks of one taskset; started by rrr-worker
#[derive(clap::Parser)]
#[command(name = "rrr-slave", version)]
pub struct Options {
    #[command(flatten)]
    redis: cli::Redis,
    /// The taskset to work for
    #[arg(long, value_name = "KEY", env = "RRRSPEC_TASKSET_KEY")]
    taskset: TasksetKey,
    /// How tasks are run
    #[arg(long, value_enum, default_value_t = Adapter::Exec)]
    adapter: Adapter,
    /// Exit code of CMD that means pending
    #[arg(long, value_name = "CODE", default_value_t = 77)]
    pending_code: i32,
    /// The worker that this slave belongs to [default: the host name]
    #[arg(long, value_name = "ID", env = "RRR_WORKER_ID")]
    worker_id: Option<String>,
    /// Command for each task; {} is its spec file, appended when there is no {}
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Adapter {
    /// Run CMD once for each task
    Exec,
}

/// Bytes kept of each of a trial's outputs.
const CAPTURE: usize = 4 << 20;
/// Time a test has to end after it was asked to.
pub const GRACE: Duration = Duration::from_secs(2);
/// How often a slave lets others have a task it has tried before.
const PATIENCE: u32 = 3;

/// Runs the tool.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let Adapter::Exec = options.adapter;
    // A test runs as the same user: without this it could read our environment (FAULTS S8).
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    check_command(&options.command[0])?;
    let mut store = options.redis.connect_quickly()?;
    let taskset = options.taskset.clone();
    let Some(record) = Record::load(&mut store, &taskset)? else {
        return Err(cli::usage(format!("there is no taskset '{taskset}'")).into());
    };
    let key = own_key(&options)?;
    if let Some(status) = slave::join(&mut store, &taskset, &key)? {
        eprintln!("rrr-slave: '{taskset}' is not running ({status}): nothing to do");
        return Ok(exit::OK);
    }
    let pulse = Pulse::start(store.sibling(), &taskset, &key)?;
    let mut slave = Slave {
        store,
        supervisor: Supervisor::new()?,
        pulse,
        taskset: taskset.clone(),
        key: key.clone(),
        unknown_sec: record.number("unknown_spec_timeout_sec").unwrap_or(300),
        least_sec: record.number("least_timeout_sec").unwrap_or(30),
        secrets: secrets(),
        pending_code: options.pending_code,
        command: options.command,
    };
    let (status, code) = slave.work()?;
    slave::exit(&mut slave.store, &taskset, &key, status)?;
    Ok(code)
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

/// The protocol's `…:slave:$PID`; the pid alone would come again.
fn own_key(options: &Options) -> anyhow::Result<SlaveKey> {
    let worker = match &options.worker_id {
        Some(id) => WorkerKey::new(id)?,
        None => WorkerKey::new(&super::worker::host_name())?,
    };
    let nonce = std::env::var("RRR_SLAVE_NONCE")
        .ok()
        .filter(|nonce| !nonce.is_empty() && nonce.chars().all(|c| c.is_ascii_alphanumeric()))
        .unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string()[..12].to_owned());
    Ok(worker.slave(&format!("{}-{nonce}", std::process::id())))
}

/// Names of variables that a test must not see: credentials, and our own settings.
pub fn secrets() -> Vec<std::ffi::OsString> {
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| {
            let name = name.to_string_lossy();
            name.starts_with("RRR_")
                || name.starts_with("REDIS_")
                || name.starts_with("WATCHDOG_")
                || name.starts_with("LISTEN_")
                || matches!(
                    name.as_ref(),
                    "NOTIFY_SOCKET" | "CREDENTIALS_DIRECTORY" | "INVOCATION_ID" | "JOURNAL_STREAM"
                )
        })
        .collect()
}

struct Slave {
    store: Store,
    supervisor: Supervisor,
    pulse: Arc<Pulse>,
    taskset: TasksetKey,
    key: SlaveKey,
    unknown_sec: u64,
    least_sec: u64,
    secrets: Vec<std::ffi::OsString>,
    pending_code: i32,
    command: Vec<String>,
}

impl Slave {
    /// Works until there is no more to do; returns how it ended.
    fn work(&mut self) -> anyhow::Result<(Status, u8)> {
        let mut next = slave::reserve(&mut self.store, &self.taskset, &self.key, true, true)?;
        let mut skips = 0;
        loop {
            match next {
                Next::Run(job) => {
                    skips = 0;
                    let (result, hard) = self.try_task(&job)?;
                    let more = !hard && !self.pulse.must_end();
                    let (counted, after) = slave::finish(
                        &mut self.store,
                        &self.taskset,
                        &self.key,
                        &job,
                        &result,
                        more,
                    )?;
                    self.tell_finished(&job, &result, counted);
                    if hard {
                        return Ok((Status::TimeoutExit, exit::HARD_TIMEOUT));
                    }
                    next = after;
                }
                Next::Skip => {
                    skips += 1;
                    stop::sleep(Duration::from_millis(40));
                    next = slave::reserve(
                        &mut self.store,
                        &self.taskset,
                        &self.key,
                        skips < PATIENCE,
                        false,
                    )?;
                }
                Next::Empty => {
                    if self.pulse.wait_for_work() {
                        return Ok((Status::NormalExit, exit::OK));
                    }
                    next = slave::reserve(
                        &mut self.store,
                        &self.taskset,
                        &self.key,
                        skips < PATIENCE,
                        false,
                    )?;
                }
                Next::Over(_) => return Ok((Status::NormalExit, exit::OK)),
                Next::Fenced => {
                    eprintln!(
                        "rrr-slave: declared dead while it was stalled: its work was given to others"
                    );
                    return Ok((Status::FailureExit, exit::INTERNAL));
                }
            }
            if self.pulse.must_end() && !matches!(next, Next::Run(_)) {
                return Ok((Status::NormalExit, exit::OK));
            }
        }
    }

    /// Runs the command for one task; the second value says that it had to be killed.
    fn try_task(&mut self, job: &Job) -> anyhow::Result<(TrialResult, bool)> {
        let task = job.trial.task();
        out::line(&event::line(
            time::unix_ms(),
            self.taskset.as_str(),
            &Event::TrialStarted {
                task: task.to_string(),
                spec_file: job.spec_file.clone(),
                trial: job.trial.to_string(),
                slave: self.key.to_string(),
                attempt: job.attempt,
            },
        ));
        let (soft, hard) = task::timeouts(job.estimate_sec, self.unknown_sec, self.least_sec);
        let limits = Limits {
            soft: Duration::from_secs(soft),
            hard: Duration::from_secs(hard),
            grace: GRACE,
            capture: CAPTURE,
        };
        let mut command = self.command_for(&job.spec_file);
        let mut listener = Listener {
            pulse: self.pulse.clone(),
            task,
        };
        Ok(
            match self.supervisor.run(&mut command, &limits, &mut listener) {
                Ok(outcome) => {
                    let hard = outcome.end == End::HardTimeout;
                    (self.result(outcome), hard)
                }
                Err(error) => {
                    let program = command.get_program().to_string_lossy().into_owned();
                    (
                        error_result(format!("rrr: cannot run '{program}': {error}\n")),
                        false,
                    )
                }
            },
        )
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

    fn result(&self, outcome: Outcome) -> TrialResult {
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
        TrialResult {
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

    fn tell_finished(&self, job: &Job, result: &TrialResult, counted: bool) {
        if !counted {
            eprintln!(
                "rrr-slave: the result of '{}' came too late to count",
                job.spec_file
            );
        }
        out::line(&event::line(
            time::unix_ms(),
            self.taskset.as_str(),
            &Event::TrialFinished {
                task: job.trial.task().to_string(),
                spec_file: job.spec_file.clone(),
                trial: job.trial.to_string(),
                slave: self.key.to_string(),
                status: result.status.as_str().to_owned(),
                duration_ms: Some(result.duration_ms),
                passed: Some(result.passed),
                pending: Some(result.pending),
                failed: Some(result.failed),
                stopped: result.stopped.clone(),
                reason: None,
            },
        ));
    }
}

fn error_result(message: String) -> TrialResult {
    TrialResult {
        status: trial::Status::Error,
        stdout: Vec::new(),
        stderr: message.into_bytes(),
        passed: 0,
        pending: 0,
        failed: 0,
        duration_ms: 0,
        exit_code: None,
        signal: None,
        stopped: None,
    }
}

/// What the pulse has heard.
#[derive(Default)]
struct News {
    work: u64,
    over: bool,
    fenced: bool,
    orphaned: bool,
    verdicts: HashSet<String>,
}

/// The slave's second thread, and what it knows.
struct Pulse {
    news: Mutex<News>,
    seen_work: Mutex<u64>,
}

impl Pulse {
    fn start(store: Store, taskset: &TasksetKey, key: &SlaveKey) -> std::io::Result<Arc<Self>> {
        let pulse = Arc::new(Self {
            news: Mutex::default(),
            seen_work: Mutex::default(),
        });
        let (shared, taskset, key) = (pulse.clone(), taskset.clone(), key.clone());
        thread("pulse", move || {
            shared.beat_and_listen(store, &taskset, &key)
        })?;
        if std::env::var_os("RRR_SUPERVISED").is_some() {
            let shared = pulse.clone();
            thread("parent", move || {
                // The worker holds the other end of our stdin: it ends when the worker does.
                let mut byte = [0];
                while matches!(std::io::stdin().read(&mut byte), Ok(n) if n > 0) {}
                shared.note(|news| news.orphaned = true);
            })?;
        }
        Ok(pulse)
    }

    fn note(&self, change: impl FnOnce(&mut News)) {
        change(&mut self.news.lock().expect("no panic while noting news"));
        stop::nudge();
    }

    fn beat_and_listen(&self, mut store: Store, taskset: &TasksetKey, key: &SlaveKey) {
        let mut after = "0-0".to_owned();
        let mut last_beat = Instant::now();
        loop {
            if last_beat.elapsed() >= BEAT {
                match slave::beat(&mut store, key) {
                    Ok(true) => last_beat = Instant::now(),
                    Ok(false) => self.note(|news| news.fenced = true),
                    Err(_) => return,
                }
            }
            let wait = BEAT
                .saturating_sub(last_beat.elapsed())
                .min(Duration::from_secs(2));
            let Ok(wakes) = slave::wakes(
                &mut store,
                taskset,
                &mut after,
                wait.as_millis().max(1) as u64,
            ) else {
                return;
            };
            if wakes.is_empty() {
                continue;
            }
            let over = wakes.iter().any(|wake| matches!(wake, Wake::Over(_)));
            self.note(|news| {
                for wake in wakes {
                    match wake {
                        Wake::Work => news.work += 1,
                        Wake::Stop(task) => {
                            news.verdicts.insert(task);
                        }
                        Wake::Over(_) => news.over = true,
                    }
                }
            });
            if over {
                // The stream has nothing more to say; only the heartbeat goes on.
                std::thread::sleep(Duration::from_millis(500));
            }
        }
    }

    /// Whether the slave should not take another task.
    fn must_end(&self) -> bool {
        let news = self.news.lock().expect("no panic while noting news");
        stop::requested() || news.over || news.fenced || news.orphaned
    }

    /// Waits until something was queued; true when the slave should rather end.
    fn wait_for_work(&self) -> bool {
        // Another implementation queues without a word: look again now and then.
        let deadline = Instant::now() + Duration::from_secs(2);
        let mut seen = self.seen_work.lock().expect("only this thread waits");
        loop {
            stop::drain();
            if self.must_end() {
                return true;
            }
            let work = self.news.lock().expect("no panic while noting news").work;
            if work != *seen || Instant::now() >= deadline {
                *seen = work;
                return false;
            }
            stop::sleep(deadline.saturating_duration_since(Instant::now()));
        }
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name(name.into())
        .stack_size(256 << 10)
        .spawn(work)?;
    Ok(())
}

/// Listens for reasons to end the test that runs now.
struct Listener {
    pulse: Arc<Pulse>,
    task: TaskKey,
}

impl Watch for Listener {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(stop::fd())
    }

    fn stop(&mut self) -> Option<String> {
        stop::drain();
        let news = self.pulse.news.lock().expect("no panic while noting news");
        let why = if news.fenced {
            "the slave was declared dead"
        } else if news.over {
            "the taskset is over"
        } else if news.verdicts.contains(self.task.as_str()) {
            "another copy of the task was faster"
        } else if news.orphaned {
            "the worker is gone"
        } else if stop::requested() {
            "the slave was asked to stop"
        } else {
            return None;
        };
        Some(why.to_owned())
    }
}
