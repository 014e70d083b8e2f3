//! The project file `.rrr.toml` in the packaging folder: the submitter's flags under their own
//! names.
//!
//! ```toml
//! command = ["bundle", "exec", "rspec", "{}"]
//! setup = "bundle install"
//! max-trials = 2
//! ```
//!
//! The file is data (FAULTS S7): it changes the defaults of flags, so that the command line and the
//! environment override it, and nothing in it makes rrr-submit run code from the tree. With
//! rrr-local it may: that tool runs the tests of the tree on this machine anyway.

use crate::cli::project_profile::{self, PROFILE, Setting};
pub(crate) use crate::cli::project_search::NAME;
use crate::cli::{flags, nearest, project_search};
use crate::process::exit::usage;
use crate::process::regular_file::{self, Links};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, Id};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use toml::Value;

/// The words after `--`, which are not a flag but have a name in the file.
pub(crate) const COMMAND: &str = "command";

/// The spec files, which are not a flag either: names and patterns.
pub(crate) const FILES: &str = "files";

/// Sources whose settings override those of the file.
const NEARER: [ValueSource; 2] = [ValueSource::CommandLine, ValueSource::EnvVariable];

/// The tool that does not run the tests itself.
const SUBMIT: &str = "rrr-submit";

/// Flags that are not allowed in the file, and why.
const REFUSED: &[(&str, &str)] = &[
    ("packaging-dir", "the file is in that folder"),
    (
        "redis-password-file",
        "a shared file must not choose which of your files is read",
    ),
    ("print-config", "it prints the file's settings"),
    ("rerun-failed", "it applies to a single run"),
    ("taskset", "it applies to a single run"),
    ("init", "it applies to a single call"),
    ("list", "it applies to a single call"),
    ("profile", "a profile is a table: [profile.NAME]"),
];

/// Flags with which rrr-submit runs code from the tree to list its tests: its build.rs, its
/// conftest.py, or the Python in its virtual environment. The submitter must request this
/// explicitly.
const RUNS_CODE: &[&str] = &["from", "split-above"];

/// rsync options in the file are restricted to the same list as those in Redis (FAULTS S3).
const RSYNC_OPTIONS: &str = "rsync-options";

/// A project file whose keys and values have been checked.
pub(crate) struct File {
    pub path: PathBuf,
    pub settings: Vec<Setting>,
}

/// Reads the file from the packaging folder given in `matches`; `None` when there is none. Its keys
/// may be flags of any command in `known`.
pub(crate) fn load(
    command: &Command,
    matches: &ArgMatches,
    known: &[Command],
) -> anyhow::Result<Option<File>> {
    let folder: &PathBuf = matches.get_one("packaging_dir").expect("it has a default");
    let is_chosen = flags::given(matches, &NEARER)
        .iter()
        .any(|id| id == "packaging_dir");
    let above = match is_chosen {
        true => None,
        false => project_search::above(folder),
    };
    let path = above.as_ref().unwrap_or(folder).join(NAME);
    let text = match regular_file::read_text(&path, Links::Refuse, 1 << 20) {
        Ok(text) => text,
        Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
            return match matches.get_one::<String>(PROFILE) {
                Some(profile) => Err(usage(format!("profile '{profile}' does not exist"))
                    .hint(format!("'{}' does not exist", path.display()))
                    .into()),
                None => Ok(None),
            };
        }
        Err(error) => {
            return Err(usage(format!("cannot read '{}': {error}", path.display()))
                .hint("it must be a readable file in the folder itself; --packaging-dir selects another folder")
                .into());
        }
    };
    let profile = matches.get_one::<String>(PROFILE);
    let mut settings = read(&text, &path, command, known, profile.map(String::as_str))?;
    if let Some(folder) = above {
        // Arguments are relative to the current folder, names in the file to its own.
        for (_, words) in settings.iter_mut().filter(|(id, _)| id == FILES) {
            let moved = words.iter().map(|word| folder.join(word).into_os_string());
            *words = moved.collect();
        }
        settings.push((Id::from("packaging_dir"), vec![folder.into()]));
    }
    let file = File { path, settings };
    file.check_secrets(command, matches)?;
    file.check_code(command, matches)?;
    Ok(Some(file))
}

