//! The adapter for runners: processes that are started once and run many spec files, controlled by
//! lines (see [`runner_protocol`](super::runner_protocol)). The deadlines are kept here, outside
//! the runner.

use super::runner::{Runner, Said, quote};
use super::runner_process::{Heard, RunnerProcess};
use super::runner_protocol::{self, RunnerAnswer, RunnerRequest, RunnerResult, VERSIONS};
use super::{Adapter, CAPTURE, Finished, GRACE, TrialOrder, Workspace};
use crate::exec::child::capture::Capture;
use crate::exec::child::{Captured, Exit, Watch};
use crate::process::stderr::say;
use crate::process::{exit, text};
use crate::protocol::result::{SuiteEnd, TrialResult};
use crate::protocol::status::TrialStatus;
use std::collections::HashSet;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs spec files by a runner.
pub(crate) struct Serve {
    place: Workspace,
    /// The runner's command.
    command: Box<dyn Fn() -> Command>,
    patience: Patience,
    memory: Option<u64>,
    runner: Option<Runner>,
    /// The replacement reasons already reported.
    told: HashSet<String>,
}

/// Time limits of a runner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// From the start until its hello.
    pub boot: Duration,
    /// From the end of its input until its exit.
    pub end: Duration,
}

/// Maximum length of a replacement reason in characters, and maximum number of remembered reasons.
const REASON: usize = 500;
const REASONS: usize = 100;
/// The reason for replacing a runner that cannot have begun the trial.
const ENDED: &str = "it wrote a line or exited between two trials";

impl Serve {
    /// An adapter that starts each runner by `command`. A runner and each process below it may have
    /// `memory` bytes of private memory.
    pub(crate) fn new(
        place: Workspace,
        patience: Patience,
        memory: Option<u64>,
        command: impl Fn() -> Command + 'static,
    ) -> anyhow::Result<Self> {
        crate::exec::child::reap::become_subreaper()?;
        Ok(Self {
            place,
            command: Box::new(command),
            patience,
            memory,
            runner: None,
            told: HashSet::new(),
        })
    }

    fn start(&mut self, watch: &mut dyn Watch) -> anyhow::Result<()> {
        let mut command = (self.command)();
        command.envs(self.place.variables());
        let program = command.get_program().to_string_lossy().into_owned();
        let mut process =
            RunnerProcess::start(&mut command, self.place.cgroup()).map_err(|error| {
                exit::usage(format!("cannot run '{program}': {error}"))
                    .hint("install it on this worker, or give its full path")
            })?;
        if let Some(bytes) = self.memory {
            process.limit_memory(bytes)?;
        }
        let hello = serde_json::to_string(&RunnerRequest::Hello { versions: VERSIONS })?;
        let said = process
            .say(&hello)
            .and_then(|()| process.hear(Instant::now() + self.patience.boot, watch));
        let answer = match said {
            Ok(Heard::Line(line)) => match runner_protocol::parse(&line) {
                Ok(RunnerAnswer::Hello(hello)) if VERSIONS.contains(&hello.version) => Ok(hello),
                Ok(RunnerAnswer::Hello(hello)) => Err(format!(
                    "runner protocol version {} is not supported (supported: {VERSIONS:?})",
                    hello.version
                )),
                _ => Err(format!("expected hello, got {}", quote(&line))),
            },
            Ok(Heard::Late) => Err(format!(
                "no hello within {} s",
                self.patience.boot.as_secs()
            )),
            Ok(Heard::Stop(why)) => Err(why),
            Ok(Heard::Endless) => Err("instead of hello it wrote an endless line".into()),
            Ok(Heard::Gone) | Err(_) => Err(String::new()),
        };
        match answer {
            Ok(hello) => {
                process.keep_household();
                log(process.take_output(true));
                self.runner = Some(Runner::new(process, &hello));
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
                Err(exit::usage(message).into())
            }
        }
    }

