//! A process that lives for many trials: it reads and writes lines on two dedicated descriptors,
//! and its output is collected trial by trial.

use super::{CAPTURE, GRACE};
use crate::exec::child::capture::{Capture, Captured};
use crate::exec::child::{Cgroup, Exit, LAST, Watch, prepare, reap};
use command_fds::{CommandFdExt, FdMapping};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, kill_process_group, pidfd_open, prlimit,
};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// The descriptor from which the process reads lines.
pub(crate) const IN: i32 = 3;
/// The descriptor to which the process writes lines.
pub(crate) const OUT: i32 = 4;
/// Maximum length of a line in bytes.
const LINE: usize = 8 << 20;
const CHUNK: usize = 64 << 10;

/// The outcome of waiting for a line.
#[derive(Debug)]
pub(crate) enum Heard {
    Line(Vec<u8>),
    /// The process has ended.
    Gone,
    /// The time limit was reached.
    Late,
    /// The watch asked to stop the trial.
    Stop(String),
    /// The process writes an endless line.
    Endless,
}

pub(crate) struct RunnerProcess {
    child: Child,
    group: Pid,
    /// Readable when the process has ended: a descendant may hold the pipes open for longer.
    gone: OwnedFd,
    to: File,
    from: File,
    inbox: Vec<u8>,
    outputs: [Output; 2],
    strays: Strays,
    buffer: Vec<u8>,
}

impl RunnerProcess {
    /// Starts `command` in a new session, and in `cgroup` if there is one.
    pub(crate) fn start(command: &mut Command, cgroup: Option<&Cgroup>) -> io::Result<Self> {
        let (its_in, to) = io::pipe()?;
        let (from, its_out) = io::pipe()?;
        let mapping = |parent_fd: OwnedFd, child_fd| FdMapping {
            parent_fd,
            child_fd,
        };
        command
            .fd_mappings(vec![
                mapping(its_in.into(), IN),
                mapping(its_out.into(), OUT),
            ])
            .map_err(io::Error::other)?;
        prepare(command, cgroup)?;
        let mut child = command.spawn()?;
        let group = Pid::from_child(&child);
        let (to, from) = (OwnedFd::from(to), OwnedFd::from(from));
        let stdout = child.stdout.take().map(OwnedFd::from);
        let stderr = child.stderr.take().map(OwnedFd::from);
        for fd in [Some(&to), Some(&from), stdout.as_ref(), stderr.as_ref()]
            .into_iter()
            .flatten()
        {
            let flags = rustix::fs::fcntl_getfl(fd)? | rustix::fs::OFlags::NONBLOCK;
            rustix::fs::fcntl_setfl(fd, flags)?;
        }
        Ok(Self {
            gone: pidfd_open(group, PidfdFlags::empty())?,
            child,
            group,
            to: to.into(),
            from: from.into(),
            inbox: Vec::new(),
            outputs: [Output::new(stdout), Output::new(stderr)],
            strays: Strays::open()?,
            buffer: vec![0; CHUNK],
        })
    }

    /// Limits the private memory of the process, and of those that it starts from now on.
    pub(crate) fn limit_memory(&self, bytes: u64) -> io::Result<()> {
        let limit = Rlimit {
            current: Some(bytes),
            maximum: Some(bytes),
        };
        prlimit(Some(self.group), Resource::Data, limit)?;
        Ok(())
    }