/// Reads the settings for `command` from the text, with those of `profile`, if given, instead of the
/// general ones. The keys may be those of any command in `known`.
pub(crate) fn read(
    text: &str,
    path: &Path,
    command: &Command,
    known: &[Command],
    profile: Option<&str>,
) -> anyhow::Result<Vec<Setting>> {
    let place = path.display();
    let mut table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        usage(format!(
            "'{place}' is not TOML: {}",
            error.to_string().trim_end()
        ))
        .hint("a line is NAME = VALUE, as in: setup = \"bundle install\"")
    })?;
    let profiles = project_profile::take(&mut table, path)?;
    let read = |table: &toml::Table| of_table(table, path, command, known);
    let general = read(&table)?;
    // All are checked, so that a mistake shows before the profile is used.
    let all: anyhow::Result<Vec<_>> = (profiles.into_iter())
        .map(|(name, table)| Ok((name, read(&table)?)))
        .collect();
    Ok(project_profile::applied(general, all?, profile, path)?)
}

/// Reads the settings for `command` from one table of the file.
fn of_table(
    table: &toml::Table,
    path: &Path,
    command: &Command,
    known: &[Command],
) -> anyhow::Result<Vec<Setting>> {
    let place = path.display();
    let mut settings = Vec::new();
    for (key, value) in table {
        if let Some((_, why)) = REFUSED.iter().find(|(name, _)| name == key) {
            return Err(
                usage(format!("'{place}': '{key}' is not allowed here: {why}"))
                    .hint(format!("remove the line and pass --{key}"))
                    .into(),
            );
        }
        if !known.iter().any(|command| find(command, key).is_some()) {
            return Err(unknown(key, path, known).into());
        }
        let words = words(value).ok_or_else(|| {
            usage(format!(
                "'{place}': '{key}' must be a string, a number, true or false"
            ))
            .hint("only 'command' and 'files' are lists: command = [\"sh\", \"{}\"]")
        })?;
        if key == RSYNC_OPTIONS {
            crate::suite::rsync::check_options(&words.join(" "), &format!("'{place}'"))?;
        }
        if let Some(arg) = find(command, key) {
            check(command, arg, key, value, &words).map_err(|why| {
                let why = crate::cli::flags::in_plain_words(&why);
                usage(format!("'{place}': {why}"))
                    .hint(format!("--help lists the values of '{key}'"))
            })?;
            let words = words.into_iter().map(OsString::from).collect();
            settings.push((arg.get_id().clone(), words));
        }
    }
    Ok(settings)
}

fn find<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(key) || (is_list(arg) && arg.get_id() == key))
}

/// The name of an argument in the file; none if it is not allowed there.
pub(crate) fn name_of(arg: &Arg) -> Option<String> {
    let is_named = is_list(arg);
    let name = arg.get_long().or(is_named.then(|| arg.get_id().as_str()))?;
    let is_refused = REFUSED.iter().any(|(refused, _)| *refused == name);
    let is_question = ["help", "version"].contains(&name);
    (!is_refused && !is_question).then(|| name.to_owned())
}

/// Whether the value is a list in the file.
pub(crate) fn is_list(arg: &Arg) -> bool {
    [COMMAND, FILES].contains(&arg.get_id().as_str())
}

/// Converts a value to the words of a command line.
fn words(value: &Value) -> Option<Vec<String>> {
    Some(match value {
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<_>>()?,
        Value::String(text) => vec![text.clone()],
        Value::Integer(number) => vec![number.to_string()],
        Value::Float(number) => vec![number.to_string()],
        Value::Boolean(answer) => vec![answer.to_string()],
        Value::Datetime(_) | Value::Table(_) => return None,
    })
}

