//! The poll loop around one child.

use super::capture::{Capture, Captured};
use super::deadline::{Deadline, End};
use super::limits::{Leftovers, Limits};
use super::start::{StartBounds, Starter};
use super::{Cgroup, reap};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process_group, waitpid};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;
use std::time::{Duration, Instant};

/// An outside source of stop requests for a running child.
pub(crate) trait Watch {
    /// Readable when there may be news.
    fn fd(&self) -> Option<BorrowedFd<'_>>;
    /// The reason why the child should end now, if there is one.
    fn stop(&mut self) -> Option<String>;
}

impl Watch for () {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn stop(&mut self) -> Option<String> {
        None
    }
}

/// The exit of the process itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(i32),
    Signal(i32),
}

impl Exit {
    fn of(status: WaitStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Code(code),
            (None, signal) => Self::Signal(signal.unwrap_or(0)),
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// The outcome of one run.
#[derive(Clone, Debug)]
pub(crate) struct ChildOutcome {
    pub exit: Exit,
    pub end: End,
    pub stdout: Captured,
    pub stderr: Captured,
    /// Time from the process's start to its exit.
    pub duration: Duration,
    /// Names of the processes that were left behind and killed.
    pub leftovers: Vec<String>,
    /// Whether the kernel killed one of the run's processes for exceeding its memory limit.
    pub out_of_memory: bool,
}

/// Time for processes that a child leaves behind to end on their own.
pub(crate) const LAST: Duration = Duration::from_millis(100);

/// Runs commands, one at a time. One per process: the supervisor makes its process the subreaper,
/// and kills every child that a run leaves behind.
pub(crate) struct Supervisor {
    starter: Starter,
    cgroup: Option<Cgroup>,
    buffer: Vec<u8>,
}

const CHUNK: usize = 64 << 10;

impl Supervisor {
    /// Prepares this process for children, which run in `cgroup` if there is one.
    pub(crate) fn new(cgroup: Option<Cgroup>) -> io::Result<Self> {
        reap::become_subreaper()?;
        Ok(Self {
            starter: Starter::new()?,
            cgroup,
            buffer: vec![0; CHUNK],
        })
    }

    /// Runs `command` to its end within `limits`.
    ///
    /// Errors: the command could not be started.
    pub(crate) fn run(
        &mut self,
        command: &mut Command,
        limits: &Limits,
        watch: &mut dyn Watch,
    ) -> io::Result<ChildOutcome> {
        let bounds = StartBounds {
            cgroup: self.cgroup.as_ref(),
            memory: limits.memory,
            guarded: limits.leftovers == Leftovers::Keep,
        };
        let began = Instant::now();
        let child = self.starter.start(command, bounds)?;
        let group = child.pid;
        let mut outputs = Outputs {
            stdout: Stream::new(child.stdout, limits.capture),
            stderr: Stream::new(child.stderr, limits.capture),
        };
        let mut deadline = Deadline::new(began, limits);
        let status = loop {
            // Checked before any signal is sent: if this process was suspended, the child may have
            // ended long ago, in time and on its own.
            if let Some((_, status)) = waitpid(Some(group), WaitOptions::NOHANG)? {
                break status;
            }
            let stop = match deadline.is_stopping() {
                true => None,
                false => watch.stop(),
            };
            let step = deadline.next(Instant::now(), stop);
            if step.terminate {
                terminate(group);
            }
            if step.kill {
                let _ = kill_process_group(group, Signal::KILL);
            }
            // The watch stays readable after its first news: polling it again would spin.
            let outside = match deadline.is_stopping() {
                true => None,
                false => watch.fd(),
            };
            // The watch is also checked periodically.
            let next = step.wait.min(Duration::from_secs(5));
            wait(&child.exit, &mut outputs, outside, next, &mut self.buffer)?;
        };
        let duration = began.elapsed();
        let end = deadline.into_end();
        let leftovers = self.end_leftovers(group, &end, limits.leftovers);
        // Everything that the process wrote is in the pipes by now.
        outputs.drain(&mut self.buffer, true);
        Ok(ChildOutcome {
            exit: Exit::of(status),
            end,
            stdout: outputs.stdout.capture.finish(),
            stderr: outputs.stderr.capture.finish(),
            duration,
            leftovers,
            out_of_memory: self.cgroup.as_mut().is_some_and(Cgroup::ran_out_of_memory),
        })
    }

    /// Ends the processes that a child has left, as its run demands; returns the names of those that
    /// it should not have left.
    fn end_leftovers(&mut self, group: Pid, end: &End, leftovers: Leftovers) -> Vec<String> {
        match (end, leftovers) {
            (End::Exited, Leftovers::Keep) => Vec::new(),
            (End::Exited, Leftovers::Kill) => {
                reap::wait_for_the_last(&[], LAST);
                self.kill_the_rest()
            }
            // The process had no chance to clean up.
            _ => {
                let _ = kill_process_group(group, Signal::KILL);
                self.kill_the_rest();
                Vec::new()
            }
        }
    }

    /// Kills the remaining processes of a run; returns their names.
    fn kill_the_rest(&mut self) -> Vec<String> {
        let mut killed = self.cgroup.as_mut().map(Cgroup::kill).unwrap_or_default();
        killed.extend(reap::sweep(&[]));
        killed.into_values().collect()
    }
}

/// Sleeps until there is output, an exit, news from the watch or a deadline; reads the output.
fn wait(
    exit: &OwnedFd,
    outputs: &mut Outputs,
    outside: Option<BorrowedFd>,
    timeout: Duration,
    buffer: &mut [u8],
) -> io::Result<()> {
    let timeout = Timespec::try_from(timeout.min(Duration::from_secs(3600))).unwrap_or(Timespec {
        tv_sec: 1,
        tv_nsec: 0,
    });
    {
        let mut fds = vec![PollFd::new(exit, PollFlags::IN)];
        let streams = [&outputs.stdout, &outputs.stderr];
        for fd in streams.into_iter().filter_map(Stream::fd).chain(outside) {
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
        }
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    outputs.drain(buffer, false);
    Ok(())
}

fn terminate(group: Pid) {
    let _ = kill_process_group(group, Signal::TERM);
    // A stopped process must continue to receive the signal.
    let _ = kill_process_group(group, Signal::CONT);
}

/// Both outputs of a child.
struct Outputs {
    stdout: Stream,
    stderr: Stream,
}

impl Outputs {
    fn drain(&mut self, buffer: &mut [u8], last: bool) {
        self.stdout.drain(buffer, last);
        self.stderr.drain(buffer, last);
    }
}

struct Stream {
    pipe: Option<OwnedFd>,
    capture: Capture,
}

impl Stream {
    fn new(pipe: OwnedFd, limit: usize) -> Self {
        Self {
            pipe: Some(pipe),
            capture: Capture::new(limit),
        }
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(|pipe| pipe.as_fd())
    }

    /// Reads the available output: a limited amount while the child runs, so that a flood cannot
    /// delay the deadlines.
    fn drain(&mut self, buffer: &mut [u8], last: bool) {
        let most = if last { 64 } else { 16 };
        for _ in 0..most {
            let Some(pipe) = &mut self.pipe else { return };
            match rustix::io::read(pipe, &mut *buffer) {
                Ok(0) => self.pipe = None,
                Ok(n) => self.capture.push(&buffer[..n]),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}
