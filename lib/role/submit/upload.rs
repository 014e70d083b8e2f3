//! Uploads the packaging folder with rsync.

use super::Options;
use crate::entity::taskset::{self, Submission};
use crate::exec::child::{self, reap};
use crate::process::{exit, signals};
use crate::store::Store;
use crate::store::error::Stopped;
use crate::suite::rsync::{self, Missing, Remote};
use crate::suite::tree_stamp::Stamp;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Time between renewals of a name's lock, which lasts six times as long.
const RENEWAL: Duration = Duration::from_secs(5);
/// Time that rsync has to exit after SIGTERM.
const GRACE: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(5);

/// Uploads the tree while holding the lock of its name, so that no tree changes while a worker
/// reads it. Returns the stamp that identifies the tree, if there is one.
pub(super) fn send(
    store: &mut Store,
    options: &Options,
    submission: &Submission,
    name: &str,
) -> anyhow::Result<String> {
    let remote = lock(store, options, submission, name)?;
    let missing = match options.mkpath {
        true => Missing::Make,
        false => Missing::Refuse,
    };
    remote.make_folder(name, missing)?;
    let folder = &options.packaging_dir;
    let stamp = match remote.takes_stamp() {
        true => Some(Stamp::new(&submission.taskset, folder)?),
        false => None,
    };
    let stamped = stamp.iter().map(Stamp::folder);
    let folders: Vec<&Path> = stamped.chain([folder.as_path()]).collect();
    let mut rsync = Rsync::start(remote.up(&folders, name, missing))
        .map_err(|error| rsync::not_started(&error))?;
    let status = wait(store, submission, name, &mut rsync)?;
    if !status.success() {
        return Err(exit::usage(format!(
            "rsync to '{}' failed ({status}): {}",
            remote.path,
            rsync.said()?.trim()
        ))
        .hint("nothing was submitted; check --rsync-remote-path (--mkpath creates it) and --rsync-options")
        .into());
    }
    Ok(stamp.map(|stamp| stamp.field()).unwrap_or_default())
}

/// Locks the name; returns the location of trees.
fn lock(
    store: &mut Store,
    options: &Options,
    submission: &Submission,
    name: &str,
) -> anyhow::Result<Remote> {
    let (path, flags) = (
        options.rsync_remote_path.as_deref(),
        options.rsync_options.as_deref(),
    );
    let Some(remote) = rsync::remote(store, path, flags)? else {
        return Err(exit::usage("no destination for the tree")
            .hint("pass --rsync-remote-path P, or --no-rsync if the workers have the tree")
            .into());
    };
    if let Some(holder) = taskset::lock_rsync_name(store, submission, name)? {
        return Err(
            exit::usage(format!("the rsync name '{name}' is in use by '{holder}'"))
                .hint("wait for it, rrr-cancel it, or pass another --rsync-name")
                .into(),
        );
    }
    Ok(remote)
}

/// Waits for rsync to exit, and keeps the lock of its name meanwhile.
///
/// Errors: the lock was lost, or this process was asked to stop.
fn wait(
    store: &mut Store,
    submission: &Submission,
    name: &str,
    rsync: &mut Rsync,
) -> anyhow::Result<ExitStatus> {
    let mut renewed = Instant::now();
    loop {
        if let Some(status) = rsync.ended()? {
            return Ok(status);
        }
        if signals::requested() {
            return Err(Stopped.into());
        }
        // If this process was stopped, another may hold the lock by now, so the lock is checked
        // first.
        if renewed.elapsed() > RENEWAL {
            taskset::renew_rsync_lock(store, submission, name)?;
            renewed = Instant::now();
        }
        std::thread::sleep(LOOK);
    }
}

/// A running rsync. It writes to the tree as long as it lives, so dropping this value, for whatever
/// reason, ends it and all its children.
struct Rsync {
    child: Child,
    status: Option<ExitStatus>,
    /// The file that receives stderr. Not a pipe: a persistent ssh connection would keep it open.
    stderr: File,
    /// Children that this process already had, from before it became rrr-submit by exec.
    others: Vec<u32>,
}

impl Rsync {
    /// Starts rsync in this process group, so that its ssh can ask for a password on the terminal.
    fn start(arguments: Vec<OsString>) -> std::io::Result<Self> {
        // rsync has helper processes, which must be found after its death.
        reap::become_subreaper()?;
        let others = reap::children();
        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        let stderr = File::from(rustix::fs::memfd_create("rsync", flags)?);
        let mut command = Command::new("rsync");
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr.try_clone()?);
        // rsync must not continue without a lock; on SIGTERM it ends its helpers.
        child::end_with_us(&mut command, Signal::TERM);
        Ok(Self {
            child: command.spawn()?,
            status: None,
            stderr,
            others,
        })
    }

    /// The exit status, once rsync has exited.
    fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }

    /// The text that rsync wrote to stderr.
    fn said(&mut self) -> std::io::Result<String> {
        let mut bytes = Vec::new();
        self.stderr.rewind()?;
        self.stderr.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for Rsync {
    fn drop(&mut self) {
        if self.status.is_some() {
            return;
        }
        // On SIGTERM rsync removes partial files and notifies the other end.
        let pid = Pid::from_child(&self.child);
        let _ = kill_process(pid, Signal::TERM);
        // A stopped process must continue before it can handle the signal.
        let _ = kill_process(pid, Signal::CONT);
        let told = Instant::now();
        while matches!(self.ended(), Ok(None)) && told.elapsed() < GRACE {
            std::thread::sleep(LOOK);
        }
        reap::sweep(&self.others);
    }
}
