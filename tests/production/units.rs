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

/// The wrapper that stands in for systemd: what it can grant without being process 1. `writable` are
/// the folders that the unit lets it write to. Not here: the filter of system calls, which only
/// systemd applies.
fn confined(program: &Path, writable: &[&Path]) -> Vec<String> {
    let mut words = vec!["unshare".to_owned()];
    let root = rustix::process::geteuid().is_root();
    if !root {
        words.extend(["--user".to_owned(), "--map-root-user".to_owned()]);
    }
    // PrivateNetwork, PrivateIPC, ProtectSystem=strict; then no capability and no new privilege.
    words.extend(["--mount", "--net", "--ipc", "--", "sh", "-ec"].map(str::to_owned));
    let own = writable.iter().map(|folder| folder.display().to_string());
    // A mount of its own stays writable when what it lies in becomes read-only.
    let keep = own.map(|folder| format!("mount --bind '{folder}' '{folder}'; "));
    let keep: String = keep.collect();
    words.push(format!("{keep}mount -o remount,bind,ro /; exec \"$@\""));
    words.extend(["sh", "setpriv"].map(str::to_owned));
    if root {
        words.extend(["--reuid=65534", "--regid=65534", "--clear-groups"].map(str::to_owned));
    }
    words.extend(["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"].map(str::to_owned));
    words.push(program.display().to_string());
    words
}

/// A folder that only confined roles may write to, as systemd makes one for each unit.
fn state_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    open_to_all(folder.path());
    folder
}

#[test]
fn installed_roles_work_as_an_unprivileged_user_on_a_read_only_system_without_network() {
    let root = installed();
    let server = Server::new();
    let (trees, records, work) = (state_folder(), state_folder(), state_folder());
    open_to_all(root.path());
    open_to_all(server.folder());
    open_to_all(&server.socket());
    let outside = trees.path().join("escaped").display().to_string();
    let text = format!("[ -e setup ] && echo x >ran; ! echo x 2>/dev/null >'{outside}'");
    let tree = trees.path().join("me");
    std::fs::create_dir(&tree).unwrap();
    let files: Vec<String> = (0..20).map(|n| format!("t{n}.sh")).collect();
    for file in &files {
        std::fs::write(tree.join(file), &text).unwrap();
    }
    let start = |name: &str, state: Option<&Path>, args: &[&str]| {
        let program = root.path().join("usr/bin").join(name);
        let words = confined(&program, state.as_slice());
        let tool = Tool::program(&server, &words[0])
            .args(&words[1..])
            .args(args);
        // PrivateTmp and HOME of the unit.
        let home = state.unwrap_or(Path::new("/nonexistent"));
        tool.env("TMPDIR", home).env("HOME", home).dir("/").spawn()
    };
    let folder = |folder: &tempfile::TempDir| folder.path().display().to_string();
    let (from, log_dir, working_dir) = (folder(&trees), folder(&records), folder(&work));
    let db = format!("sqlite:{log_dir}/history.db");
    let persist = ["--log-dir", &log_dir, "--db", &db];
    let worker = [
        "--slaves",
        "2",
        "--working-dir",
        &working_dir,
        "--rsync-remote-path",
        &from,
    ];
    let roles = [
        start("rrr-arbiter", None, &[]),
        start("rrr-dispatch", None, &[]),
        start("rrr-persist", Some(records.path()), &persist),
        start("rrr-worker", Some(work.path()), &worker),
    ];
    let done = Tool::new(&server, "rrr-submit")
        .args([
            "--no-rsync",
            "--rsync-name",
            "me",
            "--follow",
            "--max-trials",
            "1",
        ])
        .args(["--setup", "touch setup"])
        .args(&files)
        .args(["--", "sh", "{}"])
        .run()
        .expect_code(0);
    assert_eq!(done.receipt()["succeeded"], 20);
    assert!(work.path().join("me/ran").exists());
    let history = || {
        let tool = Tool::new(&server, "rrr-history").args(["tasksets", "--db", &db]);
        tool.run().expect_code(0).events().len()
    };
    eventually(PATIENCE, "the record is durable", || {
        let marked: Option<String> = server.hget("rrrspec:totals", "tasks:passed");
        (marked.as_deref() == Some("20")).then_some(())
    });
    assert_eq!(history(), 1);
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
