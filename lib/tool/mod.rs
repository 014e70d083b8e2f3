//! Sources of tasks: tools that can list tests. rrr-submit asks one for its list, and the adapter
//! with the same name runs the listed tasks.

pub(crate) mod cargo;
pub(crate) mod detect;
mod files;
pub(crate) mod nextest;
pub(crate) mod outline;
pub(crate) mod pytest;
pub(crate) mod rspec;
pub(crate) mod split;

use crate::process::exit;
use crate::protocol::name;
use std::path::Path;
use std::process::{Command, Stdio};

/// The supported sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Source {
    /// The files that RSpec would load
    Rspec,
    /// The files in which pytest would collect tests
    Pytest,
    /// The test binaries that cargo test builds
    CargoTest,
    /// The tests that cargo nextest lists
    Nextest,
}

impl Source {
    /// Whether its tasks are files.
    pub(crate) fn has_files(self) -> bool {
        matches!(self, Self::Rspec | Self::Pytest)
    }

    /// The name on the command line, here and in rrr-slave --adapter.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rspec => "rspec",
            Self::Pytest => "pytest",
            Self::CargoTest => "cargo-test",
            Self::Nextest => "nextest",
        }
    }
}

/// The unit that becomes a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Per {
    /// A test binary
    Binary,
    /// A single test
    Test,
}

/// A test binary and those of its tests that would be run.
pub(crate) struct Listed {
    pub binary: String,
    pub tests: Vec<String>,
    /// Whether a filter excludes some of its tests.
    pub filtered: bool,
    /// Whether it can only be run as a whole: it does not list its tests.
    pub whole: bool,
}

impl Listed {
    /// A binary that can only be run as a whole.
    pub(crate) fn whole(binary: String) -> Self {
        Self {
            binary,
            tests: Vec::new(),
            filtered: false,
            whole: true,
        }
    }
}

/// Runs a tool until it exits, and returns its stdout.
pub(crate) type Ask<'a> = dyn FnMut(&mut Command) -> anyhow::Result<Vec<u8>> + 'a;

/// A request to a source.
pub(crate) struct Question<'a> {
    pub source: Source,
    pub per: Per,
    /// Options of the source.
    pub words: &'a [String],
    /// The folders whose files to list; all if empty.
    pub roots: &'a [String],
    /// The folder of the tree.
    pub folder: &'a Path,
    /// Output of the source from elsewhere, to be read instead of running it.
    pub said: Option<Vec<u8>>,
}

impl Question<'_> {
    /// The tasks, in the order of the source, without empty ones; and notes for people on tests
    /// that are not included.
    pub(crate) fn tasks(&self) -> anyhow::Result<(Vec<String>, Vec<String>)> {
        let (listed, notes) = match self.source {
            Source::CargoTest => cargo::list(self)?,
            Source::Nextest => (nextest::list(self)?, Vec::new()),
            Source::Rspec | Source::Pytest => {
                let files = files::list(self.source, self.folder, self.words, self.roots)?;
                return Ok((files, Vec::new()));
            }
        };
        let mut tasks = Vec::new();
        for Listed {
            binary,
            tests,
            filtered,
            whole,
        } in listed
        {
            match self.per {
                _ if whole => tasks.push(binary),
                Per::Binary if tests.is_empty() => {}
                Per::Binary if filtered => {
                    let message = format!("a filter excludes some tests of '{binary}'");
                    return Err(exit::usage(message)
                        .hint("a binary is run as a whole: pass --per test, or choose binaries (--test NAME)")
                        .into());
                }
                Per::Binary => tasks.push(binary),
                Per::Test => tasks.extend(tests.iter().map(|test| task(&binary, test))),
            }
        }
        if let Some((task, wrong)) = tasks
            .iter()
            .find_map(|task| Some((task, name::spec_file_error(task)?)))
        {
            return Err(
                exit::usage(format!("the task '{}': {wrong}", task.escape_debug()))
                    .hint("rename it, or pass --per binary")
                    .into(),
            );
        }
        Ok((tasks, notes))
    }

    /// The output of the source: that of `command` run in the folder, or the given one.
    fn said(&self, command: &mut Command) -> anyhow::Result<Vec<u8>> {
        match &self.said {
            Some(said) => Ok(said.clone()),
            None => ask(command.current_dir(self.folder)),
        }
    }
}

