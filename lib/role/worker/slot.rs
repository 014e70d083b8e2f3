//! A slot for one slave of the worker: its process, its stderr, and the cleanup after its death.

use crate::entity::taskset::{self, Record};
use crate::entity::{slave, worker_log};
use crate::exec::begun;
use crate::exec::child::guardian::{self, Rest};
use crate::process::stderr::say;
use crate::process::{exit, signals, text};
use crate::protocol::key::{SlaveKey, TasksetKey, WorkerKey};
use crate::protocol::status::{SlaveStatus, TasksetStatus};
use crate::role::printed::Printed;
use crate::store::Store;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Consecutive slaves without a trial after which the slave command counts as broken.
const FALSE_STARTS: u32 = 3;
/// Maximum bytes of stderr kept for messages.
const TAIL: usize = 2000;
/// Minimum lifetime of a slave: after a shorter one, the next does not start at once.
const SHORT_LIFE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);

/// A slot for one slave.
pub(crate) struct Slot {
    number: usize,
    child: Option<Child>,
    /// The write end of the slave's stdin, which closes when this process dies.
    leash: Option<OwnedFd>,
    silences: u32,
    nonce: String,
    /// The slave's process group, and the names that another implementation's slave derives from
    /// it: from the worker's id, and from the host name if it differs.
    group: Option<Pid>,
    names: Vec<SlaveKey>,
    /// Whether the slave was asked to exit.
    was_asked: bool,
    /// The file in which the slave notes the trial that it begins.
    note: Option<begun::Reader>,
    key: Option<SlaveKey>,
    tail: Vec<u8>,
    /// Stderr received before the slave's key was known.
    early: Vec<u8>,
    exit_reason: String,
    began: Instant,
    start_at: Instant,
    false_starts: u32,
}

impl Slot {
    /// An empty slot, the `number`th of its worker.
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
            exit_reason: String::new(),
            began: Instant::now(),
            start_at: Instant::now(),
            false_starts: 0,
        }
    }

    /// The slot's number, from 0.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// The slave's process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether a slave should be started now.
    pub(crate) fn is_due(&self) -> bool {
        self.child.is_none() && Instant::now() >= self.start_at
    }

    /// The slave's stderr, while it is open.
    pub(crate) fn stderr(&self) -> Option<BorrowedFd<'_>> {
        Some(self.child.as_ref()?.stderr.as_ref()?.as_fd())
    }

    /// Starts a slave that uses `nonce` in its key and notes the trials that it begins in `note`.
    /// `leash`: the write end of its stdin, unless a pipe should be made.
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

    /// The slave's exit status, once it has exited.
    pub(crate) fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        match &mut self.child {
            Some(child) => child.try_wait(),
            None => Ok(None),
        }
    }

    /// Registers the slave, which may be of another implementation.
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

    /// Asks the slave to exit: rrr-slave by closing its stdin, any other by a signal.
    pub(crate) fn let_go(&mut self) {
        self.leash = None;
        if std::mem::replace(&mut self.was_asked, true) || !self.is_foreign() {
            return;
        }
        if let (Some(group), Ok(None)) = (self.group, self.ended()) {
            let _ = kill_process_group(group, Signal::TERM);
        }
    }

    /// Whether the slave has not joined as rrr-slave does.
    fn is_foreign(&self) -> bool {
        self.key.as_ref().is_none_or(|key| self.names.contains(key))
    }

    /// Notes whether the slave was silent at a check. A slave that is silent again must be killed;
    /// one of another implementation is asked to exit first.
    pub(crate) fn note_silence(&mut self, is_silent: bool) -> bool {
        self.silences = if is_silent { self.silences + 1 } else { 0 };
        if self.silences == 2 && self.is_foreign() {
            self.let_go();
        }
        self.silences >= if self.is_foreign() { 3 } else { 2 }
    }

    /// Kills the slave.
    pub(crate) fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
        }
    }

    /// Cleans up after a slave that has exited, including the trial it died in. The process is
    /// known to be dead, so the arbiter need not wait for its heartbeat to stop.
    pub(crate) fn bury(
        &mut self,
        store: &mut Store,
        taskset: &TasksetKey,
        status: ExitStatus,
    ) -> anyhow::Result<()> {
        // More stderr may have arrived since the last read.
        self.read_stderr(store, taskset)?;
        let key = self.find_key(store, taskset)?;
        let joined = key.is_some();
        // A slave that never sent a heartbeat has a log all the same.
        self.key = key.or_else(|| self.names.first().cloned());
        self.flush_log(store, taskset)?;
        self.child = None;
        self.leash = None;
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, signal) => signals::name(signal.unwrap_or(0)),
        };
        self.exit_reason = format!("{how}{}", text::last_words(&without_trace(&self.tail)));
        let mut made_trials = false;
        if let Some(key) = &self.key {
            let why = format!("the slave died ({how})");
            let mut begun = self.note.take().and_then(|note| note.last());
            if self.was_asked && self.is_foreign() {
                // This worker interrupted the trial.
                begun = Some(String::new());
            }
            let end = match status.code() {
                Some(0) => SlaveStatus::NormalExit,
                Some(code) if code == i32::from(exit::HARD_TIMEOUT) => SlaveStatus::TimeoutExit,
                _ => SlaveStatus::FailureExit,
            };
            slave::bury_as(store, taskset, key, end, &why, begun.as_deref()).printed()?;
            made_trials = slave::has_trials(store, key)?;
        }
        // A slave need not run a trial, but while its taskset runs it joins, and so has a key.
        let was_slave = joined || !is_running(store, taskset)?;
        if made_trials || (status.success() && was_slave) {
            self.false_starts = 0;
        } else {
            if status.success() {
                self.exit_reason = format!(
                    "exited with {} without joining; does the slave command run rrr-slave?",
                    self.exit_reason
                );
            }
            self.false_starts += 1;
            say!(
                "rrr-worker: slave {} exited without a trial: {}",
                self.number,
                self.exit_reason
            );
        }
        self.start_at = Instant::now();
        if self.began.elapsed() < SHORT_LIFE {
            self.start_at += PAUSE;
        }
        Ok(())
    }

    /// The exit reason of the last slave, once so many in a row have exited without a trial that
    /// the next would as well.
    pub(crate) fn gave_up(&self) -> Option<&str> {
        (self.false_starts >= FALSE_STARTS).then_some(self.exit_reason.as_str())
    }

    /// Appends the slave's stderr to the slave's log.
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

    /// Sets the key of another implementation's slave from its name, once it has sent a heartbeat.
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

    /// The slave's key, made of its pid and the nonce, or the key of another implementation's
    /// slave.
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

/// The stderr text, without the commands traced by the shell.
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
