//! The adapter for runners: a process that is started once and runs many spec files, told by lines
//! (see [`wire`](super::wire)). The deadlines are kept here, outside of it.

use super::resident::{Heard, Resident};
use super::wire::{self, Answer, VERSIONS};
use super::{Adapter, GRACE, Made, Order, Place};
use crate::child::{Captured, Exit, Watch};
use crate::say::say;
use crate::suite_end::SuiteEnd;
use crate::{cli, plain, trial};
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs spec files by a runner.
pub struct Serve {
    place: Place,
    /// How the runner is started.
    command: Box<dyn Fn() -> Command>,
    patience: Patience,
    memory: Option<u64>,
    runner: Option<Runner>,
}

/// How long a runner may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until it says hello.
    pub boot: Duration,
    /// From the end of its input until it has left.
    pub end: Duration,
}

struct Runner {
    process: Resident,
    can_stop: bool,
    /// It asked to be replaced before the next trial.
    is_last: bool,
}

impl Serve {
    /// A runner that `command` gives each time that one is started. It and each process below it may
    /// have `memory` bytes of their own.
    pub fn new(
        place: Place,
        patience: Patience,
        memory: Option<u64>,
        command: impl Fn() -> Command + 'static,
    ) -> anyhow::Result<Self> {
        crate::child::reap::become_subreaper()?;
        Ok(Self {
            place,
            command: Box::new(command),
            patience,
            memory,
            runner: None,
        })
    }

    fn start(&mut self, watch: &mut dyn Watch) -> anyhow::Result<()> {
        let mut command = (self.command)();
        command.envs(self.place.variables());
        let program = command.get_program().to_string_lossy().into_owned();
        let mut process = Resident::start(&mut command, self.place.cgroup()).map_err(|error| {
            cli::usage(format!("cannot run '{program}': {error}"))
                .hint("install it on this worker, or name it by its path")
        })?;
        if let Some(bytes) = self.memory {
            process.limit_memory(bytes)?;
        }
        let hello = serde_json::to_string(&wire::Order::Hello { versions: VERSIONS })?;
        let said = process
            .say(&hello)
            .and_then(|()| process.hear(Instant::now() + self.patience.boot, watch));
        let answer = match said {
            Ok(Heard::Line(line)) => match serde_json::from_slice(&line) {
                Ok(Answer::Hello(hello)) if VERSIONS.contains(&hello.version) => Ok(hello),
                Ok(Answer::Hello(hello)) => Err(format!(
                    "it speaks version {} of the runner protocol, not {VERSIONS:?}",
                    hello.version
                )),
                _ => Err(format!("it did not say hello but {}", quote(&line))),
            },
            Ok(Heard::Late) => Err(format!(
                "no hello within {} s",
                self.patience.boot.as_secs()
            )),
            Ok(Heard::Stop(why)) => Err(why),
            Ok(Heard::Endless) => Err("it did not say hello, but wrote without an end".into()),
            Ok(Heard::Gone) | Err(_) => Err(String::new()),
        };
        match answer {
            Ok(hello) => {
                process.keep_household();
                log(process.take_output(true));
                self.runner = Some(Runner {
                    process,
                    can_stop: hello.capabilities.iter().any(|name| name == "stop"),
                    is_last: false,
                });
                Ok(())
            }
            Err(why) => {
                let exit = process.kill();
                let why = if why.is_empty() {
                    exit.to_string()
                } else {
                    why
                };
                let output = process.take_output(true);
                let last = last_words(&output);
                log(output);
                let message = format!("the runner '{program}' does not start: {why}{last}");
                Err(cli::usage(message).into())
            }
        }
    }

