//! scripts/install, into an empty root.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn script(name: &str) -> Command {
    Command::new(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("scripts")
            .join(name),
    )
}

/// Runs scripts/install below `root`.
pub fn install(root: &Path, args: &[&str]) -> std::process::Output {
    let mut command = script("install");
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
fn an_install_is_complete_repeatable_and_fully_removable() {
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

/// The Debian package is built from the files that scripts/install installs. Its list in Cargo.toml
/// only sets modes and must not omit a file. The first matching pattern applies.
#[test]
fn the_debian_package_has_every_installed_file_with_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let root = installed();
    let manifest = include_str!("../../../Cargo.toml");
    let manifest: toml::Table = manifest.parse().unwrap();
    let package = &manifest["package"]["metadata"]["deb"];
    let assets: Vec<[String; 3]> = package["assets"].clone().try_into().unwrap();
    let mut used = BTreeSet::new();
    for path in files(root.path()) {
        let place = path.strip_prefix(root.path()).unwrap();
        if place == Path::new("usr/share/doc/rrr/copyright") {
            // cargo-deb generates it from LICENSE.
            assert_eq!(
                package["license-file"].as_array().unwrap()[0].as_str(),
                Some("LICENSE")
            );
            continue;
        }
        let options = glob::MatchOptions {
            require_literal_separator: true,
            ..Default::default()
        };
        let found = assets.iter().find(|[from, ..]| {
            let pattern = from.strip_prefix("target/deb/").expect("a staged file");
            glob::Pattern::new(pattern)
                .unwrap()
                .matches_path_with(place, options)
        });
        let [from, to, mode] =
            found.unwrap_or_else(|| panic!("{} is in no asset", place.display()));
        // The text before the first `*` is replaced by the target.
        let fixed = &from["target/deb/".len()..from.find('*').unwrap()];
        let fixed = &fixed[..=fixed.rfind('/').unwrap()];
        assert_eq!(fixed, to, "{from}");
        let installed = path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(format!("{installed:o}"), *mode, "{}", place.display());
        used.insert(from);
    }
    assert_eq!(
        used.len(),
        assets.len(),
        "of no use: {assets:?}, used: {used:?}"
    );
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/debian");
    for script in files(&scripts) {
        let mode = script.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{} does not run", script.display());
        let checked = Command::new("sh").arg("-n").arg(&script).output().unwrap();
        assert!(checked.status.success(), "{checked:?}");
    }
}

#[test]
fn install_uses_the_given_folders_and_refuses_bad_arguments() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let here = root.path().join("a folder");
    std::fs::create_dir(&here).unwrap();
    std::os::unix::fs::symlink(
        Path::new(env!("CARGO_BIN_EXE_rrr")).parent().unwrap(),
        here.join("built"),
    )
    .unwrap();
    let run = |destination: &str, prefix: &str, args: &[&str]| {
        let mut command = script("install");
        command.current_dir(&here).args(args);
        command.env("DESTDIR", destination).env("PREFIX", prefix);
        command.output().expect("scripts/install")
    };
    let done = run("new root", "/opt/", &["--from", "built"]);
    assert!(done.status.success(), "{done:?}");
    assert!(here.join("new root/opt/bin/rrr").exists());
    let unit = here.join("new root/opt/lib/systemd/system/rrr-arbiter.service");
    let unit = std::fs::read_to_string(unit).unwrap();
    assert!(unit.contains("ExecStart=/opt/bin/rrr-arbiter\n"), "{unit}");
    for _ in 0..2 {
        let gone = run("new root", "/opt/", &["--uninstall"]);
        assert!(gone.status.success(), "{gone:?}");
        assert_eq!(files(&here.join("new root")), BTreeSet::new());
    }
    for (prefix, args, said) in [
        ("/opt", &["--from"][..], "--from needs a folder"),
        ("/opt", &["--from", "no"], "'no' contains no programs"),
        ("/opt", &["--frm", "built"], "unexpected argument '--frm'"),
        (
            "opt",
            &["--from", "built"],
            "PREFIX must be an absolute path",
        ),
    ] {
        let refused = run("new root", prefix, args);
        let text = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{args:?}: {text}");
        assert!(text.contains(said) && text.contains("hint: "), "{text}");
        assert_eq!(files(&here.join("new root")), BTreeSet::new());
    }
}

#[test]
fn installed_programs_run() {
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
fn sizing_reports_the_cost_of_a_task_and_a_role() {
    let built = Path::new(env!("CARGO_BIN_EXE_rrr")).parent().unwrap();
    let output = script("sizing").arg("40").env("RRR_BIN", built).output();
    let output = output.expect("scripts/sizing");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect();
    assert_eq!(lines.len(), 21, "{text}");
    for line in lines {
        // A slave's CPU time per second is a difference, which may be negative on a busy machine.
        let least = if line["unit"] == "us a second" {
            i64::MIN
        } else {
            1
        };
        assert!(line["value"].as_i64().unwrap() >= least, "{line}");
        assert!(
            line["what"].is_string() && line["unit"].is_string(),
            "{line}"
        );
    }
}
