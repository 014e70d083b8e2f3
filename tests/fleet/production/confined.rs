//! The installed roles work with only the rights that their units grant. systemd itself must be
//! process 1, so its sandbox is rebuilt: namespaces, users and capabilities by util-linux, system
//! call filters by [`super::filter`].
//!
//! Not covered: devices (PrivateDevices), the content of /proc (ProtectProc), the limits of a
//! worker's cgroup, and filters of calls that @system-service excludes anyway.

use super::filter::Filters;
use super::install::installed;
use crate::harness::*;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The user of the roles when the test is root.
const NOBODY: u32 = 65534;

const ROLES: [&str; 4] = ["rrr-arbiter", "rrr-dispatch", "rrr-persist", "rrr-worker"];

/// Starts a role's program with the folder that its unit lets it write to.
type Start<'a> = dyn Fn(&Path, Option<&Path>) -> Tool + 'a;

/// A folder that only confined roles may write to, as systemd creates one per unit.
fn state_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    open_to_all(folder.path());
    folder
}

/// Makes a folder accessible to other users.
fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
}

/// Runs a taskset by roles that `start` confines: a synced tree, its setup, twenty tasks that pass
/// if they cannot write to `outside`, and its record. Each role must have these fields of
/// /proc/PID/status.
fn work(server: &Server, root: &Path, outside: &Path, start: &Start, fields: &[(&str, &str)]) {
    let (trees, records, work) = (state_folder(), state_folder(), state_folder());
    open_to_all(root);
    open_to_all(server.folder());
    open_to_all(&server.socket());
    let outside = outside.display();
    let text = format!("[ -e setup ] && echo x >ran; ! echo x 2>/dev/null >'{outside}'");
    let suite = Suite::new();
    let files: Vec<String> = (0..20).map(|n| format!("t{n}.sh")).collect();
    for file in &files {
        suite.file(file, &text);
    }
    let start = |name: &str, state: Option<&Path>, args: &[&str]| {
        let tool = start(&root.join("usr/bin").join(name), state).args(args);
        // PrivateTmp and HOME of the unit.
        let home = state.unwrap_or(Path::new("/nonexistent"));
        tool.env("TMPDIR", home).env("HOME", home).dir("/").spawn()
    };
    let folder = |folder: &tempfile::TempDir| folder.path().display().to_string();
    let (from, log_dir, working_dir) = (folder(&trees), folder(&records), folder(&work));
    let db = format!("sqlite:{log_dir}/history.db");
    let persist = ["--log-dir", &log_dir, "--db", &db];
    let slaves = ["--slaves", "2", "--working-dir", &working_dir];
    let worker = [&slaves[..], &["--rsync-remote-path", &from]].concat();
    let roles = [
        start(ROLES[0], None, &[]),
        start(ROLES[1], None, &[]),
        start(ROLES[2], Some(records.path()), &persist),
        start(ROLES[3], Some(work.path()), &worker),
    ];
    let run = Tool::new(server, "rrr-submit")
        .args(["--rsync-remote-path", &from, "--rsync-name", "me"])
        .arg("--follow")
        .dir(suite.path())
        .args(["--max-trials", "1", "--setup", "touch setup"])
        .args(&files)
        .args(["--", "sh", "{}"])
        .spawn();
    eventually(PATIENCE, "the run ends", || {
        for (name, role) in ROLES.iter().zip(&roles) {
            assert!(
                role.is_running(),
                "{name} was killed: strace -f shows the call"
            );
        }
        (!run.is_running()).then_some(())
    });
    let done = run.wait(PATIENCE).expect_code(0);
    assert_eq!(done.receipt().succeeded, 20);
    assert!(work.path().join("me/ran").exists());
    eventually(PATIENCE, "the record is durable", || {
        let marked: Option<String> = server.hget("rrrspec:totals", "tasks:passed");
        (marked.as_deref() == Some("20")).then_some(())
    });
    let history = Tool::new(server, "rrr-history").args(["tasksets", "--db", &db]);
    assert_eq!(history.run().expect_code(0).events().len(), 1);
    for role in roles {
        // The role itself, not a wrapper.
        assert!(status(&role, "Name").starts_with("rrr-"));
        for (field, value) in fields {
            assert_eq!(status(&role, field), *value, "{field}");
        }
        role.term();
        role.wait(PATIENCE).expect_code(0);
    }
}

