//! The systemd units: what systemd says of them offline, and that the roles run with only what
//! they grant.

use super::harness::*;
use super::install::installed;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The roles' units, with the exposure that systemd may find at most, in tenths: on a Unix socket,
/// and with the drop-in for TCP.
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
fn installed_units_are_found_without_fault() {
    let root = installed();
    // The targets that ours name, which are systemd's own.
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
        // As the drop-in changes it: later settings of the same section win.
        let dropin = std::fs::read_to_string(root.path().join("usr/share/rrr/tcp.conf")).unwrap();
        let text = std::fs::read_to_string(&unit).unwrap();
        std::fs::write(&unit, text + "\n" + &dropin).unwrap();
        check(tcp);
    }
}

/// The wrapper that stands in for systemd: what it can grant without being process 1. Not here: the
/// filter of system calls, which only systemd applies.
fn confined(program: &Path) -> Vec<String> {
    let mut words = vec!["unshare".to_owned()];
    let root = rustix::process::geteuid().is_root();
    if !root {
        words.extend(["--user".to_owned(), "--map-root-user".to_owned()]);
    }
    // PrivateNetwork, PrivateIPC, ProtectSystem=strict; then no capability and no new privilege.
    words.extend(["--mount", "--net", "--ipc", "--", "sh", "-ec"].map(str::to_owned));
    words.push("mount -o remount,bind,ro / && exec \"$@\"".to_owned());
    words.extend(["sh", "setpriv"].map(str::to_owned));
    if root {
        words.extend(["--reuid=65534", "--regid=65534", "--clear-groups"].map(str::to_owned));
    }
    words.extend(["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"].map(str::to_owned));
    words.push(program.display().to_string());
    words
}

#[test]
fn installed_roles_work_as_an_unprivileged_user_on_a_read_only_system_without_network() {
    let root = installed();
    let server = Server::new();
    let suite = Suite::new();
    suite.many(20, "exit 0");
    open_to_all(root.path());
    open_to_all(server.folder());
    open_to_all(&server.socket());
    let start = |name: &str| {
        let program = root.path().join("usr/bin").join(name);
        let words = confined(&program);
        Tool::program(&server, &words[0]).args(&words[1..]).spawn()
    };
    let roles = [start("rrr-arbiter"), start("rrr-dispatch")];
    let fleet = Fleet::plan(&server).arbiters(0).dispatchers(0).start();
    let _worker = fleet.worker("w", 2, suite.path());
    let done = submit(&server, &suite, &[]).wait(PATIENCE).expect_code(0);
    assert_eq!(done.receipt()["succeeded"], 20);
    for role in roles {
        let status = std::fs::read_to_string(format!("/proc/{}/status", role.pid())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("{name} in {status}"))
                .trim()
                .to_owned()
        };
        assert!(
            field("Name:").starts_with("rrr-"),
            "it is the role itself: {status}"
        );
        assert_eq!(field("CapEff:"), "0000000000000000");
        assert_eq!(field("NoNewPrivs:"), "1");
        role.term();
        role.wait(PATIENCE).expect_code(0);
    }
}

/// Lets another user of this machine through.
fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
}
