//! `--print-config`: the effective settings, each with its source.

use crate::cli::project_file::{COMMAND, FILES, File};
use crate::process::table::{self, Row};
use crate::process::url;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

/// Prints every setting, its value and where it came from.
pub(crate) fn print(command: &Command, matches: &ArgMatches, file: Option<&File>) {
    let rows = command
        .get_arguments()
        .filter(|arg| !["help", "version", "print_config"].contains(&arg.get_id().as_str()))
        .map(|arg| row(arg, matches, file))
        .collect();
    table::rows(&["flag", "value", "from"], rows);
}

fn row(arg: &Arg, matches: &ArgMatches, file: Option<&File>) -> Row {
    let id = arg.get_id().as_str();
    let words: Vec<String> = matches
        .get_raw(id)
        .into_iter()
        .flatten()
        .map(|word| word.to_string_lossy().into_owned())
        .map(|word| if id == "url" { url::shown(&word) } else { word })
        .collect();
    let from = match matches.value_source(id) {
        Some(ValueSource::CommandLine) => "command line".to_owned(),
        Some(ValueSource::EnvVariable) => format!(
            "environment: {}",
            arg.get_env().unwrap_or_default().to_string_lossy()
        ),
        Some(_) => match file {
            Some(file) if file.settings.iter().any(|(set, _)| set == arg.get_id()) => {
                file.path.display().to_string()
            }
            _ => "default".to_owned(),
        },
        None => "not set".to_owned(),
    };
    let value = match (words.as_slice(), id) {
        ([], _) => serde_json::Value::Null,
        (words, COMMAND | FILES) => words.into(),
        ([word], _) => word.as_str().into(),
        (words, _) => words.into(),
    };
    Row::new()
        .with("flag", arg.get_long().unwrap_or(id))
        .with("value", value)
        .with("from", from)
}
