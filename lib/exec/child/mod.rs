//! Running one command under supervision: it starts in its own session and, where possible, its own
//! cgroup; a soft and a hard deadline and stop requests are enforced; the head and tail of its
//! output are kept; and none of its processes is left alive.

pub(crate) mod capture;
pub mod cgroup;
mod deadline;
pub(crate) mod environment;
pub(crate) mod guardian;
mod limits;
pub(crate) mod reap;
mod start;
pub(crate) mod supervise;

use rustix::process::Signal;
use std::os::unix::process::CommandExt;
use std::process::Command;

pub(crate) use crate::exec::child::cgroup::Cgroup;
pub(crate) use crate::exec::child::deadline::End;
pub(crate) use crate::exec::child::limits::{Leftovers, Limits};
pub(crate) use crate::exec::child::start::prepare;
pub(crate) use crate::exec::child::supervise::{ChildOutcome, Exit, LAST, Supervisor, Watch};
pub(crate) use capture::Captured;

/// Makes the started `command` receive `signal` when this process is gone, even if it was killed.
pub(crate) fn end_with_us(command: &mut Command, signal: Signal) {
    let us = rustix::process::getpid();
    // SAFETY: these are system calls, and nothing else happens between fork and exec.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(signal))?;
            // The parent may have exited before prctl.
            if rustix::process::getppid() != Some(us) {
                let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
            }
            Ok(())
        });
    }
}

/// Keeps the descriptors that this process was started with from its children, except for stdin,
/// stdout and stderr. Must be called before any child is started.
pub(crate) fn keep_descriptors_to_ourselves() {
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    let numbers = open
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for number in numbers.collect::<Vec<i32>>() {
        if number > 2 {
            // SAFETY: only its flag is changed, and a descriptor that is closed by now (the folder
            // that was read) is refused by the kernel.
            let descriptor = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
            let _ = rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC);
        }
    }
}