/// A field of /proc/PID/status.
fn status(role: &Running, name: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{}/status", role.pid())).unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    let value = value.unwrap_or_else(|| panic!("{name} in {status}"));
    value.trim_start_matches(':').trim().to_owned()
}

/// The wrapper by unshare and setpriv. `writable` are the folders that the unit lets the role write
/// to.
fn confined(program: &Path, writable: Option<&Path>) -> Vec<String> {
    let mut words = vec!["unshare".to_owned()];
    let root = rustix::process::geteuid().is_root();
    if !root {
        words.extend(["--user".to_owned(), "--map-root-user".to_owned()]);
    }
    // PrivateNetwork, PrivateIPC, ProtectSystem=strict; then no capability and no new privilege.
    words.extend(["--mount", "--net", "--ipc", "--", "sh", "-ec"].map(str::to_owned));
    let own = writable.iter().map(|folder| folder.display().to_string());
    // A separate mount stays writable when its parent becomes read-only.
    let keep = own.map(|folder| format!("mount --bind '{folder}' '{folder}'; "));
    let keep: String = keep.collect();
    words.push(format!("{keep}mount -o remount,bind,ro /; exec \"$@\""));
    words.extend(["sh", "setpriv"].map(str::to_owned));
    if root {
        let nobody = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
        words.extend(nobody);
        words.push("--clear-groups".to_owned());
    }
    words.extend(["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"].map(str::to_owned));
    words.push(program.display().to_string());
    words
}

#[test]
fn installed_roles_work_unprivileged_read_only_and_offline() {
    let (root, server, outside) = (installed(), Server::new(), state_folder());
    let start = |program: &Path, state: Option<&Path>| {
        let words = confined(program, state);
        Tool::program(&server, &words[0]).args(&words[1..])
    };
    let escaped = outside.path().join("escaped");
    let fields = [("CapEff", "0000000000000000"), ("NoNewPrivs", "1")];
    work(&server, root.path(), &escaped, &start, &fields);
}

/// The text of a role's installed unit.
fn unit(root: &Path, name: &str) -> String {
    let folder = root.join("usr/lib/systemd/system");
    let template = folder.join(format!("{name}@.service"));
    let path = Some(template).filter(|path| path.exists());
    let path = path.unwrap_or_else(|| folder.join(format!("{name}.service")));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The drop-in for a Redis on the network.
fn drop_in(root: &Path) -> String {
    std::fs::read_to_string(root.join("usr/share/rrr/tcp.conf")).unwrap()
}

fn name(program: &Path) -> String {
    program.file_name().unwrap().to_string_lossy().into_owned()
}

/// `program` under the filters of a unit with this text.
fn filtered(redis: &(impl Address + ?Sized), program: &Path, unit: &str) -> Tool {
    let filters = Filters::of(unit);
    Tool::program(redis, program)
        .unprivileged()
        .before_exec(move || filters.enter())
}

/// As [`work`], with roles that `start` filters.
fn work_filtered(server: &Server, root: &Path, start: &Start) {
    let fields = [("Seccomp", "2"), ("NoNewPrivs", "1")];
    work(server, root, Path::new("/escaped"), start, &fields);
}

#[test]
fn roles_make_no_system_call_that_their_unit_forbids() {
    let (root, server) = (installed(), Server::new());
    let start = |program: &Path, _: Option<&Path>| {
        filtered(&server, program, &unit(root.path(), &name(program)))
    };
    work_filtered(&server, root.path(), &start);
}

#[test]
fn roles_make_no_forbidden_call_over_tls_with_the_drop_in() {
    let root = installed();
    // In a folder that the user `nobody` can read.
    let (made, own) = (redis_mode::certificates(&["localhost"]), state_folder());
    let file = |name: &str| own.path().join(name);
    for name in ["ca.crt", "rrr.crt", "rrr.key"] {
        std::fs::copy(made.join(name), file(name)).unwrap();
        open_to_all(&file(name));
    }
    let port = server::free_port();
    let settings = redis_mode::tls_settings(&made, port);
    let set = |options: server::Options, (name, value): &(String, String)| options.set(name, value);
    let server = settings.iter().fold(Server::options(), set).start();
    let url = format!("rediss://localhost:{port}");
    let start = |program: &Path, _: Option<&Path>| {
        let text = unit(root.path(), &name(program)) + "\n" + &drop_in(root.path());
        filtered(&url, program, &text)
            .env("RRR_REDIS_CA", file("ca.crt"))
            .env("RRR_REDIS_CERT", file("rrr.crt"))
            .env("RRR_REDIS_KEY", file("rrr.key"))
    };
    work_filtered(&server, root.path(), &start);
}

/// The exit status of a process that runs `attempt` under the filters.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Fine,
    Refused(i32),
    Killed,
}

