//! The command line of every tool: one definition from which the parser, `--help`, the manual page
//! and the completions come.
//!
//! Two rules hold for all flags. `--some-name` also reads the variable `RRR_SOME_NAME`. Of two
//! settings that exclude each other, the one from the nearer place wins: the command line, then the
//! environment, then the project file.

use crate::config::File;
use clap::builder::BoolishValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command, CommandFactory, Id};
use std::ffi::OsString;

/// The command line of a tool, as all see it.
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

/// What reads the project file: given the command and what the command line and the environment
/// say, the file that goes with them, if any.
type Load = fn(&Command, &ArgMatches) -> anyhow::Result<Option<File>>;

/// Parses the command line of this process; `None` when it only wanted to be told something, which
/// has been printed.
///
/// Errors: clap's own, to be printed by it; what is wrong with the project file.
pub fn parse<O: clap::Parser>(load: Load) -> anyhow::Result<Option<O>> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let command = settled(&command::<O>(), &arguments);
    let matches = match command.clone().try_get_matches_from(&arguments) {
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            let long = before_rest(&arguments).any(|word| word == "--help");
            // A reader that has seen enough is no error.
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

/// The command, or the one of its subcommands that the words name.
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

/// The command, less the variables that are empty or that the command line overrules.
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

/// The command, and what is below it, less the variables that are empty.
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

/// The settings that come from one of these places.
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

/// The command with what it derives from its definition: only then does a group know its members.
pub fn built(command: &Command) -> Command {
    let mut command = command.clone();
    command.build();
    command
}

/// Whether two settings of a [`built`] command cannot both stand.
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
