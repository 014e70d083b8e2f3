//! The command line of every tool: the single definition from which the parser, `--help`, the man
//! page and the completions are generated.
//!
//! Two rules apply to all flags. `--some-name` can also be set by the variable `RRR_SOME_NAME`. Of
//! two settings that exclude each other, the one from the source with the higher precedence wins:
//! the command line, then the environment, then the project file.

use clap::builder::BoolishValueParser;
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command, CommandFactory, Id};

/// The command line of a tool, as used by the parser, the help and the pages.
pub fn command<O: CommandFactory>() -> Command {
    with_variables(O::command())
}

fn with_variables(command: Command) -> Command {
    // The last of two settings wins, so that a flag can be added to a command in a script.
    let command = command.args_override_self(true).mut_args(|arg| {
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
pub(crate) fn variable(long: &str) -> String {
    format!("RRR_{}", long.to_uppercase().replace('-', "_"))
}

/// The settings that come from one of these sources.
pub(crate) fn given(matches: &ArgMatches, places: &[ValueSource]) -> Vec<Id> {
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
pub(crate) fn built(command: &Command) -> Command {
    let mut command = command.clone();
    command.build();
    command
}

/// Whether two settings of a [`built`] command exclude each other.
pub(crate) fn exclude(command: &Command, one: &Id, other: &Id) -> bool {
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

/// The message of a number parser, for people.
pub(crate) fn in_plain_words(text: &str) -> String {
    let text = text
        .replace("invalid digit found in string", "it is not a whole number")
        .replace(
            "cannot parse integer from empty string",
            "it is not a whole number",
        )
        .replace("number too large to fit in target type", "it is too large")
        .replace("invalid float literal", "it is not a number")
        .replace("cannot parse float from empty string", "it is not a number");
    match text.split_once(" is not in ") {
        Some((before, range)) => {
            let (before, number) = before.rsplit_once(' ').unwrap_or(("", before));
            format!("{before} {}", limits(number, range))
        }
        None => text,
    }
}

/// A range as clap writes it, such as `1..=65535`, which does not contain the number, in words.
fn limits(number: &str, range: &str) -> String {
    let (least, most) = range.split_once("..").unwrap_or((range, ""));
    let most = most.trim_start_matches('=').parse::<i128>().ok();
    // The largest number of a type is not a limit that anyone has chosen.
    let is_type = |most: i128| [u64::MAX.into(), u32::MAX.into(), i64::MAX.into()].contains(&most);
    let number = number.parse::<i128>().unwrap_or_default();
    match most {
        Some(most) if number > most && is_type(most) => "it is too large".to_owned(),
        Some(most) if !is_type(most) => format!("it must be from {least} to {most}"),
        _ => format!("it must be at least {least}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_put_into_words() {
        for (said, words) in [
            (
                "for 'N': 0 is not in 1..=65535",
                "for 'N': it must be from 1 to 65535",
            ),
            (
                "for 'N': 0 is not in 1..=4294967295",
                "for 'N': it must be at least 1",
            ),
            (
                "for 'N': 2 is not in 3..18446744073709551615",
                "for 'N': it must be at least 3",
            ),
            (
                "for 'N': 4294967296 is not in 1..=4294967295",
                "for 'N': it is too large",
            ),
            ("for 'N': x", "for 'N': x"),
        ] {
            assert_eq!(in_plain_words(said), words);
        }
    }
}