fn tried(filters: &Filters, attempt: fn() -> std::io::Result<()>) -> End {
    use std::os::unix::process::CommandExt;
    let (filters, mut command) = (filters.clone(), Command::new("true"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: between fork and exec, only system calls are made and nothing is allocated.
    unsafe { command.pre_exec(move || filters.enter().and_then(|()| attempt())) };
    match command.status() {
        Err(error) => End::Refused(error.raw_os_error().expect("an error of the kernel")),
        Ok(status) if status.success() => End::Fine,
        Ok(status) => {
            assert_eq!(status.signal(), Some(Signal::SYS.as_raw()), "{status:?}");
            End::Killed
        }
    }
}

/// Makes a socket of this family.
fn socket(family: rustix::net::AddressFamily) -> std::io::Result<()> {
    rustix::net::socket(family, rustix::net::SocketType::STREAM, None)?;
    Ok(())
}

fn map(protection: ProtFlags) -> std::io::Result<()> {
    // SAFETY: new memory has no other references.
    unsafe {
        rustix::mm::mmap_anonymous(std::ptr::null_mut(), 4096, protection, MapFlags::PRIVATE)
    }?;
    Ok(())
}

/// Checks the filters themselves, without which the tests above would prove nothing.
#[test]
fn unit_filters_block_exactly_the_calls_that_they_forbid() {
    use rustix::net::AddressFamily;
    use rustix::thread::{UnshareFlags, unshare_unsafe};
    let root = installed();
    let of = |name: &str| Filters::of(&unit(root.path(), name));
    let (arbiter, worker) = (of("rrr-arbiter"), of("rrr-worker"));
    let tcp = Filters::of(&(unit(root.path(), "rrr-arbiter") + "\n" + &drop_in(root.path())));
    let refused = End::Refused(Errno::AFNOSUPPORT.raw_os_error());
    type Attempt = fn() -> std::io::Result<()>;
    let cases: [(Attempt, [&End; 3]); 9] = [
        (|| Ok(()), [&End::Fine; 3]),
        (|| Ok(rustix::process::chroot("/")?), [&End::Killed; 3]),
        // Of @resources, which only tests may need.
        (
            || Ok(rustix::process::nice(1).map(|_| ())?),
            [&End::Killed, &End::Killed, &End::Fine],
        ),
        (|| socket(AddressFamily::UNIX), [&End::Fine; 3]),
        (
            || socket(AddressFamily::INET),
            [&refused, &End::Fine, &End::Fine],
        ),
        (|| socket(AddressFamily::NETLINK), [&refused; 3]),
        (|| map(ProtFlags::READ | ProtFlags::WRITE), [&End::Fine; 3]),
        (
            || map(ProtFlags::WRITE | ProtFlags::EXEC),
            [&End::Killed, &End::Killed, &End::Fine],
        ),
        (
            // SAFETY: the process does nothing else afterwards.
            || Ok(unsafe { unshare_unsafe(UnshareFlags::NEWUTS) }?),
            [&End::Killed; 3],
        ),
    ];
    for (number, (attempt, ends)) in cases.iter().enumerate() {
        for (filters, end) in [&arbiter, &tcp, &worker].into_iter().zip(ends) {
            assert_eq!(&&tried(filters, *attempt), end, "case {number}");
        }
    }
}
