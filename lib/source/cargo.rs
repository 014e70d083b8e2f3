//! The test binaries of cargo: what it says of them while it builds, and how it would run them.

use super::{Listed, Question, halves};
use crate::cli;
use serde::Deserialize;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A test binary.
pub struct Binary {
    /// As nextest names it: `package`, `package::test`, `package::bin/name`, …
    pub id: String,
    path: PathBuf,
    manifest: PathBuf,
    package: Package,
}

/// What of its manifest a test finds in its environment.
#[derive(Clone, Deserialize)]
struct Package {
    name: String,
    /// A text, unless it is that of the workspace.
    version: Option<toml::Value>,
}

#[derive(Deserialize)]
struct Manifest {
    package: Package,
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// The command that builds the test binaries and tells of them.
pub fn build(words: &[String]) -> Command {
    let mut command = Command::new("cargo");
    command
        .args(["test", "--no-run", "--message-format"])
        .arg("json-render-diagnostics")
        .args(halves(words).0);
    command
}

/// Reads what [`build`] prints.
pub fn binaries(messages: &[u8]) -> anyhow::Result<Vec<Binary>> {
    let mut packages: HashMap<PathBuf, Package> = HashMap::new();
    let mut binaries = Vec::new();
    let mut understood = false;
    for line in messages.split(|byte| *byte == b'\n') {
        // Other lines are what a build script's tools printed.
        let Ok(message) = serde_json::from_slice::<Message>(line) else {
            continue;
        };
        understood |= message.reason == "build-finished";
        let (Some(manifest), Some(target), Some(path)) =
            (message.manifest_path, message.target, message.executable)
        else {
            continue;
        };
        if message.profile.is_none_or(|profile| !profile.test) {
            continue;
        }
        let package = match packages.get(&manifest) {
            Some(package) => package.clone(),
            None => read_manifest(&manifest)?,
        };
        packages.insert(manifest.clone(), package.clone());
        binaries.push(Binary {
            id: id(&package.name, &target),
            path,
            manifest,
            package,
        });
    }
    if !understood {
        return Err(
            cli::usage("these are no messages of a build that cargo finished")
                .hint("make them with: cargo test --no-run --message-format json")
                .into(),
        );
    }
    Ok(binaries)
}

fn read_manifest(path: &Path) -> anyhow::Result<Package> {
    let wrong = |why: String| cli::usage(format!("'{}': {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let manifest: Manifest = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    Ok(manifest.package)
}

fn id(package: &str, target: &Target) -> String {
    match target.kind.first().map(String::as_str) {
        Some("test") => format!("{package}::{}", target.name),
        Some(kind @ ("bin" | "example" | "bench")) => format!("{package}::{kind}/{}", target.name),
        _ => package.to_owned(),
    }
}

impl Binary {
    /// The binary as cargo would run it: in the folder of its package, with what it may look for
    /// there in its environment.
    pub fn command(&self, libraries: &[PathBuf]) -> Command {
        let folder = self.manifest.parent().unwrap_or(Path::new("."));
        let mut command = Command::new(&self.path);
        command
            .current_dir(folder)
            .env("CARGO_MANIFEST_DIR", folder)
            .env("CARGO_MANIFEST_PATH", &self.manifest)
            .env("CARGO_PKG_NAME", &self.package.name);
        if let Some(toml::Value::String(version)) = &self.package.version {
            command.env("CARGO_PKG_VERSION", version);
        }
        let built = self.path.parent().unwrap_or(Path::new("."));
        let ours = [Some(built), built.parent()].into_iter().flatten();
        let given = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let given: Vec<PathBuf> = std::env::split_paths(&given).collect();
        let all = ours
            .map(Path::to_owned)
            .chain(libraries.to_vec())
            .chain(given);
        let joined = std::env::join_paths(all.filter(|path| !path.as_os_str().is_empty()));
        command.env(
            "LD_LIBRARY_PATH",
            joined.unwrap_or_else(|_| OsString::new()),
        );
        command
    }
}

/// The folder of Rust's own shared libraries, which tests of procedural macros need.
pub fn libraries(rustc_said: &[u8]) -> Vec<PathBuf> {
    let path = String::from_utf8_lossy(rustc_said).trim().to_owned();
    if path.is_empty() {
        Vec::new()
    } else {
        vec![path.into()]
    }
}

/// The command whose answer [`libraries`] reads.
pub fn ask_libraries() -> Command {
    let mut command = Command::new("rustc");
    command.args(["--print", "target-libdir"]);
    command
}

/// The binaries that cargo builds, and the tests that each tells of.
pub fn list(question: &Question) -> anyhow::Result<Vec<Listed>> {
    let said = question.said(&mut build(question.words))?;
    let libraries = libraries(&super::ask(&mut ask_libraries()).unwrap_or_default());
    let mut listed = Vec::new();
    for binary in binaries(&said)? {
        let mut command = binary.command(&libraries);
        command.args(["--list", "--format", "terse"]);
        command.args(halves(question.words).1);
        let lines = super::ask(&mut command)?;
        listed.push(Listed {
            tests: tests(&String::from_utf8_lossy(&lines)),
            binary: binary.id,
            // What leaves a test out is handed to the binary again when it is run.
            filtered: false,
        });
    }
    Ok(listed)
}

/// The names in the lines `NAME: test` and `NAME: benchmark`.
fn tests(lines: &str) -> Vec<String> {
    let name = |line: &str| {
        let (name, kind) = line.rsplit_once(": ")?;
        matches!(kind, "test" | "benchmark").then(|| name.to_owned())
    };
    lines.lines().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binaries_are_named_as_nextest_names_them() {
        let target = |kind: &str| Target {
            kind: vec![kind.into()],
            name: "t".into(),
        };
        let named =
            ["lib", "proc-macro", "test", "bin", "example"].map(|kind| id("p", &target(kind)));
        assert_eq!(named, ["p", "p", "p::t", "p::bin/t", "p::example/t"]);
    }

    #[test]
    fn names_are_read_whatever_they_hold() {
        let lines = "a: test\nm::b - should panic: test\nnoise\nc: benchmark\n";
        assert_eq!(tests(lines), ["a", "m::b - should panic", "c"]);
    }

    #[test]
    fn messages_of_an_unfinished_build_are_refused() {
        let started = br#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"x"}}"#;
        assert!(binaries(started).is_err());
        assert!(binaries(b"").is_err());
        assert!(
            binaries(br#"{"reason":"build-finished","success":true}"#)
                .unwrap()
                .is_empty()
        );
    }
}
