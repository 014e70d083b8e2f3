//! rrr-slave: takes tasks one after the other, runs each with an adapter, and reports to the
//! arbiter.
//!
//! The main thread supervises the test. A second thread sends the [`heartbeat`]. A third, the
//! keeper of the [`batch`], releases reserved tasks that have waited too long.

mod batch;
mod heartbeat;

use crate::cli::redis_args::RedisArgs;
use crate::entity::heartbeat::Heartbeat;
use crate::entity::reservation::{self, Next};
use crate::entity::slave;
use crate::entity::taskset::Record;
use crate::exec::adapter::{Adapter, AdapterArgs, Finished, Outputs, TrialOrder, Workspace};
use crate::exec::begun;
use crate::exec::child::cgroup::{self, Cgroup, CgroupBounds};
use crate::exec::child::{self, environment};
use crate::process::stderr::say;
use crate::process::{exit, signals, stdout};
use crate::protocol::job::Job;
use crate::protocol::key::{SlaveKey, TasksetKey, WorkerKey};
use crate::protocol::result::{SuiteEnd, TrialResult};
use crate::protocol::status::SlaveStatus;
use crate::protocol::taskset_field as field;
use crate::protocol::{event, task, time};
use crate::role::slave::batch::Batch;
use crate::role::slave::heartbeat::{Busy, HeartbeatThread, Listener, Waited};
use crate::suite::signing::Signed;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs the tasks of one taskset; started by rrr-worker
#[derive(clap::Parser)]
#[command(name = "rrr-slave", version)]
pub struct Options {
    #[command(flatten)]
    redis: RedisArgs,
    /// Taskset whose tasks to run
    #[arg(long, value_name = "KEY", env = "RRRSPEC_TASKSET_KEY")]
    taskset: TasksetKey,
    /// Worker of this slave [default: the host name]
    #[arg(long, value_name = "ID", hide_short_help = true)]
    worker_id: Option<String>,
    #[command(flatten)]
    heartbeat: Heartbeat,
    #[command(flatten)]
    bounds: CgroupBounds,
    #[command(flatten)]
    outputs: Outputs,
    #[command(flatten)]
    adapter: AdapterArgs,
}

/// How long a slave leaves tasks that failed here to slaves that are idle or starting. Busy slaves
/// need no limit, since their trial has a timeout.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two checks that an idle slave asks for: another implementation's arbiter looks only
/// when it is asked to.
const CHECK_PAUSE: Duration = Duration::from_secs(20);
/// Minimum and maximum time between two requests of a slave that leaves all tasks to others; the
/// time doubles with each request.
const SHORTEST_PAUSE: Duration = Duration::from_millis(40);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// [`CHECK_PAUSE`]; in debug builds `RRR_CHECK_PAUSE` is another number of milliseconds, for tests.
fn check_pause() -> Duration {
    let other = || std::env::var("RRR_CHECK_PAUSE").ok()?.parse().ok();
    match cfg!(debug_assertions).then(other).flatten() {
        Some(ms) => Duration::from_millis(ms),
        None => CHECK_PAUSE,
    }
}

/// Runs the tool.
pub fn run(mut options: Options) -> anyhow::Result<u8> {
    // Tests run as the same user: without this they could read this process's environment (FAULTS
    // S8).
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    child::keep_descriptors_to_ourselves();
    options.outputs.settle()?;
    let place = Workspace::new(
        options.taskset.id(),
        make_cgroup(&options.bounds),
        options.outputs.of(&options.taskset),
    )
    .map_err(|error| exit::usage(format!("cannot create a temporary folder: {error}")))?;
    let adapter = options
        .adapter
        .adapter(place, environment::secrets(&options.redis.url()))?;
    let mut store = options.redis.connect_quickly()?;
    let taskset = options.taskset.clone();
    let Some(record) = Record::load(&mut store, &taskset)? else {
        return Err(exit::usage(format!("taskset '{taskset}' does not exist")).into());
    };
    let key = own_key(&options)?;
    if let Some(status) = slave::join(&mut store, &taskset, &key, &options.heartbeat)? {
        say!("rrr-slave: taskset '{taskset}' is not running ({status}): nothing to do");
        return Ok(exit::OK);
    }
    let pulse = HeartbeatThread::start(
        store.sibling(options.heartbeat.beat()),
        &taskset,
        &key,
        options.heartbeat.clone(),
    )?;
    let limit = |field, default| record.number(field).unwrap_or(default);
    let mut slave = Slave {
        hand: Batch::new(store, taskset.clone(), key.clone()),
        note: begun::Writer::open(),
        adapter,
        pulse,
        taskset,
        key,
        unknown_sec: limit(field::UNKNOWN_SPEC_TIMEOUT_SEC, task::DEFAULT_UNKNOWN_SEC),
        least_sec: limit(field::LEAST_TIMEOUT_SEC, task::DEFAULT_LEAST_SEC),
        signed: None,
        runners: 0,
        asked: None,
    };
    // The signed values count, not those in Redis, which may have changed.
    if let Some(signed) = Signed::load()? {
        (slave.unknown_sec, slave.least_sec) = (signed.unknown_sec, signed.least_sec);
        slave.signed = Some(signed.spec_files);
    }
    let (status, code) = slave.work()?;
    slave.end_suite()?;
    slave.hand.leave(status)?;
    Ok(code)
}

