//! A place for one slave of the worker: the process in it, what it says on stderr, and what is
//! done when it dies.

use crate::entity::taskset::{self, Record};
use crate::entity::{slave, worker_log};
use crate::exec::begun;
use crate::exec::child::guardian::{self, Rest};
use crate::process::stderr::say;
use crate::process::{exit, text};
use crate::protocol::key::{SlaveKey, TasksetKey, WorkerKey};
use crate::protocol::status::{SlaveStatus, TasksetStatus};
use crate::store::Store;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Slaves that end in a row without a trial: the slave command does not work.
const FALSE_STARTS: u32 = 3;
/// Bytes of stderr kept for messages.
const TAIL: usize = 2000;
/// A slave that ends sooner than this is not followed at once.
const SHORT_LIFE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);

/// A place for one slave.
pub(crate) struct Slot {
    number: usize,
    child: Option<Child>,
    /// The other end of its stdin, which ends when this process does.
    leash: Option<OwnedFd>,
    silences: u32,
    nonce: String,
    /// The process group of the slave, and the names that another implementation's slave gives itself by
    /// it: by the worker's id, then by the host, if that is another.
    group: Option<Pid>,
    names: Vec<SlaveKey>,
    /// Whether it was asked to leave.
    was_asked: bool,
    /// Where its slave notes the trial that it begins.
    note: Option<begun::Reader>,
    key: Option<SlaveKey>,
    tail: Vec<u8>,
    /// What it said before its key was known.
    early: Vec<u8>,
    epitaph: String,
    began: Instant,
    start_at: Instant,
    false_starts: u32,
}

impl Slot {
    /// An empty place, the `number`th of its worker.
    pub(crate) fn new(number: usize) -> Self {
        Self {
            number,
            child: None,
            leash: None,
            silences: 0,
            nonce: String::new(),
            group: None,
            names: Vec::new(),
            was_asked: false,
            note: None,
            key: None,
            tail: Vec::new(),
            early: Vec::new(),
            epitaph: String::new(),
            began: Instant::now(),
            start_at: Instant::now(),
            false_starts: 0,
        }
    }

    /// Its number, from 0.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// The process in it.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether a slave should be started in it now.
    pub(crate) fn is_due(&self) -> bool {
        self.child.is_none() && Instant::now() >= self.start_at
    }

