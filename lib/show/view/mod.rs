//! The views of a followed taskset: JSON lines of events for programs; for people a live view on a
//! terminal, or plain lines elsewhere.
//!
//! [`progress`] folds the events into a state, [`eta`] estimates the time left, [`summary`]
//! describes the end, with what [`untold`] finds in Redis where events are missing; [`json`],
//! [`plain`] and [`live`] print them. [`background`] is what the events do not show.

mod background;
mod canvas;
pub(crate) mod eta;
pub(crate) mod expectations;
mod json;
mod live;
mod messages;
pub(crate) mod note;
mod plain;
pub(crate) mod progress;
pub(crate) mod rerun;
pub(crate) mod summary;
mod untold;

pub(crate) use crate::show::view::background::Background;

use crate::protocol::key::TasksetKey;
use crate::show::follow::{self, Sink};
use crate::store::Store;
use rustix::fs::FileType;
use std::io::IsTerminal;

/// Flags of the tools that follow a taskset.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ViewArgs {
    /// Output format; auto: live on a terminal, else json
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Form::Auto, hide_short_help = true)]
    output: Form,
    /// Show only failures and the summary
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
    /// Also show files that pass, with their output
    #[arg(short, long)]
    verbose: bool,
}

impl ViewArgs {
    fn detail(&self) -> Detail {
        match (self.quiet, self.verbose) {
            (true, _) => Detail::Quiet,
            (false, true) => Detail::Verbose,
            (false, false) => Detail::Normal,
        }
    }
}

/// How much a view for people shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Failures and the summary.
    Quiet,
    #[default]
    Normal,
    /// Files that pass too.
    Verbose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Auto,
    Json,
    Live,
    Plain,
}

/// The available output streams.
#[derive(Clone, Copy, Debug, Default)]
struct Screen {
    stdout: bool,
    stderr: bool,
    dumb: bool,
    /// Another program reads stdout: no other text may appear between its lines on the terminal.
    pipe: bool,
    /// The log of a CI job: stdout and stderr go to one place, which people read.
    job_log: bool,
}

impl Screen {
    fn here() -> Self {
        let stat = rustix::fs::fstat(std::io::stdout()).ok();
        let other = rustix::fs::fstat(std::io::stderr()).ok();
        let kind = stat.map(|stat| FileType::from_raw_mode(stat.st_mode));
        let file = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
        let is_ci = std::env::var("CI").is_ok_and(|value| !["", "0", "false"].contains(&&*value));
        Self {
            stdout: std::io::stdout().is_terminal(),
            stderr: std::io::stderr().is_terminal(),
            dumb: std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb"),
            pipe: matches!(kind, Some(FileType::Fifo | FileType::Socket)),
            job_log: is_ci && stat.map(file) == other.map(file),
        }
    }
}

/// The choice whether stdout gets the events, and of the view for people.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    json: bool,
    people: Option<Form>,
    /// Whether the view is on stdout.
    to_stdout: bool,
}

/// Chooses the outputs. Events go to stdout unless it is a terminal or the log of a CI job. stderr
/// shows the run to people unless stdout is a pipe, whose reader writes to the same terminal. Plain
/// lines that were asked for are data: they go to stdout.
fn plan(form: Form, screen: &Screen) -> Plan {
    let moving = screen.stderr && !screen.dumb;
    let best = if moving { Form::Live } else { Form::Plain };
    let (json, people) = match form {
        Form::Json => (true, None),
        Form::Plain => (false, Some(Form::Plain)),
        Form::Live => (!screen.stdout, Some(best)),
        Form::Auto if screen.job_log => (false, Some(Form::Plain)),
        Form::Auto if screen.stdout => (false, Some(best)),
        Form::Auto if screen.stderr && !screen.pipe => (true, Some(best)),
        Form::Auto => (true, None),
    };
    let to_stdout = form == Form::Plain;
    Plan {
        json,
        people,
        to_stdout,
    }
}

/// The view for the current output streams.
pub(crate) fn open(
    store: &mut Store,
    taskset: &TasksetKey,
    choice: &ViewArgs,
    background: Background,
) -> anyhow::Result<Box<dyn Sink>> {
    let plan = plan(choice.output, &Screen::here());
    let json = json::Json::new(taskset, background.lasting);
    let Some(form) = plan.people else {
        return Ok(Box::new(json));
    };
    let record = follow::load(store, taskset)?;
    let mut progress = progress::Progress::load(store, taskset, &record)?;
    progress.background = background;
    progress.detail = choice.detail();
    let json = plan.json.then_some(json);
    Ok(match form {
        Form::Live => Box::new(live::Live::new(progress, json)),
        _ => Box::new(plain::Plain::new(progress, json, plan.to_stdout)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(stdout: bool, stderr: bool, pipe: bool) -> Screen {
        Screen {
            stdout,
            stderr,
            pipe,
            ..Screen::default()
        }
    }

    #[test]
    fn a_pipe_gets_the_events_and_nothing_else() {
        let alone = Plan {
            json: true,
            people: None,
            to_stdout: false,
        };
        assert_eq!(plan(Form::Auto, &screen(false, true, true)), alone);
        assert_eq!(plan(Form::Auto, &screen(false, false, true)), alone);
        assert_eq!(plan(Form::Json, &screen(true, true, false)), alone);
    }

    #[test]
    fn a_person_at_a_terminal_sees_no_json() {
        let plan_of = |screen| plan(Form::Auto, &screen);
        let live = plan_of(screen(true, true, false));
        assert_eq!((live.json, live.people), (false, Some(Form::Live)));
        let plain = plan_of(screen(true, false, false));
        assert_eq!((plain.json, plain.people), (false, Some(Form::Plain)));
        let dumb = plan_of(Screen {
            dumb: true,
            ..screen(true, true, false)
        });
        assert_eq!(dumb.people, Some(Form::Plain));
    }

    #[test]
    fn the_log_of_a_ci_job_gets_plain_lines_a_pipe_the_events() {
        let log = |form, job_log| {
            let screen = Screen {
                job_log,
                ..screen(false, false, true)
            };
            plan(form, &screen)
        };
        let auto = log(Form::Auto, true);
        assert_eq!(
            (auto.json, auto.people, auto.to_stdout),
            (false, Some(Form::Plain), false)
        );
        assert!(log(Form::Auto, false).json);
        assert!(log(Form::Json, true).json);
        let asked = log(Form::Plain, false);
        assert_eq!(
            (asked.json, asked.people, asked.to_stdout),
            (false, Some(Form::Plain), true)
        );
    }

    #[test]
    fn a_file_gets_the_events_while_the_terminal_shows_the_run() {
        let plan = plan(Form::Auto, &screen(false, true, false));
        assert_eq!((plan.json, plan.people), (true, Some(Form::Live)));
    }
}