    /// Has the runner make the trial; how it went is in the result, and whether it can go on.
    fn try_run(
        &mut self,
        order: &Order,
        variables: Vec<(&str, String)>,
        watch: &mut dyn Watch,
    ) -> (trial::Result, bool) {
        let Some(runner) = &mut self.runner else {
            return (trial::Result::error("rrr: there is no runner\n"), false);
        };
        let trial = order.job.trial.as_str();
        let line = serde_json::to_string(&wire::Order::Run {
            trial,
            spec_file: &order.job.spec_file,
            attempt: order.job.attempt,
            soft_timeout_sec: order.soft.as_secs(),
            hard_timeout_sec: order.hard.as_secs(),
            env: variables.into_iter().collect(),
        })
        .unwrap_or_default();
        let began = Instant::now();
        let mut end = End::Answered;
        let heard = match runner.process.say(&line) {
            Ok(()) => runner.process.hear(began + order.soft, watch),
            Err(error) => Err(error),
        };
        let heard = match heard {
            Ok(Heard::Late) => {
                end = End::Timeout;
                runner.ask_to_stop(trial);
                let hard = began + order.hard.max(order.soft + GRACE);
                match runner.process.hear(hard, watch) {
                    // It has been asked already, and nobody waits for its hard timeout.
                    Ok(Heard::Stop(_)) => {
                        let soon = hard.min(Instant::now() + GRACE);
                        runner.process.hear(soon, &mut ())
                    }
                    other => other,
                }
            }
            Ok(Heard::Stop(why)) => {
                end = End::Stopped(why);
                runner.ask_to_stop(trial);
                runner.process.hear(Instant::now() + GRACE, &mut ())
            }
            other => other,
        };
        let mut result = trial::Result::error("");
        let trouble = match heard {
            Ok(Heard::Line(line)) => match serde_json::from_slice(&line) {
                Ok(Answer::Result(outcome)) if outcome.trial == trial => {
                    runner.is_last = outcome.last;
                    outcome
                        .fill(&mut result)
                        .err()
                        .map(|why| format!("the runner contradicts itself: {why}"))
                        .or_else(|| {
                            runner
                                .process
                                .has_unheard()
                                .then(|| "the runner says more than it was asked".into())
                        })
                }
                Ok(Answer::Result(_)) => Some("the runner answers for another trial".into()),
                _ => Some(format!("the runner talks nonsense: {}", quote(&line))),
            },
            Ok(Heard::Late) => Some("the runner did not answer in time, and was killed".into()),
            Ok(Heard::Endless) => Some("the runner writes a line without an end".into()),
            Ok(Heard::Gone | Heard::Stop(_)) | Err(_) => Some(String::new()),
        };
        result.duration_ms = began.elapsed().as_millis() as u64;
        let leftovers = match &trouble {
            None => runner.process.sweep(),
            Some(_) => Vec::new(),
        };
        let trouble = trouble.map(|why| {
            let exit = runner.process.kill();
            match exit {
                Exit::Code(code) if why.is_empty() => result.exit_code = Some(code),
                Exit::Signal(signal) if why.is_empty() => result.signal = Some(signal),
                _ => {}
            }
            if why.is_empty() {
                format!("the runner died in the middle of the trial: {exit}")
            } else {
                why
            }
        });
        let [stdout, stderr] = runner
            .process
            .take_output(trouble.is_some() || !leftovers.is_empty());
        result.stdout = stdout.bytes;
        let notes = std::mem::replace(&mut result.stderr, stderr.bytes);
        result.append(&notes);
        result.leave_behind(&leftovers);
        if let Some(why) = &trouble {
            result.status = trial::Status::Error;
            result.note(why);
        }
        match end {
            End::Answered => {}
            End::Timeout => result.status = trial::Status::Timeout,
            End::Stopped(why) => {
                result.status = trial::Status::Error;
                result.stopped = Some(why);
            }
        }
        (result, trouble.is_none())
    }
}

enum End {
    Answered,
    Timeout,
    Stopped(String),
}

impl Runner {
    fn ask_to_stop(&mut self, trial: &str) {
        let order = wire::Order::Stop { trial };
        let line = serde_json::to_string(&order).unwrap_or_default();
        if !self.can_stop || self.process.say(&line).is_err() {
            self.process.terminate();
        }
    }
}

impl Adapter for Serve {
    fn prepare(&mut self, watch: &mut dyn Watch) -> anyhow::Result<()> {
        match self.runner {
            Some(_) => Ok(()),
            None => self.start(watch),
        }
    }

    fn is_ready(&self) -> bool {
        self.runner.as_ref().is_some_and(|runner| !runner.is_last)
    }

    fn run(&mut self, order: &Order, watch: &mut dyn Watch) -> Made {
        let (mut result, can_go_on) = match self.place.begin(order) {
            Ok(variables) => self.try_run(order, variables, watch),
            Err(why) => (trial::Result::error(format!("rrr: {why}\n")), true),
        };
        if !can_go_on {
            self.runner = None;
        }
        self.place.end(order, &mut result);
        Made {
            result,
            hard_timeout: false,
        }
    }

    fn has_end(&self) -> bool {
        true
    }

    fn is_running(&self) -> bool {
        self.runner.is_some()
    }

    fn end(&mut self, haste: Option<Duration>, watch: &mut dyn Watch) -> Option<SuiteEnd> {
        let patience = haste.unwrap_or(self.patience.end);
        let left = self.runner.take()?.process.dismiss(patience, watch);
        let last = last_words(&left.output);
        log(left.output);
        let end = match (left.in_time, left.exit) {
            (true, Exit::Code(0)) => return Some(SuiteEnd::Good),
            (true, exit) => SuiteEnd::Bad(format!("the end of the suite failed: {exit}{last}")),
            (false, _) => match left.stopped {
                Some(why) => {
                    SuiteEnd::BrokenOff(format!("the end of the suite was broken off: {why}"))
                }
                None => SuiteEnd::Bad(format!(
                    "the end of the suite took longer than {} s (--end-timeout){last}",
                    patience.as_secs()
                )),
            },
        };
        if let SuiteEnd::Bad(why) | SuiteEnd::BrokenOff(why) = &end {
            say!("rrr-slave: {why}");
        }
        Some(end)
    }
}

/// The last words of what it printed: those on stderr, unless only stdout says something.
fn last_words(output: &[Captured; 2]) -> String {
    let mut words = output.iter().rev().map(|it| plain::last_words(&it.bytes));
    words.find(|words| !words.is_empty()).unwrap_or_default()
}

/// What a runner prints outside of trials goes where the slave's own messages go.
fn log(output: [Captured; 2]) {
    for captured in output {
        let _ = std::io::stderr().write_all(&captured.bytes);
    }
}

/// The start of a line, for a message.
fn quote(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let shown: String = text.chars().take(200).collect();
    format!("'{}'", shown.escape_debug())
}