    /// Its slave's stderr, while that is open.
    pub(crate) fn stderr(&self) -> Option<BorrowedFd<'_>> {
        Some(self.child.as_ref()?.stderr.as_ref()?.as_fd())
    }

    /// Starts a slave that will put `nonce` into its key, and the trials that it begins into `note`.
    /// `leash`: the other end of its stdin, if that is not a pipe to be made.
    pub(crate) fn start(
        &mut self,
        command: &mut Command,
        nonce: String,
        note: Option<begun::Reader>,
        leash: Option<UnixStream>,
    ) -> std::io::Result<()> {
        if leash.is_none() {
            command.stdin(Stdio::piped());
        }
        guardian::stand_between(command, Rest::Kill)?;
        let mut told = guardian::tell_pid(command)?;
        let mut child = command.spawn()?;
        let mut id = [0; 4];
        told.read_exact(&mut id)?;
        self.group = Pid::from_raw(i32::from_ne_bytes(id));
        self.leash = match leash {
            Some(socket) => Some(socket.into()),
            None => child.stdin.take().map(OwnedFd::from),
        };
        self.silences = 0;
        self.was_asked = false;
        if let Some(stderr) = &child.stderr {
            let flags = rustix::fs::fcntl_getfl(stderr)? | rustix::fs::OFlags::NONBLOCK;
            rustix::fs::fcntl_setfl(stderr, flags)?;
        }
        self.child = Some(child);
        self.nonce = nonce;
        self.note = note;
        self.key = None;
        self.names.clear();
        self.tail.clear();
        self.early.clear();
        self.began = Instant::now();
        Ok(())
    }

    /// How its slave ended, once it has.
    pub(crate) fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        match &mut self.child {
            Some(child) => child.try_wait(),
            None => Ok(None),
        }
    }

    /// Lists its slave, as one that may be of another implementation.
    pub(crate) fn list(
        &mut self,
        store: &mut Store,
        taskset: &TasksetKey,
        worker: &WorkerKey,
    ) -> anyhow::Result<()> {
        let Some(group) = self.group.map(|group| group.as_raw_nonzero().to_string()) else {
            return Ok(());
        };
        let host = WorkerKey::new(&crate::process::host::host_name()).ok();
        let host = host.filter(|host| host != worker);
        self.names = [worker.slave(&group)]
            .into_iter()
            .chain(host.map(|host| host.slave(&group)))
            .collect();
        slave::list(store, taskset, &self.names[0], &self.nonce, None)
    }

    /// Asks its slave to leave: one of ours by the end of its stdin, any other by a signal.
    pub(crate) fn let_go(&mut self) {
        self.leash = None;
        if std::mem::replace(&mut self.was_asked, true) || !self.is_foreign() {
            return;
        }
        if let (Some(group), Ok(None)) = (self.group, self.ended()) {
            let _ = kill_process_group(group, Signal::TERM);
        }
    }

    /// Whether its slave has not joined as one of ours does.
    fn is_foreign(&self) -> bool {
        self.key.as_ref().is_none_or(|key| self.names.contains(key))
    }

    /// Notes whether its slave was silent at a look. One that is silent again is to be killed; one of
    /// another implementation is asked to leave first.
    pub(crate) fn note_silence(&mut self, is_silent: bool) -> bool {
        self.silences = if is_silent { self.silences + 1 } else { 0 };
        if self.silences == 2 && self.is_foreign() {
            self.let_go();
        }
        self.silences >= if self.is_foreign() { 3 } else { 2 }
    }

    /// Kills its slave.
    pub(crate) fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
        }
    }

    /// Looks after what a slave that has ended leaves: its trial, if it died in one. Its process is
    /// known to be gone, so nobody has to wait for its heartbeat to stop.
    pub(crate) fn bury(
        &mut self,
        store: &mut Store,
        taskset: &TasksetKey,
        status: ExitStatus,
    ) -> anyhow::Result<()> {
        // It may have said its last words since we looked.
        self.read_stderr(store, taskset)?;
        let key = self.find_key(store, taskset)?;
        let joined = key.is_some();
        // One that has shown no sign of life has a log all the same.
        self.key = key.or_else(|| self.names.first().cloned());
        self.flush_log(store, taskset)?;
        self.child = None;
        self.leash = None;
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or(0)),
        };
        self.epitaph = format!("{how}{}", text::last_words(&without_trace(&self.tail)));
        let mut made_trials = false;
        if let Some(key) = &self.key {
            let why = format!("the slave died ({how})");
            let mut begun = self.note.take().and_then(|note| note.last());
            if self.was_asked && self.is_foreign() {
                // It was this worker that broke off its trial.
                begun = Some(String::new());
            }
            let end = match status.code() {
                Some(0) => SlaveStatus::NormalExit,
                Some(code) if code == i32::from(exit::HARD_TIMEOUT) => SlaveStatus::TimeoutExit,
                _ => SlaveStatus::FailureExit,
            };
            slave::bury_as(store, taskset, key, end, &why, begun.as_deref())?;
            made_trials = slave::has_trials(store, key)?;
        }
        // A slave need not make a trial; but while its taskset goes on it joins it, and so has a key.
        let was_slave = joined || !is_running(store, taskset)?;
        if made_trials || (status.success() && was_slave) {
            self.false_starts = 0;
        } else {
            if status.success() {
                self.epitaph = format!(
                    "it ended with {} and was no slave; does it run rrr-slave?",
                    self.epitaph
                );
            }
            self.false_starts += 1;
            say!(
                "rrr-worker: slave {} ended without a trial: {}",
                self.number,
                self.epitaph
            );
        }
        self.start_at = Instant::now();
        if self.began.elapsed() < SHORT_LIFE {
            self.start_at += PAUSE;
        }
        Ok(())
    }

    /// How the last slave ended, when so many in a row ended without a trial that more of them
    /// would too.
    pub(crate) fn hopeless(&self) -> Option<&str> {
        (self.false_starts >= FALSE_STARTS).then_some(self.epitaph.as_str())
    }

    /// Takes what its slave has said on stderr into the slave's log.
    pub(crate) fn read_stderr(
        &mut self,
        store: &mut Store,
        taskset: &TasksetKey,
    ) -> anyhow::Result<()> {
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
                    let excess = self.tail.len().saturating_sub(TAIL);
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

    /// Takes the name of a slave of another implementation for its key, once it has shown a sign of life.
    fn find_foreign(&mut self, store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<()> {
        for (place, name) in self.names.iter().enumerate() {
            if slave::has_signs(store, name)? {
                if place > 0 {
                    slave::list(store, taskset, name, &self.nonce, self.names.first())?;
                }
                self.key = Some(name.clone());
                break;
            }
        }
        Ok(())
    }

    /// The key that the slave made of its pid and our nonce, or that another implementation's has.
    pub(crate) fn find_key(
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
        if self.key.is_none() {
            self.find_foreign(store, taskset)?;
        }
        Ok(self.key.clone())
    }
}

/// What was said, without the commands that the shell has traced.
fn without_trace(said: &[u8]) -> Vec<u8> {
    let lines = said.split_inclusive(|byte| *byte == b'\n');
    lines
        .filter(|line| !line.starts_with(b"+"))
        .flatten()
        .copied()
        .collect()
}

fn is_running(store: &mut Store, taskset: &TasksetKey) -> anyhow::Result<bool> {
    let record = Record::load(store, taskset)?;
    Ok(record.and_then(|record| record.status()) == Some(TasksetStatus::Running))
}
