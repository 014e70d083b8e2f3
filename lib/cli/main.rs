//! The main function that all tools share.

use crate::cli::flags::{self, in_plain_words};
use crate::cli::{parse, project_file};
use crate::process::exit::{self, Failure, usage};
use crate::process::stderr::say;
use anyhow::Context;
use clap::error::{ContextKind, ContextValue};
use std::process::ExitCode;

/// Runs a tool: parses its command line, and maps the result to an exit code.
pub fn main<O: clap::Parser>(tool: &'static str, run: fn(O) -> anyhow::Result<u8>) -> ExitCode {
    conclude(
        tool,
        parse::parse(|_, _| Ok(None)).and_then(|o| start(run, o)),
    )
}

/// Runs a tool that also takes settings from the project file. `readers` are the commands of all
/// such tools: the file may set any of their flags.
pub fn main_with_file<O: clap::Parser>(
    tool: &'static str,
    run: fn(O) -> anyhow::Result<u8>,
    readers: fn() -> Vec<clap::Command>,
) -> ExitCode {
    let load = |command: &_, matches: &_| project_file::load(command, matches, &readers());
    conclude(tool, parse::parse(load).and_then(|o| start(run, o)))
}

/// Calls `run`, unless parsing the options already answered the request.
fn start<O>(run: fn(O) -> anyhow::Result<u8>, options: Option<O>) -> anyhow::Result<u8> {
    let Some(options) = options else {
        return Ok(exit::OK);
    };
    crate::process::signals::listen().context("cannot listen for signals")?;
    run(options)
}

fn conclude(tool: &str, outcome: anyhow::Result<u8>) -> ExitCode {
    let code = outcome.unwrap_or_else(|error| {
        if let Some(error) = error.downcast_ref::<clap::Error>() {
            exit::report(tool, &refused(tool, error).into())
        } else if error
            .downcast_ref::<crate::store::error::Stopped>()
            .is_some()
        {
            crate::process::signals::signal_code()
        } else {
            exit::report(tool, &error)
        }
    });
    match crate::process::stdout::trouble() {
        Some(why) => {
            say!("{tool}: cannot write to stdout: {why}");
            ExitCode::from(exit::INTERNAL)
        }
        None => ExitCode::from(code),
    }
}

/// A parser error, in the format of all other failures.
fn refused(tool: &str, error: &clap::Error) -> Failure {
    let text = error.to_string();
    let said = text.lines().take_while(|line| !line.starts_with("Usage: "));
    let (tips, said): (Vec<&str>, Vec<&str>) = said
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        .partition(|line| line.starts_with("tip: "));
    let mut said = in_plain_words(&said.join(" "));
    if let Some(variable) = variable_of(error) {
        said += &format!(" (set by the variable {variable})");
    }
    let tip = tips.first().map(|tip| tip.trim_start_matches("tip: "));
    let hint = match tip.filter(|tip| !tip.starts_with("to pass ")) {
        Some(tip) => tip.to_owned(),
        None if said.contains(" is not a taskset key") => {
            format!("rrr-list tasksets shows the keys; {tool} --help shows the flags")
        }
        None => format!("{tool} --help shows its flags"),
    };
    usage(said.trim_start_matches("error: ")).hint(hint)
}

/// The variable that set the invalid value, unless the command line did.
fn variable_of(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let long = flag.strip_prefix("--")?.split(['=', ' ']).next()?;
    let variable = flags::variable(long);
    std::env::var_os(&variable)?;
    let (flag, with_value) = (format!("--{long}"), format!("--{long}="));
    let mut words = std::env::args();
    let is_given = words.any(|word| word == flag || word.starts_with(&with_value));
    (!is_given).then_some(variable)
}
