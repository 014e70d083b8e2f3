//! The guardian: a process between a worker and the processes it starts. It adopts every orphan
//! below it, so that a slave, or a worker with its whole process group, may be killed at any
//! moment: the guardian notices, and kills every process left below it.
//!
//! It has its own process group and its own name, and only waits. If the guardian itself is killed,
//! its children become the worker's, which kills them.

use super::reap;
use nix::libc;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, Signal, WaitOptions, kill_process_group, pidfd_open,
    set_dumpable_behavior, waitpid,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// Time for a slave to end on its own once its worker is gone.
const ALONE: Duration = Duration::from_secs(1);
/// Maximum time between two checks for orphans.
const LOOK: Duration = Duration::from_secs(1);
/// The guardian's name in `ps`: one that a `pkill rrr` does not match.
const NAME: &[u8] = b"test-guardian";

/// The fate of processes that the command leaves behind when it exits on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Killed before the command's end is reported.
    Kill,
    /// Left running under the guardian until this process ends or kills the guardian.
    Keep,
}

/// Puts a guardian between this process and `command`. This process's child is then the guardian,
/// or with [`Rest::Keep`] a process that ends as the command does.
pub(crate) fn stand_between(command: &mut Command, rest: Rest) -> io::Result<()> {
    let us = pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
    // SAFETY: the closure only makes system calls until its process becomes the command. A guardian
    // continues without exec: libc's fork has left its allocator usable, and it takes no other
    // lock.
    unsafe {
        command.pre_exec(move || {
            match rest {
                Rest::Kill => {
                    // A separate session would do too, but the kernel schedules by session: slaves
                    // and roles would wait for each other.
                    rustix::process::setpgid(None, None)?;
                    // Before the fork: the command may leave orphans before the guardian runs again.
                    let _ = reap::become_subreaper();
                    if let Some(child) = fork()? {
                        watch(child, us.as_raw_fd(), None);
                    }
                    // A kill of the slave's group does not reach the guardian.
                    rustix::process::setpgid(None, None)?;
                }
                Rest::Keep => {
                    let (told, tell) = io::pipe()?;
                    if fork()?.is_some() {
                        pass_on(told.into());
                    }
                    let _ = reap::become_subreaper();
                    // A kill of the command's group must not reach the guardian: what the command
                    // has left outside of that group would be the worker's, and survive its death.
                    let group = rustix::process::getpgrp();
                    rustix::process::setpgid(None, None)?;
                    if let Some(child) = fork()? {
                        watch(child, us.as_raw_fd(), Some(tell.as_raw_fd()));
                    }
                    rustix::process::setpgid(None, Some(group))?;
                }
            }
            Ok(())
        });
    }
    Ok(())
}

/// Makes the command write its process id, as four bytes, to the returned pipe: the child created
/// by [`stand_between`], which must have been called before, is its guardian.
pub(crate) fn tell_pid(command: &mut Command) -> io::Result<io::PipeReader> {
    let (told, tell) = io::pipe()?;
    // SAFETY: the closure only makes system calls.
    unsafe {
        command.pre_exec(move || {
            let id = std::process::id().to_ne_bytes();
            Ok(rustix::io::write(&tell, &id).map(drop)?)
        });
    }
    Ok(told)
}

/// The child's id in the parent, none in the child.
fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: the callers observe the rules given in `stand_between`.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(Pid::from_raw(pid)),
    }
}

/// Ends with the command's status, which the guardian reports.
fn pass_on(told: OwnedFd) -> ! {
    keep_out_of_reach();
    settle(told.as_raw_fd(), None);
    let mut status = [0; 4];
    // SAFETY: `settle` has put the pipe there.
    let told = unsafe { BorrowedFd::borrow_raw(0) };
    match rustix::io::read(told, &mut status) {
        Ok(4) => end_as(i32::from_ne_bytes(status)),
        _ => end_as(libc::SIGKILL),
    }
}

/// The guardian's main loop. `tell`: where the end of `child` is reported, with [`Rest::Keep`].
fn watch(child: Pid, worker: RawFd, tell: Option<RawFd>) -> ! {
    keep_out_of_reach();
    settle(worker, tell);
    // SAFETY: `settle` has put the worker's pidfd there.
    let worker = unsafe { BorrowedFd::borrow_raw(0) };
    let keeps = tell.is_some();
    let own_end = pidfd_open(child, PidfdFlags::empty()).ok();
    let mut alone: Option<Instant> = None;
    let mut status = None;
    loop {
        if status.is_none() {
            status = ended(child);
            if let (Some(status), true) = (status, keeps) {
                report(status);
            }
        }
        let over = match (status, alone) {
            (None, Some(since)) => since.elapsed() >= ALONE,
            (Some(_), None) if keeps => reap::all_have_ended(),
            (Some(_), _) => true,
            (None, None) => {
                if !keeps {
                    // Orphans of a slave that is still running.
                    reap::sweep(&[child.as_raw_nonzero().get() as u32]);
                }
                false
            }
        };
        if over {
            break;
        }
        let timeout = alone.map_or(LOOK, |since| ALONE.saturating_sub(since.elapsed()));
        let worker = alone.is_none().then_some(worker);
        let own_end = own_end.as_ref().filter(|_| status.is_none());
        if sleep(worker, own_end.map(AsFd::as_fd), timeout) {
            alone = Some(Instant::now());
        }
    }
    if status.is_none() {
        let _ = kill_process_group(child, Signal::KILL);
    }
    reap::sweep(&[]);
    end_as(status.unwrap_or(libc::SIGKILL))
}

