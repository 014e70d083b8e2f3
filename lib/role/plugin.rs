//! rrr and cargo-rrr: `rrr submit` runs `rrr-submit`, found on PATH or beside this program.

use crate::process::stderr::say;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(
        std::env::current_exe()
            .ok()
            .and_then(|exe| exe.parent().map(Path::to_owned)),
    );
    folders
}

fn list() -> Vec<String> {
    let mut names: Vec<String> = folders()
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .flatten()
        .filter_map(|entry| {
            entry
                .file_name()
                .into_string()
                .ok()?
                .strip_prefix("rrr-")
                .map(str::to_owned)
        })
        .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The command line, for its help, its man page and its completions; clap does not parse it, since
/// everything after the tool's name belongs to the tool.
pub(crate) fn command() -> clap::Command {
    clap::Command::new("rrr")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Runs the tools of rrr: 'rrr submit' is rrr-submit")
        .arg(
            clap::Arg::new("list")
                .long("list")
                .action(clap::ArgAction::SetTrue)
                .help("List the tools that are installed"),
        )
        .arg(
            clap::Arg::new("tool")
                .value_name("TOOL")
                .help("Tool to run, with its arguments")
                .num_args(1..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true),
        )
}

/// Runs the tool named by the first argument with the remaining ones.
pub fn main() -> ExitCode {
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    // For `cargo rrr …` cargo passes the name of this program first.
    if arguments.first().is_some_and(|first| first == "rrr") {
        arguments.remove(0);
    }
    let first = arguments
        .first()
        .map(|a| a.to_string_lossy().into_owned())
        .unwrap_or_default();
    match first.as_str() {
        "--list" => {
            list()
                .iter()
                .for_each(|name| crate::process::stdout::line(name));
            return ExitCode::SUCCESS;
        }
        "-V" | "--version" => {
            crate::process::stdout::line(concat!("rrr ", env!("CARGO_PKG_VERSION")));
            return ExitCode::SUCCESS;
        }
        "-h" | "--help" => {
            let _ = crate::cli::help::print(command(), first == "--help");
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    if first.is_empty() || first.starts_with('-') {
        say!("usage: rrr TOOL [ARGUMENT...]");
        say!("hint: rrr --list shows the tools");
        return ExitCode::from(crate::process::exit::USAGE);
    }
    let program = format!("rrr-{first}");
    let Some(path) = folders()
        .into_iter()
        .map(|f| f.join(&program))
        .find(|p| p.is_file())
    else {
        let tools = list();
        let nearest = crate::cli::nearest::nearest(&first, tools.iter().map(String::as_str));
        let nearest = nearest.map_or(String::new(), |tool| format!("did you mean '{tool}'? "));
        say!("rrr: unknown tool '{first}'");
        say!("hint: {nearest}rrr --list shows all tools");
        return ExitCode::from(crate::process::exit::USAGE);
    };
    let error = Command::new(&path).args(&arguments[1..]).exec();
    say!("rrr: cannot run '{}': {error}", path.display());
    ExitCode::from(crate::process::exit::INTERNAL)
}
