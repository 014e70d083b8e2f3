//! The poll loop around one child.

use super::capture::{Capture, Captured};
use super::start::{StartBounds, Starter};
use super::{Cgroup, reap};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpid};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;
use std::time::{Duration, Instant};

/// The limits of one run.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Time until the child is asked to end (SIGTERM).
    pub soft: Duration,
    /// Time until the child is killed.
    pub hard: Duration,
    /// Time from a stop request (SIGTERM) until the child is killed.
    pub grace: Duration,
    /// Bytes kept of stdout and of stderr.
    pub capture: usize,
    /// Maximum private memory of each process, in bytes.
    pub memory: Option<u64>,
    /// The fate of processes that the child leaves behind.
    pub leftovers: Leftovers,
}

/// The fate of processes that a child leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leftovers {
    /// Killed before the run counts as done.
    Kill,
    /// Left running under a guardian, for the caller to end.
    Keep,
}

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

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// The cause of the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The process exited on its own.
    Exited,
    /// The process was asked to end at its soft timeout.
    SoftTimeout,
    /// The process had to be killed.
    HardTimeout,
    /// The watch asked to stop the process.
    Stopped(String),
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
        let mut end = End::Exited;
        let mut kill_at: Option<Instant> = None;
        // The watch has asked to stop the child.
        let mut told = false;
        let status = loop {
            // Checked before any signal is sent: if this process was suspended, the child may have
            // ended long ago, in time and on its own.
            if let Some((_, status)) = waitpid(Some(group), WaitOptions::NOHANG)? {
                break status;
            }
            let now = Instant::now();
            if kill_at.is_none() && now >= began + limits.soft {
                end = End::SoftTimeout;
                terminate(group);
                let hard = limits.hard.max(limits.soft + Duration::from_millis(1));
                kill_at = Some(if limits.hard > limits.soft {
                    began + hard
                } else {
                    now + limits.grace
                });
            }
            // A child past its soft timeout can still be stopped: its hard timeout may be far away.
            if !told && let Some(reason) = watch.stop() {
                told = true;
                let at = now + limits.grace;
                if kill_at.is_none() {
                    end = End::Stopped(reason);
                    terminate(group);
                }
                kill_at = Some(kill_at.map_or(at, |kill_at| kill_at.min(at)));
            }
            if kill_at.is_some_and(|at| now >= at) {
                let _ = kill_process_group(group, Signal::KILL);
                if end == End::SoftTimeout {
                    end = End::HardTimeout;
                }
            }
            let next = match kill_at {
                Some(at) if at > now => at - now,
                Some(_) => Duration::from_millis(20),
                None => (began + limits.soft).saturating_duration_since(now),
            };
            // The watch stays readable after its first news: polling it again would spin.
            let outside = if told { None } else { watch.fd() };
            // The watch is also checked periodically.
            let next = next.min(Duration::from_secs(5));
            wait(&child.exit, &mut outputs, outside, next, &mut self.buffer)?;
        };
        let duration = began.elapsed();
        let leftovers = match (&end, limits.leftovers) {
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
        };
        // Everything that the process wrote is in the pipes by now.
        outputs.drain(&mut self.buffer, true);
        Ok(ChildOutcome {
            exit: match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, signal) => Exit::Signal(signal.unwrap_or(0)),
            },
            end,
            stdout: outputs.stdout.capture.finish(),
            stderr: outputs.stderr.capture.finish(),
            duration,
            leftovers,
            out_of_memory: self.cgroup.as_mut().is_some_and(Cgroup::ran_out_of_memory),
        })
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
