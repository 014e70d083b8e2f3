//! The main function that all tools share.

use crate::cli::refusal::refusal;
use crate::cli::{parse, project_file};
use crate::process::exit;
use crate::process::stderr::say;
use anyhow::Context;
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
            exit::report(tool, &refusal(tool, error).into())
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