/// The cgroup for trials: below the one set by the worker, or else below the slave's own.
fn make_cgroup(bounds: &CgroupBounds) -> Option<Cgroup> {
    if cgroup::is_unwanted() {
        return None;
    }
    let base = match std::env::var_os(cgroup::BASE) {
        Some(base) => Ok(base.into()),
        None => cgroup::base(bounds),
    };
    match base.and_then(|base| Cgroup::make(&base, bounds)) {
        Ok(cgroup) => Some(cgroup),
        Err(error) => {
            bounds.cannot_be_kept("rrr-slave", &error);
            None
        }
    }
}

/// The protocol's `…:slave:$PID`, with a nonce since pids are reused.
fn own_key(options: &Options) -> anyhow::Result<SlaveKey> {
    let worker = match &options.worker_id {
        Some(id) => WorkerKey::new(id)?,
        None => WorkerKey::new(&crate::process::host::host_name())?,
    };
    let nonce = std::env::var("RRR_SLAVE_NONCE")
        .ok()
        .filter(|nonce| !nonce.is_empty() && nonce.chars().all(|c| c.is_ascii_alphanumeric()))
        .unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string()[..12].to_owned());
    Ok(worker.slave(&format!("{}-{nonce}", std::process::id())))
}

struct Slave {
    hand: Batch,
    /// Notes the trial that has begun, for the worker if there is one.
    note: Option<begun::Writer>,
    adapter: Box<dyn Adapter>,
    pulse: Arc<HeartbeatThread>,
    taskset: TasksetKey,
    key: SlaveKey,
    unknown_sec: u64,
    least_sec: u64,
    /// The only tasks that may run, if the worker trusts only signed tasksets.
    signed: Option<HashSet<String>>,
    /// Number of runners started.
    runners: u32,
    /// The time of the last request for a check, while the slave is idle.
    asked: Option<Instant>,
}

/// Whether the task was signed under its own name: its hash may name another task's file.
fn is_signed(signed: &HashSet<String>, job: &Job) -> bool {
    signed.contains(&job.spec_file) && job.trial.task().spec_file() == job.spec_file
}

impl Slave {
    /// Takes a task, once one can be run.
    fn prepare_and_reserve(&mut self) -> anyhow::Result<Next<Job>> {
        if self.runners > 0 {
            self.end_suite()?;
        }
        let mut listener = self.listener(Busy::Start);
        if let Err(error) = self.adapter.prepare(&mut listener) {
            if self.pulse.must_end() {
                return Ok(Next::Over("finished while the runner started".into()));
            } else if self.pulse.none_left() {
                return Ok(Next::Empty);
            }
            return Err(error);
        }
        if self.adapter.has_end() {
            self.runners += 1;
            self.hand.open_suite(self.runners)?;
        }
        self.hand.reserve(true, true)
    }

    /// Ends the runner, if there is one, and reports the outcome.
    fn end_suite(&mut self) -> anyhow::Result<()> {
        let end = match self.pulse.haste() {
            Some(haste) => self.adapter.end(Some(haste), &mut ()),
            None => self.adapter.end(None, &mut self.listener(Busy::End)),
        };
        if self.runners == 0 {
            return Ok(());
        }
        // A runner that died in a trial has already failed that trial; its suite has no end to
        // report.
        let end = end.unwrap_or(SuiteEnd::Good);
        self.hand.end_suite(self.runners, &end)
    }

