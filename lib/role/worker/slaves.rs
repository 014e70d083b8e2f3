//! Keeps the set number of slaves running until their taskset finishes.

use super::slot::Slot;
use super::{CannotRun, Worker};
use crate::entity::heartbeat::Heartbeat;
use crate::entity::slave::{self, SlaveState};
use crate::exec::begun;
use crate::exec::child::{cgroup, environment, reap};
use crate::process::{signals, stderr, systemd, temp_dir};
use crate::protocol::key::TasksetKey;
use crate::suite::signing::Signed;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Time slaves have to exit when the taskset finishes or the worker stops; after half of it they
/// are asked to.
const LEAVE_LIMIT: Duration = Duration::from_secs(10);

impl Worker {
    /// Runs slaves with `command` in `folder` until the taskset finishes.
    pub(super) fn run_slaves(
        &mut self,
        taskset: &TasksetKey,
        command: &str,
        folder: &Path,
        signed: Option<&Path>,
    ) -> anyhow::Result<()> {
        let setup_left = reap::children();
        let mut slots: Vec<Slot> = (0..self.card.slaves).map(Slot::new).collect();
        let mut leaving: Option<Instant> = None;
        let mut looked = Instant::now();
        loop {
            signals::drain();
            systemd::turn(|| format!("working for {taskset}"));
            let must_leave = self.must_leave();
            let mut has_ended = false;
            for slot in &mut slots {
                slot.read_stderr(&mut self.store, taskset)?;
                if let Some(status) = slot.ended()? {
                    slot.bury(&mut self.store, taskset, status)?;
                    has_ended = true;
                }
                if slot.is_due() && !must_leave && slot.gave_up().is_none() {
                    self.start(slot, taskset, command, folder, signed)?;
                }
            }
            // A working slave continues alone, so that its trial is not lost with the others.
            let exit_reasons: Option<Vec<&str>> = slots.iter().map(Slot::gave_up).collect();
            if let Some([exit_reason, ..]) = exit_reasons.as_deref()
                && !must_leave
            {
                let reason = format!("slave command '{command}' does not work: {exit_reason}");
                return Err(CannotRun(reason).into());
            }
            if !must_leave && looked.elapsed() >= self.card.heartbeat.beat() / 2 {
                looked = Instant::now();
                self.kill_the_silent(&mut slots, taskset)?;
            }
            sweep(&slots, &setup_left);
            if has_ended {
                self.clear_up();
            }
            if must_leave {
                if slots.iter().all(|slot| slot.pid().is_none()) {
                    return Ok(());
                }
                let since = *leaving.get_or_insert_with(Instant::now);
                if signals::requested() || since.elapsed() > LEAVE_LIMIT / 2 {
                    slots.iter_mut().for_each(Slot::let_go);
                }
                if since.elapsed() > LEAVE_LIMIT {
                    slots.iter_mut().for_each(Slot::kill);
                }
            }
            wait(&slots, leaving.is_some());
        }
    }

    /// Kills slaves whose processes exist but cannot work: those that are dead in Redis, and those
    /// without a heartbeat (a test may have stopped its slave). A slave is killed at the second
    /// such check, because it may be about to exit, or Redis may have been unreachable.
    fn kill_the_silent(&mut self, slots: &mut [Slot], taskset: &TasksetKey) -> anyhow::Result<()> {
        let mut working = Vec::new();
        for slot in slots.iter_mut().filter(|slot| slot.pid().is_some()) {
            if let Some(key) = slot.find_key(&mut self.store, taskset)? {
                working.push((slot, key));
            }
        }
        let keys: Vec<_> = working.iter().map(|(_, key)| key.clone()).collect();
        let seen = slave::look(&mut self.store, &keys)?;
        for ((slot, key), seen) in working.into_iter().zip(seen) {
            let is_silent = !matches!(seen, SlaveState::Alive(_) | SlaveState::Starting);
            if slot.note_silence(is_silent) {
                stderr::line(&format!(
                    "rrr-worker: slave '{key}' does not respond: killing and replacing it"
                ));
                slot.kill();
            }
        }
        Ok(())
    }

    /// Removes the files of killed slaves.
    pub(super) fn clear_up(&self) {
        if let Some(base) = &self.cgroups {
            cgroup::clean_up(base);
        }
        temp_dir::clean_up();
    }