/// Checks a value with the parser, as if it were on the command line.
fn check(
    command: &Command,
    arg: &Arg,
    key: &str,
    value: &Value,
    words: &[String],
) -> Result<(), String> {
    let is_flag = matches!(arg.get_action(), ArgAction::SetTrue);
    let arguments: Vec<String> = match value {
        Value::Boolean(_) if is_flag => return Ok(()),
        _ if is_flag => return Err(format!("'{key}' must be true or false")),
        Value::Array(_) if arg.get_id() == FILES => {
            return match words
                .iter()
                .find(|word| word.is_empty() || word.starts_with('-'))
            {
                Some(word) => Err(format!("'{key}' cannot contain '{}'", word.escape_debug())),
                None => Ok(()),
            };
        }
        Value::Array(_) if arg.get_id() != COMMAND => {
            return Err(format!("'{key}' cannot be a list"));
        }
        Value::Array(_) => [vec!["--".to_owned()], words.to_vec()].concat(),
        _ if arg.get_id() == FILES => return Err(format!("'{key}' must be a list of names")),
        _ if arg.get_id() == COMMAND => return Err(format!("'{key}' must be a list of words")),
        _ => vec![format!("--{key}={}", words.concat())],
    };
    let name = command.get_name().to_owned();
    let bare = command
        .clone()
        .mut_args(|arg| arg.env(None::<&'static str>));
    bare.try_get_matches_from([vec![name], arguments].concat())
        .map(|_| ())
        .map_err(|error| {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            first.trim_start_matches("error: ").to_owned()
        })
}

/// Refuses an unknown key and suggests the most similar known one.
fn unknown(key: &str, path: &Path, known: &[Command]) -> crate::process::exit::Failure {
    let mut names: Vec<&str> = known
        .iter()
        .flat_map(|command| command.get_arguments())
        .filter_map(Arg::get_long)
        .filter(|name| !REFUSED.iter().any(|(refused, _)| refused == name))
        .collect();
    names.extend([COMMAND, FILES]);
    let nearest = match nearest::nearest(&key.replace('_', "-"), names.into_iter()) {
        Some(name) => format!("did you mean '{name}'? "),
        None => String::new(),
    };
    usage(format!(
        "'{}': unknown setting '{}'",
        path.display(),
        key.escape_debug()
    ))
    .hint(format!("{nearest}--help lists them all"))
}

impl File {
    /// Makes the file's settings the defaults of the flags that neither the command line nor the
    /// environment sets or excludes.
    pub(crate) fn apply(&self, command: Command, matches: &ArgMatches) -> Command {
        let mut settled = command.clone();
        for (id, words) in self.not_excluded(&command, matches) {
            settled = settled.mut_arg(id.clone(), |arg| arg.default_values(words.clone()));
        }
        // clap numbers the positional arguments in the order in which they were last changed.
        settled.mut_arg(COMMAND, |arg| arg)
    }

    /// The settings that the command line and the environment do not exclude.
    fn not_excluded(&self, command: &Command, matches: &ArgMatches) -> Vec<&Setting> {
        let given = flags::given(matches, &NEARER);
        let built = flags::built(command);
        let is_listed = given.iter().any(|id| id == "files_from");
        let excluded = |id: &Id| {
            (id == FILES && is_listed)
                || given
                    .iter()
                    .any(|other| other != id && flags::exclude(&built, id, other))
        };
        let settings = self.settings.iter();
        settings.filter(|(id, _)| !excluded(id)).collect()
    }

    /// Refuses settings with which a file of the tree would make rrr-submit run code from the tree.
    fn check_code(&self, command: &Command, matches: &ArgMatches) -> anyhow::Result<()> {
        if command.get_name() != SUBMIT {
            return Ok(());
        }
        let given = flags::given(matches, &NEARER);
        let in_force = self.not_excluded(command, matches);
        for name in RUNS_CODE {
            let id = find(command, name).map(Arg::get_id);
            if in_force
                .iter()
                .any(|(set, _)| Some(set) == id && !given.contains(set))
            {
                let variable = format!("RRR_{}", name.to_uppercase().replace('-', "_"));
                return Err(usage(format!(
                    "'{}': '{name}' would run code from the tree on this machine to list its tests",
                    self.path.display()
                ))
                .hint(format!(
                    "pass --{name} or set {variable} if you trust the tree; rrr-local accepts it from the file"
                ))
                .into());
            }
        }
        Ok(())
    }

    /// Refuses to send a password that the user chose to a Redis that the file chose.
    fn check_secrets(&self, command: &Command, matches: &ArgMatches) -> anyhow::Result<()> {
        let given = flags::given(matches, &NEARER);
        let has = |name: &str| {
            given
                .iter()
                .any(|id| find(command, name).is_some_and(|a| a.get_id() == id))
        };
        if has("redis-password-file") && !has("redis") && self.sets(command, "redis") {
            return Err(usage(format!(
                "'{}' chooses the Redis that would receive your password",
                self.path.display()
            ))
            .hint("pass --redis URL as well")
            .into());
        }
        Ok(())
    }

    fn sets(&self, command: &Command, name: &str) -> bool {
        let id = find(command, name).map(Arg::get_id);
        self.settings.iter().any(|(set, _)| Some(set) == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role;

    fn settings(text: &str) -> anyhow::Result<Vec<Setting>> {
        let known = [
            flags::command::<role::submit::Options>(),
            flags::command::<role::local::Options>(),
        ];
        read(text, Path::new(NAME), &known[0], &known, None)
    }

    fn refusal(text: &str) -> String {
        let error = settings(text).expect_err(text);
        let failure = error
            .downcast_ref::<crate::process::exit::Failure>()
            .unwrap();
        format!("{failure}\n{}", failure.hint.clone().unwrap_or_default())
    }

    #[test]
    fn project_file_keys_are_the_long_flag_names() {
        let text = "max-trials = 5\nno-rsync = true\ncommand = ['sh', '{}']\njobs = 3\n";
        let settings = settings(text).unwrap();
        let ids: Vec<&str> = settings.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids.len(), 3, "jobs does not belong to rrr-submit: {ids:?}");
        for id in ["max_trials", "no_rsync", "command"] {
            assert!(ids.contains(&id), "{ids:?}");
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_name() {
        for (wrong, nearest) in [
            ("max-trial", "max-trials"),
            ("max_workers", "max-workers"),
            ("commands", "command"),
            ("worker", "worker-type"),
            ("job", "jobs"),
        ] {
            let said = refusal(&format!("{wrong} = 1"));
            assert!(said.contains(&format!("'{wrong}'")), "{said}");
            assert!(
                said.contains(&format!("did you mean '{nearest}'?")),
                "{said}"
            );
        }
    }

    #[test]
    fn a_value_that_the_flag_would_refuse_is_refused() {
        assert!(refusal("max-trials = 0").contains("max-trials"));
        assert!(refusal("max-trials = [1]").contains("must be"));
        assert!(refusal("no-rsync = 'yes'").contains("true or false"));
        assert!(refusal("command = 'sh {}'").contains("list of words"));
        assert!(refusal("max-trials = ").contains("not TOML"));
    }

    #[test]
    fn nothing_in_the_file_runs_a_program_or_chooses_a_secret() {
        assert!(refusal("rsync-options = \"-e 'sh -c evil'\"").contains("-e"));
        assert!(refusal("rsync-options = '--rsh=evil'").contains("--rsh"));
        assert!(refusal("redis-password-file = '/etc/shadow'").contains("is not allowed here"));
    }
}
