//! scripts/install, into an empty root.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs scripts/install with the programs of this build, below `root`.
pub fn install(root: &Path, args: &[&str]) -> std::process::Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install");
    let mut command = Command::new(script);
    command
        .args(args)
        .env("DESTDIR", root)
        .env("PREFIX", "/usr");
    let output = command.output().expect("scripts/install");
    assert!(output.status.success(), "{output:?}");
    output
}

/// An empty root with rrr installed.
pub fn installed() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a temporary folder");
    let built = Path::new(env!("CARGO_BIN_EXE_rrr")).parent().unwrap();
    install(root.path(), &["--from", built.to_str().unwrap()]);
    root
}

fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => found.extend([entry.path()]),
            }
        }
    }
    found
}

#[test]
fn an_installation_is_what_it_lists_twice_the_same_and_goes_without_a_trace() {
    let root = installed();
    let first = files(root.path());
    let listed = install(root.path(), &["--list"]).stdout;
    let listed: BTreeSet<PathBuf> = String::from_utf8(listed)
        .unwrap()
        .lines()
        .map(PathBuf::from)
        .collect();
    assert_eq!(first, listed);
    for name in [
        "bin/rrr-arbiter",
        "share/man/man7/rrr.7",
        "lib/systemd/system/rrr.target",
    ] {
        assert!(
            first.contains(&root.path().join("usr").join(name)),
            "{name}"
        );
    }
    let built = Path::new(env!("CARGO_BIN_EXE_rrr")).parent().unwrap();
    install(root.path(), &["--from", built.to_str().unwrap()]);
    assert_eq!(files(root.path()), first);
    std::fs::write(root.path().join("usr/bin/other"), "").unwrap();
    install(root.path(), &["--uninstall"]);
    assert_eq!(
        files(root.path()),
        BTreeSet::from([root.path().join("usr/bin/other")])
    );
}

#[test]
fn what_is_installed_runs() {
    let root = installed();
    let output = Command::new(root.path().join("usr/bin/rrr-arbiter"))
        .arg("--version")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        said.trim(),
        concat!("rrr-arbiter ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn sizing_tells_what_a_task_and_a_role_cost() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/sizing");
    let built = Path::new(env!("CARGO_BIN_EXE_rrr")).parent().unwrap();
    let output = Command::new(script)
        .arg("40")
        .env("RRR_BIN", built)
        .output();
    let output = output.expect("scripts/sizing");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect();
    assert_eq!(lines.len(), 10, "{text}");
    for line in lines {
        assert!(line["value"].as_u64().unwrap() > 0, "{line}");
        assert!(
            line["what"].is_string() && line["unit"].is_string(),
            "{line}"
        );
    }
}