    /// Runs the trial in the runner; the result records its outcome.
    fn try_run(
        &mut self,
        order: &TrialOrder,
        variables: &[(&str, String)],
        watch: &mut dyn Watch,
    ) -> (TrialResult, Then) {
        let Some(runner) = &mut self.runner else {
            return (
                TrialResult::error("rrr: there is no runner\n"),
                Then::Broken,
            );
        };
        let began = Instant::now();
        let (said, end) = converse(runner, order, variables, watch);
        let mut result = TrialResult::error("");
        let (trouble, mut then) = hear(runner, said, &end, &mut result);
        result.duration_ms = began.elapsed().as_millis() as u64;
        let leftovers = match &trouble {
            None => runner.process.sweep(),
            Some(_) => Vec::new(),
        };
        let trouble = trouble.map(|why| end_in_trouble(runner, why, &mut result));
        let [stdout, stderr] = runner
            .process
            .take_output(trouble.is_some() || !leftovers.is_empty());
        result.stdout = stdout.bytes;
        let notes = std::mem::replace(&mut result.stderr, stderr.bytes);
        append_bounded(&mut result, &notes);
        result.leave_behind(&leftovers);
        match &trouble {
            Some(why) => {
                result.status = TrialStatus::Error;
                result.note(why);
            }
            None => then = Then::GoOn,
        }
        match end {
            End::Answered => {}
            End::Timeout => result.status = TrialStatus::Timeout,
            End::Stopped(why) => {
                result.status = TrialStatus::Error;
                result.stopped = Some(why);
            }
        }
        (result, then)
    }

    /// Runs the trial, with a new runner if this one is unfit.
    fn make(
        &mut self,
        order: &TrialOrder,
        variables: &[(&str, String)],
        watch: &mut dyn Watch,
    ) -> TrialResult {
        let spoilt = |runner: &mut Runner| runner.is_spoilt().unwrap_or(true);
        if self.runner.as_mut().is_some_and(spoilt)
            && let Err(error) = self.start_again(ENDED, watch)
        {
            return no_runner(&error);
        }
        let (result, then) = self.try_run(order, variables, watch);
        let result = match then {
            Then::GoOn => return result,
            Then::Broken => result,
            Then::Again(why) => {
                for printed in [&result.stdout, &result.stderr] {
                    let _ = std::io::stderr().write_all(printed);
                }
                match self.start_again(&why, watch) {
                    Err(error) => no_runner(&error),
                    Ok(()) => match self.try_run(order, variables, watch) {
                        (result, Then::GoOn) => return result,
                        (result, _) => result,
                    },
                }
            }
        };
        self.runner = None;
        result
    }

    /// Kills the runner and starts another one during a task.
    ///
    /// Errors: the new runner does not start.
    fn start_again(&mut self, why: &str, watch: &mut dyn Watch) -> anyhow::Result<()> {
        self.tell_once(why);
        self.runner = None;
        self.start(watch)
    }

    /// Reports why a runner is replaced, each reason once.
    fn tell_once(&mut self, why: &str) {
        let why: String = why.chars().take(REASON).collect();
        if self.told.len() < REASONS && self.told.insert(why.clone()) {
            say!("rrr-slave: the runner is replaced: {why} (reported once)");
        }
    }
}

/// The result of a trial for which no runner starts.
fn no_runner(error: &anyhow::Error) -> TrialResult {
    TrialResult::error(format!("rrr: {error:#}\n"))
}

/// Sends the order and waits for its answer within the trial's deadlines.
fn converse(
    runner: &mut Runner,
    order: &TrialOrder,
    variables: &[(&str, String)],
    watch: &mut dyn Watch,
) -> (Said, End) {
    let trial = order.job.trial.as_str();
    let line = serde_json::to_string(&RunnerRequest::Run {
        trial,
        spec_file: &order.job.spec_file,
        attempt: order.job.attempt,
        soft_timeout_sec: order.soft.as_secs(),
        hard_timeout_sec: order.hard.as_secs(),
        env: variables.iter().cloned().collect(),
    })
    .unwrap_or_default();
    let began = Instant::now();
    if runner.process.say(&line).is_err() {
        return (Said::Gone, End::Answered);
    }
    match runner.listen(trial, began + order.soft, watch) {
        Said::Late => {
            runner.ask_to_stop(trial);
            let hard = began + order.hard.max(order.soft + GRACE);
            let said = match runner.listen(trial, hard, watch) {
                // The runner has already been asked to end, so its hard timeout no longer matters.
                Said::Stop(_) => {
                    let soon = hard.min(Instant::now() + GRACE);
                    runner.listen(trial, soon, &mut ())
                }
                other => other,
            };
            (said, End::Timeout)
        }
        Said::Stop(why) => {
            runner.ask_to_stop(trial);
            let said = runner.listen(trial, Instant::now() + GRACE, &mut ());
            (said, End::Stopped(why))
        }
        other => (other, End::Answered),
    }
}