/// The name of the task for one test of a binary; the name of the binary alone is the task for all
/// of its tests. The format is that of nextest, since the name of a binary cannot contain a space.
pub(crate) fn task(binary: &str, test: &str) -> String {
    format!("{binary} {test}")
}

/// Splits a name built by [`task`].
pub(crate) fn binary_and_test(task: &str) -> (&str, Option<&str>) {
    match task.split_once(' ') {
        Some((binary, test)) => (binary, Some(test)),
        None => (task, None),
    }
}

/// Runs a tool until it exits, and returns its stdout; its stderr is passed through.
fn ask(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| {
            exit::usage(format!("cannot run '{program}': {error}"))
                .hint("install it here, or list on a machine that has it: --files-from")
        })?;
    if !output.status.success() {
        let words: Vec<_> = command
            .get_args()
            .map(|word| word.to_string_lossy())
            .collect();
        let line = format!("{program} {}", words.join(" "));
        let message = format!("'{line}' failed ({}): see above", output.status);
        return Err(exit::usage(message)
            .hint("nothing was submitted; fix the error and try again")
            .into());
    }
    Ok(output.stdout)
}

/// The adapter that a slave command names; the last one, which rrr-slave takes.
pub(crate) fn adapter(words: &[String]) -> Option<&str> {
    let flags = halves(words).0;
    let name = |(place, flag): (usize, &'_ String)| match flag.as_str() {
        "--adapter" => Some(place + 1),
        _ => flag.starts_with("--adapter=").then_some(place),
    };
    let place = flags.iter().enumerate().filter_map(name).next_back()?;
    let word = flags.get(place)?;
    Some(word.strip_prefix("--adapter=").unwrap_or(word))
}

/// Splits options at `--`: those for cargo, and those for the test binaries.
pub(crate) fn halves(words: &[String]) -> (&[String], &[String]) {
    match words.iter().position(|word| word == "--") {
        Some(at) => (&words[..at], &words[at + 1..]),
        None => (words, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_names_its_binary_and_its_test() {
        assert_eq!(binary_and_test("rrr::runs"), ("rrr::runs", None));
        let made = task("rrr::runs", "local::a b");
        assert_eq!(binary_and_test(&made), ("rrr::runs", Some("local::a b")));
    }

    fn nextest<'a>(list: &str, per: Per) -> Question<'a> {
        Question {
            source: Source::Nextest,
            per,
            words: &[],
            roots: &[],
            folder: Path::new("."),
            said: Some(list.into()),
        }
    }

    const LIST: &str = r#"{"rust-build-meta":{},"test-count":4,"rust-suites":{
        "p":{"binary-id":"p","testcases":{"a":{"ignored":false,"filter-match":{"status":"matches"}},
            "b":{"ignored":true,"filter-match":{"status":"mismatch","reason":"ignored"}}}},
        "p::bin/empty":{"binary-id":"p::bin/empty","testcases":{}},
        "p::t":{"binary-id":"p::t","testcases":{"m::c":{"ignored":false,"filter-match":{"status":"matches"}}}}}}"#;

    #[test]
    fn the_list_of_nextest_gives_binaries_or_tests() {
        let tasks = |per| nextest(LIST, per).tasks().unwrap().0;
        assert_eq!(tasks(Per::Binary), ["p", "p::t"]);
        assert_eq!(tasks(Per::Test), ["p a", "p::t m::c"]);
    }

    #[test]
    fn a_filtered_binary_or_an_invalid_name_is_refused() {
        let filtered = LIST.replace("\"ignored\"}", "\"expression\"}");
        assert!(nextest(&filtered, Per::Binary).tasks().is_err());
        assert_eq!(nextest(&filtered, Per::Test).tasks().unwrap().0.len(), 2);
        let named = LIST.replace("m::c", "m:trial:c");
        let error = nextest(&named, Per::Test).tasks().unwrap_err();
        assert!(error.to_string().contains("m:trial:c"), "{error}");
        assert!(nextest("[]", Per::Test).tasks().is_err());
    }
}