    /// Waits for the next task, with an empty batch. If none is left, the slave first ends its
    /// runner, since the taskset waits for that, and the slave for the taskset.
    fn wait(&mut self) -> anyhow::Result<Next<Job>> {
        loop {
            match self.pulse.wait_for_work(self.adapter.is_running()) {
                Waited::MustEnd => return Ok(Next::Over("finished while the slave waited".into())),
                Waited::NoneLeft => {
                    self.end_suite()?;
                    continue;
                }
                Waited::Work => self.repeat_check()?,
            }
            match self.adapter.is_ready() {
                true => return self.hand.reserve(true, false),
                // Only other implementations queue more tasks at this point.
                false if self.hand.is_queued()? => {
                    self.pulse.expect_work();
                    return self.prepare_and_reserve();
                }
                false => {}
            }
        }
    }

    /// Asks the arbiter for a check, now and then.
    fn repeat_check(&mut self) -> anyhow::Result<()> {
        if self
            .asked
            .is_none_or(|asked| asked.elapsed() >= check_pause())
        {
            self.asked = Some(Instant::now());
            self.hand.ask_for_check()?;
        }
        Ok(())
    }

    fn listener(&self, busy: Busy) -> Listener {
        Listener {
            pulse: self.pulse.clone(),
            busy,
        }
    }

    /// Runs tasks until none are left; returns the exit reason.
    fn work(&mut self) -> anyhow::Result<(SlaveStatus, u8)> {
        let mut next = self.prepare_and_reserve()?;
        let mut leaving_since: Option<Instant> = None;
        let mut pause = SHORTEST_PAUSE;
        loop {
            match next {
                Next::Run(job) => {
                    leaving_since = None;
                    self.asked = None;
                    pause = SHORTEST_PAUSE;
                    let made = match &self.signed {
                        Some(signed) if !is_signed(signed, &job) => Finished {
                            result: TrialResult::error("rrr: this task is not signed\n"),
                            hard_timeout: false,
                        },
                        _ => self.make_trial(&job),
                    };
                    let ending = made.hard_timeout || self.pulse.must_end();
                    // With a broken runner, no task is taken, since it could not be run.
                    let more = !ending && self.adapter.is_ready();
                    let after = self.hand.finish(made.result, more)?;
                    if made.hard_timeout {
                        return Ok((SlaveStatus::TimeoutExit, exit::HARD_TIMEOUT));
                    }
                    next = match after {
                        Next::Empty if !more && !ending => self.prepare_and_reserve()?,
                        after => after,
                    };
                }
                Next::Skip => {
                    let since = *leaving_since.get_or_insert_with(Instant::now);
                    signals::drain();
                    signals::sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    let patient = since.elapsed() < PATIENCE;
                    next = self.hand.reserve(patient, false)?;
                }
                Next::Empty => {
                    leaving_since = None;
                    pause = SHORTEST_PAUSE;
                    next = self.wait()?;
                }
                Next::Over(_) => return Ok((SlaveStatus::NormalExit, exit::OK)),
                Next::Fenced => {
                    say!("rrr-slave: declared dead while it was stalled: its tasks were requeued");
                    return Ok((SlaveStatus::FailureExit, exit::INTERNAL));
                }
            }
            if self.pulse.must_end() && !matches!(next, Next::Run(_)) {
                return Ok((SlaveStatus::NormalExit, exit::OK));
            }
        }
    }

    fn make_trial(&mut self, job: &Job) -> Finished {
        let task = job.trial.task();
        if let Some(note) = &self.note {
            note.begin(&job.trial);
        }
        stdout::line_of(|| {
            let started = reservation::started(&self.key, job);
            event::line(time::unix_ms(), self.taskset.as_str(), &started)
        });
        let (soft, hard) = task::timeouts(job.estimate_sec, self.unknown_sec, self.least_sec);
        let order = TrialOrder {
            job,
            soft: Duration::from_secs(soft),
            hard: Duration::from_secs(hard),
        };
        let mut listener = self.listener(Busy::Trial(task));
        self.adapter.run(&order, &mut listener)
    }
}
