//! Parsing the command line, the environment and the project file together.

use crate::cli::flags::{built, command, exclude, given};
use crate::cli::project_file::File;
use clap::ArgMatches;
use clap::Command;
use clap::Id;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use std::ffi::OsString;

/// Parses the command line of this process; `None` when it only asked for information, which has
/// been printed. `load` reads the project file, if any, given the command and the settings from the
/// command line and the environment.
///
/// Errors: those of clap, for it to print, and faults of the project file.
pub(crate) fn parse<O: clap::Parser>(
    load: impl FnOnce(&Command, &ArgMatches) -> anyhow::Result<Option<File>>,
) -> anyhow::Result<Option<O>> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let command = settled(&command::<O>(), &arguments);
    let matches = match command.clone().try_get_matches_from(&arguments) {
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            let long = before_rest(&arguments).any(|word| word == "--help");
            // A reader that closes the pipe early is not an error.
            let _ = crate::cli::help::print(asked_about(command, &arguments), long);
            return Ok(None);
        }
        Err(error) if !error.use_stderr() => {
            let _ = error.print();
            return Ok(None);
        }
        matches => matches?,
    };
    let Some(file) = load(&command, &matches)? else {
        return told(&command, &matches, None);
    };
    let command = file.apply(command, &matches);
    let matches = command.clone().try_get_matches_from(&arguments)?;
    told(&command, &matches, Some(&file))
}

fn told<O: clap::Parser>(
    command: &Command,
    matches: &ArgMatches,
    file: Option<&File>,
) -> anyhow::Result<Option<O>> {
    if matches.try_get_one("print_config").ok().flatten() == Some(&true) {
        crate::cli::effective::print(command, matches, file);
        return Ok(None);
    }
    Ok(Some(O::from_arg_matches(matches)?))
}

/// The command, or the subcommand selected by the arguments.
fn asked_about(mut command: Command, arguments: &[OsString]) -> Command {
    command.build();
    for word in before_rest(arguments).skip(1) {
        let word = word.to_string_lossy();
        if let Some(sub) = command.find_subcommand(&*word) {
            command = sub.clone();
        }
    }
    command
}

/// The words before `--`.
fn before_rest(arguments: &[OsString]) -> impl Iterator<Item = &OsString> {
    arguments.iter().take_while(|word| *word != "--")
}

/// The command without the variables that are empty or overridden by the command line.
fn settled(command: &Command, arguments: &[OsString]) -> Command {
    let command = without_empty(command.clone());
    let bare = command
        .clone()
        .mut_args(|arg| arg.env(None::<&'static str>));
    let said = bare.ignore_errors(true).try_get_matches_from(arguments);
    let given: Vec<Id> = match &said {
        Ok(said) => given(said, &[ValueSource::CommandLine]),
        Err(_) => Vec::new(),
    };
    let built = built(&command);
    let silent: Vec<Id> = command
        .get_arguments()
        .filter(|arg| {
            let id = arg.get_id();
            !given.contains(id) && given.iter().any(|other| exclude(&built, id, other))
        })
        .map(|arg| arg.get_id().clone())
        .collect();
    command.mut_args(|arg| {
        if silent.contains(arg.get_id()) {
            arg.env(None::<&'static str>)
        } else {
            arg
        }
    })
}

/// The command and its subcommands without the variables that are empty.
fn without_empty(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        if value.is_some_and(|value| value.is_empty()) {
            arg.env(None::<&'static str>)
        } else {
            arg
        }
    });
    command.mut_subcommands(without_empty)
}