    /// Writes a line to the process. It reads each line before the next one is sent, so one line
    /// always fits.
    pub(crate) fn say(&mut self, line: &str) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        self.to.write_all(&bytes)
    }

    /// Waits for a line until `until`, collecting the output in the meantime.
    pub(crate) fn hear(&mut self, until: Instant, watch: &mut dyn Watch) -> io::Result<Heard> {
        let mut scanned = 0;
        let mut gone = false;
        loop {
            if let Some(at) = self.inbox[scanned..].iter().position(|byte| *byte == b'\n') {
                let rest = self.inbox.split_off(scanned + at + 1);
                let mut line = std::mem::replace(&mut self.inbox, rest);
                line.pop();
                return Ok(Heard::Line(line));
            }
            scanned = self.inbox.len();
            if scanned > LINE {
                return Ok(Heard::Endless);
            }
            if gone {
                return Ok(Heard::Gone);
            }
            let now = Instant::now();
            if now >= until {
                return Ok(Heard::Late);
            }
            if let Some(why) = watch.stop() {
                return Ok(Heard::Stop(why));
            }
            gone = self.wait(until - now, watch)?;
        }
    }

    /// Sleeps until there is anything to read or report; returns whether the process has ended.
    fn wait(&mut self, timeout: Duration, watch: &dyn Watch) -> io::Result<bool> {
        let timeout =
            Timespec::try_from(timeout.min(Duration::from_secs(3600))).unwrap_or(Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            });
        let ready: [bool; 4] = {
            // The line is read first: output printed before it is then seen in the same call.
            let mut fds = vec![
                PollFd::new(&self.from, PollFlags::IN),
                PollFd::new(&self.gone, PollFlags::IN),
            ];
            let outputs = [self.outputs[0].fd(), self.outputs[1].fd()];
            for fd in [outputs[0], outputs[1], watch.fd()].into_iter().flatten() {
                fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            }
            match poll(&mut fds, Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
            let mut next = |there: bool| there && ready.next().unwrap_or(false);
            [
                next(true),
                next(true),
                next(outputs[0].is_some()),
                next(outputs[1].is_some()),
            ]
        };
        if ready[0] || ready[1] {
            // At most one chunk: an endless writer must not delay the deadline.
            loop {
                match self.from.read(&mut self.buffer) {
                    Ok(n) => {
                        self.inbox.extend_from_slice(&self.buffer[..n]);
                        if n == 0 || !ready[1] || self.inbox.len() > LINE {
                            break;
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
        }
        for (output, ready) in self.outputs.iter_mut().zip(&ready[2..]) {
            if *ready {
                output.drain(&mut self.buffer, 16);
            }
        }
        Ok(ready[1])
    }

    /// Returns the lines that were written but not yet listened to.
    pub(crate) fn take_unheard(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.inbox)
    }

    /// Whether the process has not read the last line written to it.
    pub(crate) fn has_unread(&self) -> bool {
        rustix::io::ioctl_fionread(&self.to).is_ok_and(|bytes| bytes > 0)
    }

    /// Checks for lines and for the end of the process, without waiting.
    pub(crate) fn glance(&mut self) -> io::Result<bool> {
        self.wait(Duration::ZERO, &())
    }

    /// Returns the output since the last call. Called after the answer: everything printed before
    /// it is in the pipes by then.
    pub(crate) fn take_output(&mut self, there_may_be_more: bool) -> [Captured; 2] {
        let buffer = &mut self.buffer;
        self.outputs.each_mut().map(|output| {
            if there_may_be_more || output.touched {
                output.drain(buffer, 64);
            }
            output.take()
        })
    }

    /// Marks all current children of this process as belonging to the runner.
    pub(crate) fn keep_household(&mut self) {
        self.strays.learn();
    }

    /// Kills the orphans that have appeared since; returns their names.
    pub(crate) fn sweep(&mut self) -> Vec<String> {
        self.strays.sweep()
    }

    /// Asks the process and its whole group to end.
    pub(crate) fn terminate(&self) {
        let _ = kill_process_group(self.group, Signal::TERM);
        // A stopped process must continue to receive the signal.
        let _ = kill_process_group(self.group, Signal::CONT);
    }

    /// Kills the process and all its descendants; returns how it ended.
    pub(crate) fn kill(&mut self) -> Exit {
        let ended = self.child.try_wait();
        let _ = kill_process_group(self.group, Signal::KILL);
        let status = match ended {
            Ok(Some(status)) => Ok(status),
            _ => self.child.wait(),
        };
        reap::sweep(&[]);
        match status.map(|status| (status.code(), status.signal())) {
            Ok((Some(code), _)) => Exit::Code(code),
            Ok((None, signal)) => Exit::Signal(signal.unwrap_or(0)),
            Err(_) => Exit::Signal(0),
        }
    }

    /// Closes the input of the process, so that it exits on its own within `patience`; then kills
    /// it. Once `watch` asks to stop, little time is left.
    pub(crate) fn dismiss(mut self, patience: Duration, watch: &mut dyn Watch) -> Left {
        if let Ok(nothing) = File::open("/dev/null") {
            self.to = nothing;
        }
        let mut until = Instant::now() + patience;
        let mut stopped = None;
        let mut asked = false;
        loop {
            let heard = match stopped {
                None => self.hear(until, watch),
                Some(_) => self.hear(until, &mut ()),
            };
            match heard {
                // Its messages no longer matter.
                Ok(Heard::Line(_)) => {}
                Ok(Heard::Endless) => self.inbox.clear(),
                Ok(Heard::Stop(why)) => {
                    stopped = Some(why);
                    until = until.min(Instant::now() + GRACE);
                }
                Ok(Heard::Late) if !asked => {
                    self.terminate();
                    asked = true;
                    until = Instant::now() + GRACE / 2;
                }
                _ => break,
            }
        }
        let exit = self.kill();
        Left {
            exit,
            in_time: !asked,
            stopped,
            output: self.take_output(true),
        }
    }
}

/// The exit of a process after its input was closed.
pub(crate) struct Left {
    pub exit: Exit,
    /// Whether the process exited on its own in time.
    pub in_time: bool,
    /// The reason why its time was cut short.
    pub stopped: Option<String>,
    /// The output since the input was closed.
    pub output: [Captured; 2],
}

impl Drop for RunnerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One of the outputs of the process.
struct Output {
    pipe: Option<File>,
    capture: Capture,
    /// Whether there was output since it was last taken.
    touched: bool,
}

impl Output {
    fn new(pipe: Option<OwnedFd>) -> Self {
        Self {
            pipe: pipe.map(File::from),
            capture: Capture::new(CAPTURE),
            touched: false,
        }
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads the available output, in a bounded number of reads.
    fn drain(&mut self, buffer: &mut [u8], most: usize) {
        for _ in 0..most {
            let Some(pipe) = &mut self.pipe else { return };
            match pipe.read(buffer) {
                Ok(0) => self.pipe = None,
                Ok(n) => {
                    self.touched = true;
                    self.capture.push(&buffer[..n]);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn take(&mut self) -> Captured {
        if !self.touched {
            return Captured::default();
        }
        self.touched = false;
        std::mem::replace(&mut self.capture, Capture::new(CAPTURE)).finish()
    }
}

/// Finds processes that a trial has orphaned: they have become children of this one, the subreaper.
struct Strays {
    /// The kernel's list of this process's children, kept open: one read per trial shows that
    /// nothing has changed.
    list: Option<File>,
    household: Vec<u8>,
    buffer: Vec<u8>,
}

impl Strays {
    fn open() -> io::Result<Self> {
        // Orphans become children of the subreaper's first thread.
        let pid = std::process::id();
        Ok(Self {
            list: File::open(format!("/proc/{pid}/task/{pid}/children")).ok(),
            household: Vec::new(),
            buffer: vec![0; 4 << 10],
        })
    }

    fn read(&mut self) -> &[u8] {
        let read = match &self.list {
            Some(list) => list.read_at(&mut self.buffer, 0).unwrap_or(0),
            None => 0,
        };
        &self.buffer[..read]
    }

    fn learn(&mut self) {
        self.household = self.read().to_owned();
    }

    fn sweep(&mut self) -> Vec<String> {
        let household = std::mem::take(&mut self.household);
        let changed = self.list.is_none() || self.read() != household;
        self.household = household;
        if !changed {
            return Vec::new();
        }
        let keep: Vec<u32> = String::from_utf8_lossy(&self.household)
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect();
        reap::wait_for_the_last(&keep, LAST);
        reap::sweep(&keep).into_values().collect()
    }
}
