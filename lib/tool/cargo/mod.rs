//! The test binaries of cargo, and its doctests: their contents according to cargo, and how cargo
//! would run them.

pub(crate) mod message;
mod probe;
mod words;

use super::{Ask, Listed, Question, halves};
use crate::process::exit;
use message::Package;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) use words::{Value, is};

/// The task for all doctests. It cannot clash with a binary, whose name contains `/` only after
/// `::`.
pub(crate) const DOCTESTS: &str = "doc/tests";

/// A test binary.
pub(crate) struct Binary {
    /// The name that nextest uses: `package`, `package::test`, `package::bin/name`, …
    pub id: String,
    /// Whether libtest lists and runs its tests. Otherwise its `main` may behave in any way.
    pub has_harness: bool,
    path: PathBuf,
    start: Start,
}

/// The way a binary is started.
struct Start {
    /// The program that runs it, if any, with its arguments.
    runner: Vec<String>,
    args: Vec<String>,
    folder: PathBuf,
    /// Additions to the environment of this process.
    env: Vec<(OsString, OsString)>,
}

impl Start {
    /// The start as far as it is known without cargo.
    fn guess(path: &Path, manifest: &Path, package: &Package) -> Self {
        let folder = manifest.parent().unwrap_or(Path::new("."));
        let mut env: Vec<(OsString, OsString)> = vec![
            ("CARGO_MANIFEST_DIR".into(), folder.into()),
            ("CARGO_MANIFEST_PATH".into(), manifest.into()),
            ("CARGO_PKG_NAME".into(), (&package.name).into()),
        ];
        if let Some(toml::Value::String(version)) = &package.version {
            env.push(("CARGO_PKG_VERSION".into(), version.into()));
        }
        let built = path.parent().unwrap_or(Path::new("."));
        let given = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let ours = [Some(built), built.parent()].into_iter().flatten();
        let all = ours
            .map(Path::to_owned)
            .chain(std::env::split_paths(&given));
        let all = all.filter(|path| !path.as_os_str().is_empty());
        if let Ok(joined) = std::env::join_paths(all) {
            env.push(("LD_LIBRARY_PATH".into(), joined));
        }
        Self {
            runner: Vec::new(),
            args: Vec::new(),
            folder: folder.to_owned(),
            env,
        }
    }
}

impl Binary {
    /// The command with which cargo test would run the binary, for all of its tests or one.
    pub(crate) fn command(&self, test: Option<&str>) -> Command {
        let args = match test {
            None if !self.has_harness => self.start.args.clone(),
            None => words::of_binary(&self.start.args),
            Some(test) => {
                let mut args = words::of_single_test(&words::of_binary(&self.start.args));
                args.extend(["--exact".into(), test.into()]);
                args
            }
        };
        self.start(args)
    }

    /// Asks the binary for its tests; `None` when it does not list them in libtest's format.
    fn tests(&self) -> Option<Vec<String>> {
        let mut args = words::of_binary(&self.start.args);
        args.extend(["--list", "--format", "terse"].map(str::to_owned));
        let output = self
            .start(args)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let tests = tests(&lines);
        // Without libtest, any other line means that it has run the tests instead, or some of them.
        let all = lines.lines().filter(|line| !line.trim().is_empty()).count();
        let is_list = self.has_harness || (!tests.is_empty() && all == tests.len());
        (output.status.success() && is_list).then_some(tests)
    }

    fn start(&self, args: Vec<String>) -> Command {
        let mut words = self
            .start
            .runner
            .iter()
            .map(OsString::from)
            .collect::<Vec<_>>();
        words.push(self.path.clone().into());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .args(args)
            .envs(self.start.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.start.folder);
        command
    }

    #[cfg(test)]
    fn at(path: &str) -> Self {
        let package = Package {
            name: "p".into(),
            version: None,
        };
        Self {
            id: "p".into(),
            has_harness: true,
            path: path.into(),
            start: Start::guess(Path::new(path), Path::new("/p/Cargo.toml"), &package),
        }
    }
}

/// Has cargo build the test binaries and determines how it would start them; `place` is a folder
/// for temporary files.
pub(crate) fn build(words: &[String], place: &Path, ask: &mut Ask) -> anyhow::Result<Vec<Binary>> {
    Ok(build_all(words, place, ask)?.binaries)
}

