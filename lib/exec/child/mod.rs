//! Runs one command under supervision: starts it in its own session and, where there may be one, its
//! own cgroup, watches it against a soft and a hard deadline and a wish to stop, keeps head and tail
//! of its output, and leaves nothing of it alive.

pub(crate) mod capture;
pub mod cgroup;
pub(crate) mod environment;
pub(crate) mod guardian;
pub(crate) mod reap;
mod start;
pub(crate) mod supervise;

use rustix::process::Signal;
use std::os::unix::process::CommandExt;
use std::process::Command;

pub(crate) use capture::Captured;
pub(crate) use cgroup::Cgroup;
pub(crate) use start::prepare;
pub(crate) use supervise::{End, Exit, LAST, Leftovers, Limits, Outcome, Supervisor, Watch};

/// Has what `command` starts get `signal` when this process is gone, even if it was killed.
pub(crate) fn end_with_us(command: &mut Command, signal: Signal) {
    let us = rustix::process::getpid();
    // SAFETY: these are system calls, and nothing else happens between fork and exec.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(signal))?;
            // It may have gone before that.
            if rustix::process::getppid() != Some(us) {
                let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
            }
            Ok(())
        });
    }
}

/// Sees to it that no descriptor this process was started with reaches its children, but for stdin,
/// stdout and stderr. To be called before any child is.
pub(crate) fn keep_descriptors_to_ourselves() {
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    let numbers = open
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for number in numbers.collect::<Vec<i32>>() {
        if number > 2 {
            // SAFETY: only its flag is changed, and one that was closed meanwhile (the folder that
            // was read) is refused by the kernel.
            let descriptor = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
            let _ = rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC);
        }
    }
}
