//! Sends the packaging folder up with rsync.

use super::Options;
use crate::entity::taskset::{self, Submission};
use crate::exec::child::{self, reap};
use crate::process::{exit, signals};
use crate::store::Store;
use crate::store::error::Stopped;
use crate::suite::rsync::{self, Missing};
use crate::suite::tree_stamp::Stamp;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often the lock of a name is renewed, which lasts six times as long.
const RENEWAL: Duration = Duration::from_secs(5);
/// Time that rsync has to end by itself when it is told to.
const GRACE: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(5);

/// Sends the tree up, holding the lock of its name, so that nobody's tree changes while it is read.
/// Returns by which stamp it can be known, if it has one.
pub(super) fn send(
    store: &mut Store,
    options: &Options,
    submission: &Submission,
    name: &str,
) -> anyhow::Result<String> {
    let (path, flags) = (
        options.rsync_remote_path.as_deref(),
        options.rsync_options.as_deref(),
    );
    let Some(remote) = rsync::remote(store, path, flags)? else {
        return Err(exit::usage("nobody says where the tree should go")
            .hint("pass --rsync-remote-path P, or --no-rsync when the workers have the tree")
            .into());
    };
    if let Some(holder) = taskset::lock_rsync_name(store, submission, name)? {
        return Err(
            exit::usage(format!("the rsync name '{name}' is in use by '{holder}'"))
                .hint("wait for it, rrr-cancel it, or pass another --rsync-name")
                .into(),
        );
    }
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
    let mut renewed = Instant::now();
    let status = loop {
        if let Some(status) = rsync.ended()? {
            break status;
        }
        if signals::requested() {
            return Err(Stopped.into());
        }
        // If we have stood still, the lock may be another's by now: this is the first thing to learn.
        if renewed.elapsed() > RENEWAL {
            taskset::renew_rsync_lock(store, submission, name)?;
            renewed = Instant::now();
        }
        std::thread::sleep(LOOK);
    };
    if !status.success() {
        return Err(exit::usage(format!(
            "rsync to '{}' failed ({status}): {}",
            remote.path,
            rsync.said()?.trim()
        ))
        .hint("check --rsync-remote-path (--mkpath makes it) and --rsync-options; nothing was submitted")
        .into());
    }
    Ok(stamp.map(|stamp| stamp.field()).unwrap_or_default())
}

/// A running rsync, which writes into the tree as long as it lives: when this is dropped, for whatever
/// reason, it is gone, and so is what it has started.
struct Rsync {
    child: Child,
    status: Option<ExitStatus>,
    /// What it says on stderr: no pipe, which an ssh that stays for the next one would keep open.
    stderr: File,
    /// The children that this process had already: they were its own before it became rrr-submit.
    others: Vec<u32>,
}

impl Rsync {
    /// Starts it in our own process group, so that its ssh may ask on the terminal for a password.
    fn start(arguments: Vec<OsString>) -> std::io::Result<Self> {
        // It has helpers, which are to be found when it is dead.
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
        // It must not go on without a lock; by TERM it ends its helpers.
        child::end_with_us(&mut command, Signal::TERM);
        Ok(Self {
            child: command.spawn()?,
            status: None,
            stderr,
            others,
        })
    }

    /// How it has ended, if it has.
    fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }

    /// What it has said on stderr.
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
        // By TERM it takes away what it has half written, and tells the other end.
        let pid = Pid::from_child(&self.child);
        let _ = kill_process(pid, Signal::TERM);
        // One that is stopped must wake up to hear it.
        let _ = kill_process(pid, Signal::CONT);
        let told = Instant::now();
        while matches!(self.ended(), Ok(None)) && told.elapsed() < GRACE {
            std::thread::sleep(LOOK);
        }
        reap::sweep(&self.others);
    }
}