fn build_all(words: &[String], place: &Path, ask: &mut Ask) -> anyhow::Result<message::Built> {
    let (for_cargo, _) = halves(words);
    if words::are_for_doctests(for_cargo) {
        return Ok(message::Built {
            binaries: Vec::new(),
            may_have_doctests: true,
        });
    }
    let mut command = Command::new("cargo");
    command
        .args(["test", "--no-run", "--message-format"])
        .arg("json-render-diagnostics")
        .args(words::of_cargo(for_cargo));
    let mut built = message::read(&ask(&mut command)?)?;
    if !built.binaries.is_empty() {
        probe::complete(&mut built.binaries, words, place, ask)?;
    }
    Ok(built)
}

/// The command that runs the doctests.
pub(crate) fn doctests(words: &[String]) -> Command {
    let (for_cargo, for_tests) = halves(words);
    let mut command = Command::new("cargo");
    command
        .args(["test", "--doc", "--no-fail-fast"])
        .args(words::of_cargo(for_cargo))
        .arg("--")
        .args(words::of_binary(for_tests));
    command
}

/// Whether cargo test would run a doctest.
fn has_doctests(question: &Question) -> anyhow::Result<bool> {
    let mut command = doctests(question.words);
    command.args(["--list", "--format", "terse"]);
    let output = command
        .current_dir(question.folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| exit::usage(format!("cannot run 'cargo': {error}")))?;
    if output.status.success() {
        return Ok(!tests(&String::from_utf8_lossy(&output.stdout)).is_empty());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("no library targets found") {
        return Ok(false);
    }
    let _ = std::io::stderr().write_all(&output.stderr);
    Err(exit::usage("cargo cannot list the doctests: see above")
        .hint("nothing was submitted; exclude doctests with --lib, --tests or --all-targets")
        .into())
}

/// The binaries that cargo builds, with the tests that each lists.
pub(crate) fn list(question: &Question) -> anyhow::Result<(Vec<Listed>, Vec<String>)> {
    let (for_cargo, for_binaries) = halves(question.words);
    let mut notes = Vec::new();
    let built = match &question.said {
        Some(said) => {
            let mut built = message::read(said)?;
            for binary in &mut built.binaries {
                binary.start.args = for_binaries.to_vec();
            }
            built
        }
        None => build_all(question.words, &std::env::temp_dir(), &mut |command| {
            super::ask(command.current_dir(question.folder))
        })?,
    };
    let mut listed: Vec<Listed> = built
        .binaries
        .into_iter()
        .map(|binary| listed(binary, question))
        .collect();
    if built.may_have_doctests && !words::choose_targets(for_cargo) {
        if question.said.is_some() {
            notes.push("doctests are not run: cargo's messages do not list them".to_owned());
        } else if has_doctests(question)? {
            listed.push(Listed::whole(DOCTESTS.to_owned()));
        }
    }
    Ok((listed, notes))
}

/// A binary with its tests; it becomes one task, run as cargo test runs it, when its tests cannot
/// be listed.
fn listed(binary: Binary, question: &Question) -> Listed {
    // A `main` that ignores its arguments would run its tests when asked for a list.
    let asked = binary.has_harness || question.per == super::Per::Test;
    match asked.then(|| binary.tests()).flatten() {
        Some(tests) => Listed {
            binary: binary.id,
            tests,
            // Filters are passed to the binary again when it runs.
            filtered: false,
            whole: false,
        },
        None => Listed::whole(binary.id),
    }
}

/// The names in the lines `NAME: test` and `NAME: benchmark`.
pub(crate) fn tests(lines: &str) -> Vec<String> {
    let name = |line: &str| {
        let (name, kind) = line.rsplit_once(": ")?;
        matches!(kind, "test" | "benchmark").then(|| name.to_owned())
    };
    lines.lines().filter_map(name).collect()
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn names_with_any_characters_are_parsed() {
        let lines = "a: test\nm::b - should panic: test\nnoise\nc: benchmark\n";
        assert_eq!(tests(lines), ["a", "m::b - should panic", "c"]);
    }
}
