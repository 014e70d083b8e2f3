//! All descendants of a process, even escaped ones, found by a mark in their environment.
//!
//! A child inherits its parent's environment, so double forks, `setsid` and orphans are found too;
//! only a program started with an emptied environment is not.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::wait::within;

/// The environment variable with the mark.
pub const TAG: &str = "HARNESS_TAG";

/// A live process; zombies are excluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The process id.
    pub pid: u32,
    /// The arguments, joined by spaces.
    pub command: String,
}

impl Member {
    /// The live process with this id.
    pub fn of(pid: u32) -> Self {
        let command = command(pid);
        Self { pid, command }
    }

    /// Whether the process runs this program, in any folder.
    pub fn is(&self, program: &str) -> bool {
        let first = self.command.split(' ').next().unwrap_or_default();
        first.rsplit('/').next() == Some(program)
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let _ = kill_process(pid.expect("a process id of /proc"), signal);
    }

    /// A number of /proc/PID/status: `VmRSS` and `VmHWM` (its peak) are KiB, `PPid`, `Threads`.
    pub fn status(&self, field: &str) -> Option<u64> {
        status(self.pid, field)
    }
}

/// A number of /proc/PID/status; `None` if there is no such process or field.
pub fn status(pid: u32, field: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = |line: &str| {
        line.strip_prefix(field)?
            .strip_prefix(':')
            .map(str::to_owned)
    };
    let value = text.lines().find_map(value)?;
    value.split_whitespace().next()?.parse().ok()
}

/// Every live process with this mark, by process id.
pub fn tagged(tag: &str) -> Vec<Member> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut members: Vec<Member> = pids
        .filter(|pid| has_tag(*pid, tag))
        .map(Member::of)
        .collect();
    members.sort_by_key(|member| member.pid);
    members
}

/// Kills every process with this mark, repeatedly while new ones appear, for up to 5 s.
pub(crate) fn kill_tagged(tag: &str) {
    within(Duration::from_secs(5), || {
        let members = tagged(tag);
        members
            .iter()
            .for_each(|member| member.signal(Signal::KILL));
        members.is_empty().then_some(())
    });
}

fn has_tag(pid: u32, tag: &str) -> bool {
    let wanted = format!("{TAG}={tag}");
    // The environment of a zombie, or of another user's process, reads as empty.
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment
        .split(|byte| *byte == 0)
        .any(|variable| variable == wanted.as_bytes())
}

fn command(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
    text.trim_end().to_owned()
}
