//! A process that a test has started: its output and its exit status.

pub mod handle;
pub mod output;
pub mod process_tree;
pub mod tool;
pub mod wait;

use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::handle::Handle;
use crate::harness::output::{Output, json_lines};
use crate::harness::process_tree::Member;
use crate::harness::wait::within;

/// A finished process.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended the process.
    pub signal: Option<i32>,
    /// The whole output, with invalid UTF-8 replaced.
    pub stdout: String,
    /// The whole output, with invalid UTF-8 replaced.
    pub stderr: String,
    /// Whether another process still held stdout or stderr open 5 s after its end.
    pub output_held: bool,
}

/// The event `taskset_finished`.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Receipt {
    pub taskset: String,
    pub status: String,
    pub tasks: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub not_run: u64,
    pub flaky: u64,
    pub fail_reason: Option<String>,
}

impl Finished {
    /// The JSON lines of stdout; panics on a line that is not JSON.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        json_lines(&self.stdout)
    }

    /// The events with this name.
    #[track_caller]
    pub fn events_named(&self, name: &str) -> Vec<Value> {
        named(self.events(), name)
    }

    /// The last event on stdout, of a tool that followed a taskset to its end.
    #[track_caller]
    pub fn receipt(&self) -> Receipt {
        let last = self.events().pop();
        let last = last.unwrap_or_else(|| panic!("no event on stdout: {self:#?}"));
        serde_json::from_value(last).unwrap_or_else(|why| panic!("no receipt ({why}): {self:#?}"))
    }

    /// Panics with the whole output unless the exit code is `code`.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }
}

/// A running process, the leader of its own process group.
///
/// On drop, the process and its [family](Running::family) are killed. Its output is printed if the
/// test has failed.
pub struct Running {
    handle: Handle,
    tag: String,
    stdout: Arc<Output>,
    stderr: Arc<Output>,
    shown: AtomicBool,
}

impl Running {
    pub(crate) fn new(name: String, tag: String, mut child: Child) -> Self {
        Self {
            stdout: Output::follow(child.stdout.take()),
            stderr: Output::follow(child.stderr.take()),
            handle: Handle::new(name, child),
            tag,
            shown: AtomicBool::new(false),
        }
    }

    /// A handle to signal the process from another thread.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.handle.pid()
    }

    /// Sends SIGKILL to this process alone and waits for its end.
    pub fn kill(&self) {
        self.handle.kill();
    }

    /// Sends SIGTERM.
    pub fn term(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGINT.
    pub fn int(&self) {
        self.signal(Signal::INT);
    }

    /// Stops this process alone (SIGSTOP).
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Resumes the process (SIGCONT).
    pub fn cont(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends a signal to this process; nothing happens if it has ended.
    pub fn signal(&self, signal: Signal) {
        self.handle.signal(signal);
    }

    /// Whether the process is still running.
    pub fn is_running(&self) -> bool {
        self.handle.ended().is_none()
    }

    /// Whether a signal has ended the process.
    pub fn was_killed(&self) -> bool {
        self.handle
            .ended()
            .is_some_and(|end| end.signal().is_some())
    }

    /// Waits for the end of the process; panics with its output after `bound`.
    #[track_caller]
    pub fn wait(&self, bound: Duration) -> Finished {
        let Some(status) = within(bound, || self.handle.ended()) else {
            self.fail(&format!("it has not ended within {bound:?}"));
        };
        // A leaked descendant may hold the output open forever.
        let closed = || (self.stdout.closed() && self.stderr.closed()).then_some(());
        let output_held = within(Duration::from_secs(5), closed).is_none();
        Finished {
            code: status.code(),
            signal: status.signal(),
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
            output_held,
        }
    }

    /// The output on stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits for the first line of stdout, already printed or not, that satisfies `predicate`.
    /// Panics with the output after `bound`, or if the process ends without such a line.
    #[track_caller]
    pub fn wait_for_line(&self, bound: Duration, predicate: impl Fn(&str) -> bool) -> String {
        let found = self
            .stdout
            .wait_for(bound, |line| predicate(line).then(|| line.to_owned()));
        found.unwrap_or_else(|why| self.fail(&format!("no such line on stdout {why}")))
    }

    /// As [`Running::wait_for_line`], on stderr.
    #[track_caller]
    pub fn wait_for_stderr(&self, bound: Duration, predicate: impl Fn(&str) -> bool) -> String {
        let found = self
            .stderr
            .wait_for(bound, |line| predicate(line).then(|| line.to_owned()));
        found.unwrap_or_else(|why| self.fail(&format!("no such line on stderr {why}")))
    }

    /// The JSON lines of stdout so far; panics on a complete line that is not JSON.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        json_lines(&self.stdout.text())
    }

    /// The events with this name so far.
    #[track_caller]
    pub fn events_named(&self, name: &str) -> Vec<Value> {
        named(self.events(), name)
    }

    /// Waits for the first event with this name, as [`Running::wait_for_line`] does.
    #[track_caller]
    pub fn wait_for_event(&self, name: &str, bound: Duration) -> Value {
        self.wait_for_event_where(name, bound, |_| true)
    }

    /// Waits for the first event with this name that satisfies `predicate`.
    #[track_caller]
    pub fn wait_for_event_where(
        &self,
        name: &str,
        bound: Duration,
        predicate: impl Fn(&Value) -> bool,
    ) -> Value {
        let wanted = |line: &str| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["event"] == name && predicate(&event)).then_some(event)
        };
        let found = self.stdout.wait_for(bound, wanted);
        found.unwrap_or_else(|why| self.fail(&format!("no such event '{name}' {why}")))
    }

    /// The process and all its live descendants.
    pub fn family(&self) -> Vec<Member> {
        process_tree::tagged(&self.tag)
    }

    #[track_caller]
    fn fail(&self, what: &str) -> ! {
        self.shown.store(true, SeqCst);
        panic!("{}: {what}\n{}", self.handle.name(), self.outputs());
    }

    fn outputs(&self) -> String {
        let (name, pid) = (self.handle.name(), self.pid());
        let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
        format!("--- stdout of {name} ({pid})\n{stdout}--- stderr of {name} ({pid})\n{stderr}---")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.shown.load(SeqCst) {
            eprintln!("{}", self.outputs());
        }
        self.handle.kill_group();
        process_tree::kill_tagged(&self.tag);
    }
}

fn named(mut events: Vec<Value>, name: &str) -> Vec<Value> {
    events.retain(|event| event["event"] == name);
    events
}