/// Takes what a runner said in a trial: the reason why it cannot go on, if there is one (empty if
/// its exit will show it), and the next step in that case.
fn hear(
    runner: &mut Runner,
    said: Said,
    end: &End,
    result: &mut TrialResult,
) -> (Option<String>, Then) {
    match said {
        Said::RunnerAnswer(outcome) => (take_answer(runner, *outcome, result).err(), Then::Broken),
        // The line may belong to an earlier trial: another runner will show that.
        Said::Wrong(why) if runner.is_used() && matches!(end, End::Answered) => {
            (Some(why.clone()), Then::Again(why))
        }
        Said::Wrong(why) => (Some(why), Then::Broken),
        Said::Late => {
            let why = "the runner did not answer in time, and was killed";
            (Some(why.into()), Then::Broken)
        }
        Said::Endless => (
            Some("the runner wrote an endless line".into()),
            Then::Broken,
        ),
        Said::Gone if runner.is_used() && runner.process.has_unread() => {
            (Some(String::new()), Then::Again(ENDED.into()))
        }
        Said::Gone | Said::Stop(_) => (Some(String::new()), Then::Broken),
    }
}

/// Applies the answer to the result.
///
/// Errors: the reason why the answer cannot be trusted.
fn take_answer(
    runner: &mut Runner,
    mut outcome: RunnerResult,
    result: &mut TrialResult,
) -> Result<(), String> {
    let trial = outcome.trial.clone();
    let replace = outcome.replace();
    outcome
        .fill(result)
        .map_err(|why| format!("the runner contradicts itself: {why}"))?;
    runner.answered(&trial)?;
    if let Some(why) = replace {
        runner.distrust(why);
    }
    Ok(())
}

/// Kills the runner. Returns `why`, or how the runner ended if there is no other reason.
fn end_in_trouble(runner: &mut Runner, why: String, result: &mut TrialResult) -> String {
    let exit = runner.process.kill();
    if !why.is_empty() {
        return why;
    }
    match exit {
        Exit::Code(code) => result.exit_code = Some(code),
        Exit::Signal(signal) => result.signal = Some(signal),
    }
    format!("the runner died in the middle of the trial: {exit}")
}

/// Adds the runner's notes to stderr, up to the size limit of an output.
fn append_bounded(result: &mut TrialResult, notes: &[u8]) {
    let whole = result.stderr.len() + notes.len();
    result.append(notes);
    if whole > CAPTURE {
        let mut bounded = Capture::new(CAPTURE);
        bounded.push(&result.stderr);
        result.stderr = bounded.finish().bytes;
    }
}

enum End {
    Answered,
    Timeout,
    Stopped(String),
}

/// The next step for a runner after a trial.
enum Then {
    GoOn,
    /// The runner has been killed.
    Broken,
    /// The runner has been killed, perhaps for the fault of an earlier trial: this is the reason.
    Again(String),
}

impl Adapter for Serve {
    fn prepare(&mut self, watch: &mut dyn Watch) -> anyhow::Result<()> {
        match self.runner {
            Some(_) => Ok(()),
            None => self.start(watch),
        }
    }

    fn is_ready(&self) -> bool {
        let fit = |runner: &Runner| runner.replace().is_none();
        self.runner.as_ref().is_some_and(fit)
    }

    fn run(&mut self, order: &TrialOrder, watch: &mut dyn Watch) -> Finished {
        let mut result = match self.place.begin(order) {
            Ok(variables) => self.make(order, &variables, watch),
            Err(why) => TrialResult::error(format!("rrr: {why}\n")),
        };
        self.place.end(order, &mut result);
        Finished {
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
        let runner = self.runner.take()?;
        if let Some(why) = runner.replace() {
            self.tell_once(why);
        }
        let left = runner.process.dismiss(patience, watch);
        let last = last_words(&left.output);
        log(left.output);
        let end = match (left.in_time, left.exit) {
            (true, Exit::Code(0)) => return Some(SuiteEnd::Good),
            (true, exit) => SuiteEnd::Bad(format!("the end of the suite failed: {exit}{last}")),
            (false, _) => match left.stopped {
                Some(why) => {
                    SuiteEnd::BrokenOff(format!("the end of the suite was interrupted: {why}"))
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

/// The last words of the output: those on stderr, or on stdout if stderr has none.
fn last_words(output: &[Captured; 2]) -> String {
    let mut words = output.iter().rev().map(|it| text::last_words(&it.bytes));
    words.find(|words| !words.is_empty()).unwrap_or_default()
}

/// Writes a runner's output outside of trials to the slave's own stderr.
fn log(output: [Captured; 2]) {
    for captured in output {
        let _ = std::io::stderr().write_all(&captured.bytes);
    }
}