    fn start(
        &mut self,
        slot: &mut Slot,
        taskset: &TasksetKey,
        command: &str,
        folder: &Path,
        signed: Option<&Path>,
    ) -> anyhow::Result<()> {
        let nonce = uuid::Uuid::new_v4().simple().to_string()[..12].to_owned();
        let mut shell = Command::new(shell());
        if let Some(allowed) = &self.options.env_allow {
            environment::narrow(&mut shell, allowed);
        }
        shell
            .args(["-ex", "-c"])
            .arg(command)
            .current_dir(folder)
            .stderr(Stdio::piped())
            .env("PATH", search_path()?)
            .env("RRR_WORKER_ID", self.card.key.id())
            .env("RRR_SLAVE_NONCE", &nonce)
            .env("RRR_SUPERVISED", "1")
            .env(
                Heartbeat::VARIABLE,
                self.card.heartbeat.ttl_sec().to_string(),
            )
            .env("RRRSPEC_TASKSET_KEY", taskset.as_str())
            .env("RRRSPEC_WORKING_DIR", parent(folder))
            .env("NUM_SLAVES", self.card.slaves.to_string())
            .env("SLAVE_NUMBER", slot.number().to_string())
            .env("TEST_ENV_NUMBER", test_env_number(slot.number()));
        let leash = self.options.redis.pass_on(&mut shell);
        let leash =
            leash.map_err(|error| CannotRun(format!("cannot start the slave command: {error}")))?;
        self.options
            .bounds
            .pass_on_below(self.cgroups.as_deref(), &mut shell);
        self.options.outputs.pass_on(&mut shell);
        match signed {
            Some(file) => shell.env(Signed::VARIABLE, file),
            None => shell.env_remove(Signed::VARIABLE),
        };
        // Without a note, every trial in which a slave dies counts.
        let note = self.scratch_file().ok().map(begun::Reader::new);
        match &note {
            Some(note) => shell.env(begun::VARIABLE, note.path()),
            None => shell.env_remove(begun::VARIABLE),
        };
        slot.start(&mut shell, nonce, note, leash)
            .map_err(|error| CannotRun(format!("cannot run the slave command: {error}")))?;
        slot.list(&mut self.store, taskset, &self.card.key)
    }
}

/// The PATH of slave commands: the worker's own folder comes first, so that both are of one version.
fn search_path() -> std::io::Result<OsString> {
    let own = std::env::current_exe()?;
    let mut path = own.parent().unwrap_or(Path::new("")).as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    Ok(path)
}

/// The slave's number as in parallel_tests: empty for the first, so that a single slave needs no
/// setup.
fn test_env_number(slot: usize) -> String {
    match slot {
        0 => String::new(),
        number => (number + 1).to_string(),
    }
}

/// The shell that runs the slave command: bash if installed, as in other implementations.
fn shell() -> &'static str {
    let path = std::env::var_os("PATH").unwrap_or_default();
    match std::env::split_paths(&path).any(|folder| folder.join("bash").is_file()) {
        true => "bash",
        false => "/bin/sh",
    }
}

/// The parent folder of the tree: the protocol's working folder, below which a slave looks for the
/// tree by its rsync name.
pub(super) fn parent(tree: &Path) -> &Path {
    tree.parent().unwrap_or(tree)
}

/// Kills the processes left by dead slaves: as the subreaper, this process inherits their tests.
fn sweep(slots: &[Slot], setup_left: &[u32]) {
    let mut keep: Vec<u32> = slots.iter().filter_map(Slot::pid).collect();
    keep.extend(setup_left);
    reap::sweep(&keep);
}

/// Waits for a wake-up, output of a slave, or the next deadline.
fn wait(slots: &[Slot], leaving: bool) {
    let stop_fd = signals::fd();
    // A stop signal stays readable only until drained; the timeout drives the rest of the exit.
    let mut fds = vec![PollFd::new(&stop_fd, PollFlags::IN)];
    let outputs = slots.iter().filter_map(Slot::stderr);
    fds.extend(outputs.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
    let idle = slots.iter().any(|slot| slot.pid().is_none());
    let ms = if leaving || idle { 20 } else { 1000 };
    let timeout = Timespec {
        tv_sec: ms / 1000,
        tv_nsec: (ms % 1000) * 1_000_000,
    };
    let _ = poll(&mut fds, Some(&timeout));
}
