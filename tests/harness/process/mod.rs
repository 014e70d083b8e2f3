//! A process that a test has started: its output and its end.

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

/// What is left of a process.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// All it wrote; what is not UTF-8 is replaced.
    pub stdout: String,
    /// All it wrote; what is not UTF-8 is replaced.
    pub stderr: String,
    /// Whether stdout or stderr were still open, held by another process, 5 s after its end.
    pub output_held: bool,
}

impl Finished {
    /// The JSON lines of stdout; panics on a line that is not JSON.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        json_lines(&self.stdout)
    }

    /// The events of this name.
    #[track_caller]
    pub fn events_named(&self, name: &str) -> Vec<Value> {
        named(self.events(), name)
    }

    /// The last event of stdout: the receipt, when it followed a taskset to its end.
    #[track_caller]
    pub fn receipt(&self) -> Value {
        let last = self.events().pop();
        last.unwrap_or_else(|| panic!("no event on stdout: {self:#?}"))
    }

    /// Panics with all it wrote unless it ended with `code`.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }
}

/// A running process, the leader of a process group of its own.
///
/// When dropped, it and all its [family](Running::family) are killed; what it wrote is printed if
/// the test has failed.
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

    /// A way to signal it from another thread.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.handle.pid()
    }

    /// Sends SIGKILL to it, to no other process, and waits until it is gone.
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

    /// Stops it where it is (SIGSTOP), only this process.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn cont(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends a signal to this process; nothing happens if it has ended.
    pub fn signal(&self, signal: Signal) {
        self.handle.signal(signal);
    }

    /// Whether it has not ended yet.
    pub fn is_running(&self) -> bool {
        self.handle.ended().is_none()
    }

    /// Whether a signal has ended it.
    pub fn was_killed(&self) -> bool {
        self.handle
            .ended()
            .is_some_and(|end| end.signal().is_some())
    }

    /// Waits for its end; panics with all it wrote when `bound` is over.
    #[track_caller]
    pub fn wait(&self, bound: Duration) -> Finished {
        let Some(status) = within(bound, || self.handle.ended()) else {
            self.fail(&format!("it has not ended within {bound:?}"));
        };
        // A process that it has left behind may hold its output open for good.
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

    /// All it has written to stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// The first line of stdout, of those so far and to come, that `predicate` holds for. Panics
    /// with all it wrote when `bound` is over, or when it has ended without such a line.
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

    /// The JSON lines of stdout so far; panics on a whole line that is not JSON.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        json_lines(&self.stdout.text())
    }

    /// The events of this name so far.
    #[track_caller]
    pub fn events_named(&self, name: &str) -> Vec<Value> {
        named(self.events(), name)
    }

    /// The first event of this name, waiting as [`Running::wait_for_line`] does.
    #[track_caller]
    pub fn wait_for_event(&self, name: &str, bound: Duration) -> Value {
        self.wait_for_event_where(name, bound, |_| true)
    }

    /// The first event of this name that `predicate` holds for.
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

    /// Every live process that it started, directly or not, and itself.
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
