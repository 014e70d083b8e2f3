//! The command line of every tool: the single definition from which the parser, `--help`, the man
//! page and the completions are generated.
//!
//! Two rules apply to all flags. `--some-name` can also be set by the variable `RRR_SOME_NAME`. Of
//! two settings that exclude each other, the one from the source with the higher precedence wins:
//! the command line, then the environment, then the project file.

use crate::config::File;
use clap::builder::BoolishValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command, CommandFactory, Id};
use std::ffi::OsString;

/// The command line of a tool, as used by the parser, the help and the pages.
pub fn command<O: CommandFactory>() -> Command {
    with_variables(O::command())
}

fn with_variables(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let Some(long) = arg.get_long() else {
            return arg;
        };
        let variable = variable(long);
        let arg = match arg.get_env() {
            None => arg.env(variable),
            Some(_) => arg,
        };
        match arg.get_action() {
            ArgAction::SetTrue => arg.value_parser(BoolishValueParser::new()),
            _ => arg,
        }
    });
    command.mut_subcommands(with_variables)
}

/// The variable of the flag `--long`.
fn variable(long: &str) -> String {
    format!("RRR_{}", long.to_uppercase().replace('-', "_"))
}

/// A function that reads the project file, if any, given the command and the settings from the
/// command line and the environment.
type Load = fn(&Command, &ArgMatches) -> anyhow::Result<Option<File>>;

/// Parses the command line of this process; `None` when it only asked for information, which has
/// been printed.
///
/// Errors: those of clap, for it to print, and faults of the project file.
pub fn parse<O: clap::Parser>(load: Load) -> anyhow::Result<Option<O>> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let command = settled(&command::<O>(), &arguments);
    let matches = match command.clone().try_get_matches_from(&arguments) {
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            let long = before_rest(&arguments).any(|word| word == "--help");
            // A reader that closes the pipe early is not an error.
            let _ = crate::help::print(asked_about(command, &arguments), long);
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
        crate::config::print(command, matches, file);
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

/// The settings that come from one of these sources.
pub fn given(matches: &ArgMatches, places: &[ValueSource]) -> Vec<Id> {
    let from = |id: &&Id| {
        let known = matches.try_contains_id(id.as_str()).is_ok();
        known
            && matches
                .value_source(id.as_str())
                .is_some_and(|place| places.contains(&place))
    };
    matches.ids().filter(from).cloned().collect()
}

/// The command with its derived definitions: only then does a group know its members.
pub fn built(command: &Command) -> Command {
    let mut command = command.clone();
    command.build();
    command
}

/// Whether two settings of a [`built`] command exclude each other.
pub fn exclude(command: &Command, one: &Id, other: &Id) -> bool {
    let find = |id: &Id| command.get_arguments().find(|arg| arg.get_id() == id);
    let says = |one: &Id, other: &Id| {
        find(one).is_some_and(|arg| {
            let excluded = command.get_arg_conflicts_with(arg);
            excluded.iter().any(|arg| arg.get_id() == other)
        })
    };
    let alternatives = command.get_groups().any(|group| {
        let ids: Vec<&Id> = group.get_args().collect();
        !group.clone().is_multiple() && ids.contains(&one) && ids.contains(&other)
    });
    alternatives || says(one, other) || says(other, one)
}