/// The status of the command, as waitpid gives it, once it has ended.
fn ended(child: Pid) -> Option<i32> {
    match waitpid(Some(child), WaitOptions::NOHANG) {
        Ok(found) => found.map(|(_, status)| status.as_raw()),
        Err(_) => Some(libc::SIGKILL),
    }
}

/// Reports how the command ended to the process that represents it.
fn report(status: i32) {
    // SAFETY: `settle` has put the pipe there; it is closed, as nothing else is reported.
    unsafe {
        let _ = rustix::io::write(BorrowedFd::borrow_raw(1), &status.to_ne_bytes());
        libc::close(1);
    }
}

/// Sleeps until the command or the worker ends; returns whether the worker has.
fn sleep(worker: Option<BorrowedFd>, child: Option<BorrowedFd>, timeout: Duration) -> bool {
    let fds = [worker, child].into_iter().flatten();
    let mut fds: Vec<PollFd> = fds
        .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
        .collect();
    let timeout = Timespec::try_from(timeout).ok();
    let woken = poll(&mut fds, timeout.as_ref()).is_ok();
    woken && worker.is_some() && !fds[0].revents().is_empty()
}

/// Makes the process immune to signals except SIGKILL and to tracing, and sets its name.
fn keep_out_of_reach() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = nix::sys::signal::SigSet::all().thread_block();
    let _ = rustix::process::chdir("/");
    rename();
}

/// Closes all descriptors but these two, which become 0 and 1: a pipe that a guardian held open
/// would never reach its end.
fn settle(first: RawFd, second: Option<RawFd>) {
    // SAFETY: these are the numbers of this process's own descriptors; nothing else uses them,
    // since this forked process runs no other code.
    unsafe {
        // Moved first, so that neither overwrites the other.
        let first = libc::fcntl(first, libc::F_DUPFD, 10);
        let second = second.map(|fd| libc::fcntl(fd, libc::F_DUPFD, 10));
        libc::dup2(first, 0);
        match second {
            Some(second) => libc::dup2(second, 1),
            None => libc::close(1),
        };
        if libc::syscall(libc::SYS_close_range, 2, u32::MAX, 0) != 0 {
            // Linux before 5.9.
            for fd in 2..4096 {
                libc::close(fd);
            }
        }
    }
}

/// Renames this process to [`NAME`], for `ps` and `pkill -f`.
fn rename() {
    let mut name = [0; 16];
    name[..NAME.len()].copy_from_slice(NAME);
    if let Ok(name) = std::ffi::CStr::from_bytes_until_nul(&name) {
        let _ = rustix::thread::set_name(name);
    }
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields 48 and 49 of the line; the bracket ends field 2.
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let mut fields = fields.split(' ').skip(45);
    let mut place = || fields.next()?.parse::<usize>().ok();
    let (Some(start), Some(end)) = (place(), place()) else {
        return;
    };
    if start == 0 || end <= start + NAME.len() {
        return;
    }
    // SAFETY: the kernel reports this process's arguments at this address; nothing reads them
    // again.
    unsafe {
        let arguments = std::slice::from_raw_parts_mut(start as *mut u8, end - start);
        arguments.fill(0);
        arguments[..NAME.len()].copy_from_slice(NAME);
    }
}

/// Ends this process with `status`, as reported by waitpid.
fn end_as(status: i32) -> ! {
    // SAFETY: plain system calls; nothing of this process is used afterwards.
    unsafe {
        if libc::WIFEXITED(status) {
            libc::_exit(libc::WEXITSTATUS(status));
        }
        let signal = libc::WTERMSIG(status);
        libc::signal(signal, libc::SIG_DFL);
        let mut only = std::mem::zeroed();
        libc::sigemptyset(&mut only);
        libc::sigaddset(&mut only, signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, &only, std::ptr::null_mut());
        libc::kill(libc::getpid(), signal);
        libc::_exit(128 + signal)
    }
}
