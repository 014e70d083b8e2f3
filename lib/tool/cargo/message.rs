//! The JSON messages of cargo: the test binaries that it has built.

use super::{Binary, Start};
use crate::process::exit;
use crate::process::regular_file::{self, Links};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
struct Message {
    reason: String,
    package_id: Option<String>,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
    #[serde(default)]
    doctest: bool,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// A manifest: the package data in a test's environment, and which targets do not use libtest.
#[derive(Clone, Deserialize)]
pub(crate) struct Manifest {
    pub package: Package,
    #[serde(default)]
    lib: Harness,
    #[serde(default)]
    bin: Vec<Harness>,
    #[serde(default)]
    test: Vec<Harness>,
    #[serde(default)]
    example: Vec<Harness>,
    #[serde(default)]
    bench: Vec<Harness>,
}

#[derive(Clone, Deserialize)]
pub(crate) struct Package {
    pub name: String,
    /// A string, unless it is inherited from the workspace.
    pub version: Option<toml::Value>,
}

/// A target of a manifest.
#[derive(Clone, Default, Deserialize)]
struct Harness {
    name: Option<String>,
    harness: Option<bool>,
}

impl Manifest {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let wrong = |why: String| exit::usage(format!("'{}': {why}", path.display()));
        // Cargo follows a link there too.
        let text = regular_file::read_text(path, Links::Follow, 16 << 20)
            .map_err(|error| wrong(error.to_string()))?;
        Ok(toml::from_str(&text).map_err(|error| wrong(error.to_string()))?)
    }

    /// Whether the target's `main` is that of libtest.
    fn has_harness(&self, target: &Target) -> bool {
        let all = match target.kind.first().map(String::as_str) {
            Some("bin") => &self.bin,
            Some("test") => &self.test,
            Some("example") => &self.example,
            Some("bench") => &self.bench,
            _ => return self.lib.harness.unwrap_or(true),
        };
        let mine = all
            .iter()
            .find(|it| it.name.as_deref() == Some(&target.name));
        mine.and_then(|it| it.harness).unwrap_or(true)
    }
}

/// The results of a build, from cargo's messages.
pub(crate) struct Built {
    pub binaries: Vec<Binary>,
    /// Whether a library of the tree may have doctests.
    pub may_have_doctests: bool,
}

/// Reads the output of a build with JSON messages.
pub(crate) fn read(messages: &[u8]) -> anyhow::Result<Built> {
    let mut manifests: HashMap<PathBuf, Manifest> = HashMap::new();
    let mut binaries: Vec<Binary> = Vec::new();
    let (mut understood, mut may_have_doctests) = (false, false);
    for line in messages.split(|byte| *byte == b'\n') {
        // Other lines were printed by the tools of a build script.
        let Ok(message) = serde_json::from_slice::<Message>(line) else {
            continue;
        };
        understood |= message.reason == "build-finished";
        let is_here = message.package_id.is_some_and(|id| id.contains("path+"));
        let Some(target) = message.target else {
            continue;
        };
        may_have_doctests |= target.doctest && is_here;
        let (Some(manifest), Some(path)) = (message.manifest_path, message.executable) else {
            continue;
        };
        if message.profile.is_none_or(|profile| !profile.test) {
            continue;
        }
        if !manifests.contains_key(&manifest) {
            manifests.insert(manifest.clone(), Manifest::read(&manifest)?);
        }
        let read = &manifests[&manifest];
        let binary = Binary {
            id: id(&read.package.name, &target),
            has_harness: read.has_harness(&target),
            start: Start::guess(&path, &manifest, &read.package),
            path,
        };
        if let Some(other) = binaries.iter().find(|other| other.id == binary.id) {
            if other.path == binary.path {
                continue;
            }
            let message = format!("cargo builds two test binaries named '{}'", binary.id);
            return Err(exit::usage(message)
                .hint("choose one package and one target (-p, --target)")
                .into());
        }
        binaries.push(binary);
    }
    if !understood {
        return Err(exit::usage("not the messages of a finished cargo build")
            .hint("create them with: cargo test --no-run --message-format json")
            .into());
    }
    Ok(Built {
        binaries,
        may_have_doctests,
    })
}

fn id(package: &str, target: &Target) -> String {
    match target.kind.first().map(String::as_str) {
        Some("test") => format!("{package}::{}", target.name),
        Some(kind @ ("bin" | "example" | "bench")) => format!("{package}::{kind}/{}", target.name),
        _ => package.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(kind: &str, name: &str) -> Target {
        Target {
            kind: vec![kind.into()],
            name: name.into(),
            doctest: false,
        }
    }

    #[test]
    fn binaries_are_named_as_nextest_names_them() {
        let named =
            ["lib", "proc-macro", "test", "bin", "example"].map(|kind| id("p", &target(kind, "t")));
        assert_eq!(named, ["p", "p", "p::t", "p::bin/t", "p::example/t"]);
    }

    #[test]
    fn a_manifest_names_the_targets_without_libtest() {
        let text = "[package]\nname = 'p'\n[lib]\nharness = false\n[[bench]]\nname = 'b'\n\
                    harness = false\n[[test]]\nname = 't'\nharness = true\n";
        let manifest: Manifest = toml::from_str(text).unwrap();
        let has = |kind, name| manifest.has_harness(&target(kind, name));
        assert!(!has("lib", "p") && !has("bench", "b"));
        assert!(has("test", "t") && has("test", "b") && has("bin", "p"));
    }

    #[test]
    fn messages_of_an_unfinished_build_are_refused() {
        let started = br#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"x"}}"#;
        assert!(read(started).is_err());
        assert!(read(b"").is_err());
        let finished = read(br#"{"reason":"build-finished","success":true}"#).unwrap();
        assert!(finished.binaries.is_empty());
    }
}
