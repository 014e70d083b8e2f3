//! The crates built into rrr: the rules of deny.toml that can be checked offline, the SBOM of a
//! release, and the minimum supported Rust version.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// The metadata of all crates in a build for this machine.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    rust_version: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
}

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    skip: Vec<Skip>,
}

#[derive(Deserialize)]
struct Skip {
    #[serde(rename = "crate")]
    which: String,
    reason: String,
}

fn output(program: &str, args: &[&str]) -> String {
    let mut command = Command::new(program);
    let command = command.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().expect(program);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// The crates of a build with its tests, except rrr itself.
fn crates() -> Vec<Package> {
    let version = output("rustc", &["-vV"]);
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .expect("a host");
    let args = ["metadata", "--format-version", "1", "--locked", "--offline"];
    let args = [&args[..], &["--filter-platform", host]].concat();
    let all: Metadata = serde_json::from_str(&output(env!("CARGO"), &args)).expect("its JSON");
    let used: BTreeSet<String> = all.resolve.nodes.into_iter().map(|node| node.id).collect();
    let mut packages = all.packages;
    packages.retain(|package| used.contains(&package.id) && package.name != "rrr");
    assert!(packages.len() > 50, "{}", packages.len());
    packages
}

fn deny() -> Deny {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
    toml::from_str(&std::fs::read_to_string(path).unwrap()).expect("deny.toml")
}

#[test]
fn every_crate_has_an_allowed_licence() {
    let allowed: Vec<spdx::Licensee> = deny()
        .licenses
        .allow
        .iter()
        .map(|text| spdx::Licensee::parse(text).unwrap_or_else(|error| panic!("{error}")))
        .collect();
    let mut refused = Vec::new();
    for package in crates() {
        let text = package.license.unwrap_or_default();
        let read = spdx::Expression::parse_mode(&text, spdx::ParseMode::LAX);
        let fits = read.is_ok_and(|expression| {
            expression.evaluate(|wanted| allowed.iter().any(|licence| licence.satisfies(wanted)))
        });
        if !fits {
            refused.push(format!("{} {}: '{text}'", package.name, package.version));
        }
    }
    assert_eq!(refused, [""; 0]);
}

#[test]
fn duplicate_crates_are_exactly_those_allowed_in_deny_toml() {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in crates() {
        let known = versions.entry(package.name).or_default();
        known.push(package.version);
    }
    versions.retain(|_, all| all.len() > 1);
    let mut excused = BTreeMap::new();
    for skip in deny().bans.skip {
        assert!(!skip.reason.is_empty(), "{}", skip.which);
        let (name, version) = skip.which.split_once('@').expect("NAME@VERSION");
        let own = versions.get_mut(name);
        let own = own.unwrap_or_else(|| panic!("{name} no longer occurs twice"));
        let before = own.len();
        own.retain(|one| !one.starts_with(&format!("{version}.")));
        assert_eq!(own.len() + 1, before, "{} is not there", skip.which);
        excused.insert(name.to_owned(), version.to_owned());
    }
    versions.retain(|_, all| all.len() > 1);
    assert!(versions.is_empty(), "not excused: {versions:?}");
}

#[test]
fn every_crate_comes_from_one_registry() {
    let all = crates();
    let source_of = |package: &Package| package.source.clone().unwrap_or("this machine".into());
    let registry = source_of(&all[0]);
    assert!(registry.starts_with("registry+"), "{registry}");
    let others = all.iter().filter(|package| source_of(package) != registry);
    let others: Vec<&str> = others.map(|package| package.id.as_str()).collect();
    assert_eq!(others, [""; 0]);
}

/// A version of Rust as numbers: `1.89` is `1.89.0`.
fn numbers(version: &str) -> Vec<u32> {
    let mut numbers: Vec<u32> = version.split('.').map(|n| n.parse().unwrap()).collect();
    numbers.resize(3, 0);
    numbers
}

/// Clippy's `incompatible_msrv`, denied in Cargo.toml, checks that rrr calls no newer API. Newer
/// syntax is found only by a build with that Rust.
#[test]
fn no_crate_needs_a_newer_rust_than_declared() {
    let ours = numbers(env!("CARGO_PKG_RUST_VERSION"));
    let newer = crates().into_iter().filter(|package| {
        let theirs = package.rust_version.as_deref();
        theirs.is_some_and(|theirs| numbers(theirs) > ours)
    });
    let newer: Vec<String> = newer.map(|package| package.id).collect();
    assert_eq!(newer, [""; 0]);
}

/// Compares `scripts/release --sbom` with the metadata of cargo and SQLite.
#[test]
fn the_sbom_names_exactly_the_built_in_crates() {
    let list: serde_json::Value =
        serde_json::from_str(&output("scripts/release", &["--sbom"])).expect("its JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    assert_eq!(list["metadata"]["component"]["name"], "rrr");
    let lock: toml::Table = output("cat", &["Cargo.lock"]).parse().unwrap();
    let locked = |name: &str, version: &str| {
        let mut all = lock["package"].as_array().unwrap().iter();
        let own = all.find(|it| {
            it["name"].as_str() == Some(name) && it["version"].as_str() == Some(version)
        });
        let own = own.unwrap_or_else(|| panic!("{name} {version} is not in Cargo.lock"));
        own["checksum"].as_str().unwrap().to_owned()
    };
    let mut known = BTreeSet::from([text(&list["metadata"]["component"]["bom-ref"])]);
    let mut names = BTreeSet::new();
    for component in list["components"].as_array().unwrap() {
        let (name, version) = (text(&component["name"]), text(&component["version"]));
        assert!(!component["licenses"][0]["expression"].is_null(), "{name}");
        assert!(known.insert(text(&component["bom-ref"])), "{name} twice");
        match name.as_str() {
            "sqlite" => assert_eq!(version, rusqlite::version()),
            _ => assert_eq!(
                component["hashes"][0]["content"],
                locked(&name, &version),
                "{name}"
            ),
        }
        names.insert(name);
    }
    for node in list["dependencies"].as_array().unwrap() {
        for one in node["dependsOn"]
            .as_array()
            .unwrap()
            .iter()
            .chain([&node["ref"]])
        {
            assert!(known.contains(&text(one)), "{one} is not a component");
        }
    }
    let manifest: toml::Table = output("cat", &["Cargo.toml"]).parse().unwrap();
    let wanted = |table: &str| manifest[table].as_table().unwrap().keys().cloned();
    let missing: Vec<String> = wanted("dependencies")
        .filter(|name| !names.contains(name))
        .collect();
    assert_eq!(missing, [""; 0]);
    // Some are also dependencies of built-in crates: tempfile needs fastrand.
    let tests: Vec<String> = wanted("dev-dependencies")
        .filter(|name| !names.contains(name))
        .collect();
    assert!(tests.len() > 5, "{tests:?}");
}
