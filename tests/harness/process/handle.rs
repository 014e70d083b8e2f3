//! Sends signals to a process that a test has started, from any thread.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::process::set_parent_process_death_signal;
use rustix::process::{Pid, Signal, getpid, getppid, kill_process, kill_process_group};

use crate::harness::wait::{PATIENCE, eventually};

/// A process that can be signalled from any thread, safe against reuse of its id.
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

    /// The name of the program.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The process id.
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

    /// Sends SIGKILL to the process and waits for its end.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        eventually(PATIENCE, "a killed process ends", || self.ended());
    }

    /// Sends SIGKILL to the whole process group and waits for the end of the process.
    pub fn kill_group(&self) {
        // The id names the group at least until the process is reaped.
        let mut child = self.lock();
        if let Ok(None) = child.try_wait() {
            let _ = kill_process_group(self.0.pid, Signal::KILL);
        }
        drop(child);
        eventually(PATIENCE, "a killed process ends", || self.ended());
    }

    /// The exit status, if the process has ended.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.lock().try_wait().expect("a child of the test")
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
        // The test may have died before the call.
        match getppid() {
            Some(parent) if parent == test => Ok(()),
            _ => Err(rustix::io::Errno::SRCH.into()),
        }
    };
    // SAFETY: between fork and exec, only two system calls are made and nothing is allocated.
    unsafe { command.pre_exec(ask) };
}
