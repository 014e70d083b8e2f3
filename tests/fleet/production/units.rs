//! The systemd units, verified offline by systemd. [`super::confined`] shows that the roles can
//! work with only the rights that they grant.

use super::install::installed;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The roles' units, with their maximum exposure by systemd, in tenths: on a Unix socket, and with
/// the drop-in for TCP.
const BUDGETS: [(&str, u32, u32); 5] = [
    ("rrr-arbiter.service", 5, 13),
    ("rrr-dispatch.service", 5, 13),
    ("rrr-persist.service", 5, 13),
    ("rrr-persist-drain.service", 5, 13),
    ("rrr-worker@.service", 27, 27),
];

fn analyze(args: &[&str], files: &[PathBuf]) -> String {
    let output = Command::new("systemd-analyze")
        .args(args)
        .args(files)
        .output();
    let output = output.expect("systemd-analyze, of the package systemd");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{args:?} {files:?}: {said}");
    said
}

fn units(root: &Path) -> PathBuf {
    root.join("usr/lib/systemd/system")
}

#[test]
fn installed_units_pass_verification() {
    let root = installed();
    // The targets that the units name, which belong to systemd.
    for entry in std::fs::read_dir("/usr/lib/systemd/system")
        .expect("systemd's units")
        .flatten()
    {
        let name = entry.file_name();
        if name.to_string_lossy().ends_with(".target") {
            std::fs::copy(entry.path(), units(root.path()).join(name)).unwrap();
        }
    }
    let place = format!("--root={}", root.path().display());
    let names = [
        "rrr-arbiter.service",
        "rrr-dispatch.service",
        "rrr-persist.service",
        "rrr-persist-drain.service",
        "rrr-persist-drain.timer",
        "rrr-worker@default.service",
        "rrr.target",
    ];
    let said = analyze(
        &["verify", "--man=no", "--recursive-errors=no", &place],
        &names.map(PathBuf::from),
    );
    assert_eq!(said, "");
}

#[test]
fn the_exposure_of_every_unit_is_within_its_budget() {
    let root = installed();
    for (name, socket, tcp) in BUDGETS {
        let unit = units(root.path()).join(name);
        let check = |tenths: u32| {
            let threshold = format!("--threshold={tenths}");
            analyze(
                &["security", "--offline=true", "--no-pager", &threshold],
                std::slice::from_ref(&unit),
            )
        };
        check(socket);
        // As changed by the drop-in: later settings of the same section win.
        let dropin = std::fs::read_to_string(root.path().join("usr/share/rrr/tcp.conf")).unwrap();
        let text = std::fs::read_to_string(&unit).unwrap();
        std::fs::write(&unit, text + "\n" + &dropin).unwrap();
        check(tcp);
    }
}
