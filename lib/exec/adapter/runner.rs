//! A runner that has sent its hello: its answers, and how far they can be trusted.

use super::runner_process::{Heard, RunnerProcess};
use super::runner_protocol::{self, RunnerAnswer, RunnerRequest, RunnerResult};
use crate::exec::child::Watch;
use std::collections::VecDeque;
use std::io;
use std::time::Instant;

/// Number of remembered earlier trials: an answer about one of them is late.
const PAST: usize = 64;

/// A runner, ready for trials.
pub(crate) struct Runner {
    pub process: RunnerProcess,
    can_stop: bool,
    /// Answered trials, the newest last.
    past: VecDeque<String>,
    /// The reason why the runner should run no further trial.
    replace: Option<String>,
}

/// The outcome of waiting for a trial's answer.
pub(crate) enum Said {
    /// The complete answer.
    RunnerAnswer(Box<RunnerResult>),
    /// A line other than the answer, with the reason.
    Wrong(String),
    /// The runner writes an endless line.
    Endless,
    Late,
    Stop(String),
    Gone,
}

impl Runner {
    /// A runner on `process`, which sent `hello`.
    pub(crate) fn new(process: RunnerProcess, hello: &runner_protocol::Hello) -> Self {
        Self {
            process,
            can_stop: hello.capabilities.iter().any(|name| name == "stop"),
            past: VecDeque::new(),
            replace: None,
        }
    }

    /// Whether the runner has run a trial before.
    pub(crate) fn is_used(&self) -> bool {
        !self.past.is_empty()
    }

    /// The reason why the runner should run no further trial, if there is one.
    pub(crate) fn replace(&self) -> Option<&str> {
        self.replace.as_deref()
    }

    /// Records that the runner should run no further trial. The first reason counts.
    pub(crate) fn distrust(&mut self, why: impl Into<String>) {
        self.replace.get_or_insert(why.into());
    }

    /// Asks the runner to end `trial`.
    pub(crate) fn ask_to_stop(&mut self, trial: &str) {
        let order = RunnerRequest::Stop { trial };
        let line = serde_json::to_string(&order).unwrap_or_default();
        if !self.can_stop || self.process.say(&line).is_err() {
            self.process.terminate();
        }
    }

    /// Waits for the answer about `trial` until `until`. Late answers about earlier trials are
    /// dropped.
    pub(crate) fn listen(&mut self, trial: &str, until: Instant, watch: &mut dyn Watch) -> Said {
        loop {
            let line = match self.process.hear(until, watch) {
                Ok(Heard::Line(line)) => line,
                Ok(Heard::Late) => return Said::Late,
                Ok(Heard::Stop(why)) => return Said::Stop(why),
                Ok(Heard::Endless) => return Said::Endless,
                Ok(Heard::Gone) | Err(_) => return Said::Gone,
            };
            match runner_protocol::parse(&line) {
                Ok(RunnerAnswer::Result(outcome)) if outcome.trial == trial => {
                    return Said::RunnerAnswer(outcome);
                }
                Ok(RunnerAnswer::Result(outcome)) if self.past.contains(&outcome.trial) => {
                    self.distrust("it sent a second answer for an earlier trial");
                }
                Ok(RunnerAnswer::Result(_)) => {
                    return Said::Wrong("the runner answered for another trial".into());
                }
                _ => return Said::Wrong(format!("runner protocol error: {}", quote(&line))),
            }
        }
    }

    /// Ends `trial` after its answer.
    ///
    /// Errors: the answer is followed by another line.
    pub(crate) fn answered(&mut self, trial: &str) -> Result<(), String> {
        let more = self.process.take_unheard();
        let lines = more.split(|byte| *byte == b'\n');
        for line in lines.filter(|line| !line.is_empty()) {
            match runner_protocol::parse(line) {
                Ok(RunnerAnswer::Result(outcome)) if self.past.contains(&outcome.trial) => {
                    self.distrust("it sent a second answer for an earlier trial");
                }
                _ => return Err("the runner wrote an unexpected line after its answer".into()),
            }
        }
        if self.past.len() == PAST {
            self.past.pop_front();
        }
        self.past.push_back(trial.to_owned());
        Ok(())
    }

    /// Whether the runner has exited or written a line between two trials: if so, the next trial
    /// gets another runner.
    pub(crate) fn is_spoilt(&mut self) -> io::Result<bool> {
        let gone = self.process.glance()?;
        Ok(gone || !self.process.take_unheard().is_empty())
    }
}

/// The start of a line, for a message.
pub(crate) fn quote(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let shown: String = text.chars().take(200).collect();
    format!("'{}'", shown.escape_debug())
}
