//! Signals to a process that a test has started, from any thread.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::process::set_parent_process_death_signal;
use rustix::process::{Pid, Signal, getpid, getppid, kill_process, kill_process_group};

use crate::harness::wait::{PATIENCE, eventually};

/// A process that can be signalled from any thread; it never hits another that got the same id.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

struct Shared {
    name: String,
    pid: Pid,
    child: Mutex<Child>,
}

impl Handle {
    pub(crate) fn new(name: String, child: Child) -> Self {
        let pid = Pid::from_child(&child);
        let child = Mutex::new(child);
        Self(Arc::new(Shared { name, pid, child }))
    }

    /// The name of its program.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Sends a signal to this process; nothing happens if it has ended.
    pub fn signal(&self, signal: Signal) {
        let mut child = self.lock();
        if let Ok(None) = child.try_wait() {
            let _ = kill_process(self.0.pid, signal);
        }
    }

    /// Sends SIGKILL to it and waits until it is gone.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        eventually(PATIENCE, "a killed process ends", || self.ended());
    }

    /// Sends SIGKILL to it and all its process group, and waits until it is gone.
    pub fn kill_group(&self) {
        // Its id names its group at least until it is waited for.
        let mut child = self.lock();
        if let Ok(None) = child.try_wait() {
            let _ = kill_process_group(self.0.pid, Signal::KILL);
        }
        drop(child);
        eventually(PATIENCE, "a killed process ends", || self.ended());
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.lock().try_wait().expect("a child of ours")
    }

    fn lock(&self) -> MutexGuard<'_, Child> {
        self.0
            .child
            .lock()
            .unwrap_or_else(|broken| broken.into_inner())
    }
}

/// Makes the kernel kill the process when the thread that starts it ends, even by SIGKILL.
pub(crate) fn die_with_the_test(command: &mut Command) {
    let test = getpid();
    let ask = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The test may have died before that.
        match getppid() {
            Some(parent) if parent == test => Ok(()),
            _ => Err(rustix::io::Errno::SRCH.into()),
        }
    };
    // SAFETY: between fork and exec it makes two system calls and allocates nothing.
    unsafe { command.pre_exec(ask) };
}
