//! Starts an rrr binary, or any other program, in a known environment.

use std::ffi::{OsStr, OsString};
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::handle::die_with_the_test;
use crate::harness::process::{Finished, Running};
use crate::harness::process_tree::TAG;
use crate::harness::server::Address;

/// The unprivileged user `nobody`.
pub const NOBODY: u32 = 65534;

/// The path of the rrr binary `name`.
#[track_caller]
pub fn bin(name: &str) -> PathBuf {
    // Cargo builds all binaries of the package into one folder, before any integration test.
    let path = Path::new(env!("CARGO_BIN_EXE_rrr-submit")).with_file_name(name);
    assert!(path.is_file(), "no binary at {}", path.display());
    path
}

/// Lets a role handle its queue once, as with `rrr-arbiter --drain`.
#[track_caller]
pub fn drain(redis: &(impl Address + ?Sized), role: &str) -> Finished {
    Tool::new(redis, role).arg("--drain").run().expect_code(0)
}

/// A program to start. Its environment is the test's, without variables that configure rrr (`RRR*`,
/// `REDIS_URL`, `NOTIFY_SOCKET`, …) or hide a fault, and with `RRR_REDIS_URL`. Its stdin is empty.
pub struct Tool {
    name: String,
    tag: String,
    command: Command,
    stdin: Option<Vec<u8>>,
    bound: Duration,
}

impl Tool {
    /// The rrr binary `name`, connected to `redis`.
    #[track_caller]
    pub fn new(redis: &(impl Address + ?Sized), name: &str) -> Self {
        Self::program(redis, bin(name))
    }

    /// Any other program, such as a script of the project or `sh`.
    pub fn program(redis: &(impl Address + ?Sized), program: impl AsRef<OsStr>) -> Self {
        let program = Path::new(program.as_ref());
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| configures_us(name)) {
            command.env_remove(name);
        }
        let tag = uuid::Uuid::new_v4().to_string();
        let url = redis.redis_url();
        command.env(TAG, &tag);
        command.env("XDG_STATE_HOME", state_folder(&redis.redis_url()));
        command.process_group(0);
        die_with_the_test(&mut command);
        let name = program.file_name().unwrap_or(program.as_os_str());
        command.envs(crate::harness::redis_mode::variables(
            &name.to_string_lossy(),
            &url,
        ));
        Self {
            name: name.to_string_lossy().into_owned(),
            tag,
            command,
            stdin: None,
            bound: Duration::from_secs(60),
        }
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Adds one argument.
    pub fn arg(self, arg: impl AsRef<OsStr>) -> Self {
        self.args([arg])
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes an environment variable, such as `RRR_REDIS_URL`.
    pub fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Sets the working folder.
    pub fn dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Starts the program as `nobody` if the test is root.
    pub fn unprivileged(mut self) -> Self {
        if rustix::process::geteuid().is_root() {
            self.command.uid(NOBODY).gid(NOBODY);
        }
        self
    }

    /// As [`Tool::unprivileged`], after making `nobody` the owner of `suite`.
    pub fn owning(self, suite: &crate::harness::fleet::Suite) -> Self {
        if rustix::process::geteuid().is_root() {
            suite.give_to(NOBODY);
        }
        self.unprivileged()
    }

    /// Runs `work` in the new process before exec. It may only make system calls: locks of other
    /// threads, including the allocator's, may be held forever there.
    pub fn before_exec(
        mut self,
        work: impl FnMut() -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        // SAFETY: by the contract above.
        unsafe { self.command.pre_exec(work) };
        self
    }

    /// Sends `bytes` to stdin, then closes it.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Sets the maximum wait of [`Tool::run`] (default: one minute).
    pub fn bound(mut self, bound: Duration) -> Self {
        self.bound = bound;
        self
    }

    /// Starts the program without waiting for it.
    ///
    /// The thread that calls this must live as long as the process may: the kernel kills the
    /// process when that thread ends.
    #[track_caller]
    pub fn spawn(self) -> Running {
        self.start(Stdio::piped())
    }

    /// Starts the program with a stdout that has no reader: the first write fails.
    #[track_caller]
    pub fn spawn_with_stdout_closed(self) -> Running {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        self.start(writer.into())
    }

    /// Runs the program to its end; panics with its output if that takes too long.
    #[track_caller]
    pub fn run(self) -> Finished {
        let bound = self.bound;
        self.spawn().wait(bound)
    }

    #[track_caller]
    fn start(mut self, stdout: Stdio) -> Running {
        let stdin = match self.stdin {
            Some(_) => Stdio::piped(),
            None => Stdio::null(),
        };
        self.command
            .stdin(stdin)
            .stdout(stdout)
            .stderr(Stdio::piped());
        let mut child = match self.command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("cannot start {}: {error}", self.name),
        };
        if let (Some(bytes), Some(mut stdin)) = (self.stdin, child.stdin.take()) {
            // A program need not read all of its stdin.
            std::thread::spawn(move || stdin.write_all(&bytes));
        }
        Running::new(self.name, self.tag, child)
    }
}

/// The state folder of the tools of one Redis: beside its socket, so that it goes with it; for another
/// URL, a folder of this test process. Its name is a digest, because a URL may hold a password.
fn state_folder(url: &str) -> std::path::PathBuf {
    let socket = url.strip_prefix("unix://").map(Path::new);
    let folder = socket.and_then(Path::parent).filter(|path| path.is_dir());
    folder.map_or_else(
        || {
            let mut digest = std::hash::DefaultHasher::new();
            url.hash(&mut digest);
            let own = format!("state-{}-{:x}", std::process::id(), digest.finish());
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(own)
        },
        |path| path.join("state"),
    )
}

fn configures_us(name: &OsString) -> bool {
    const OTHERS: [&str; 9] = [
        "CI",
        // PYTHONUNBUFFERED would hide output that a runner forgets to flush.
        "PYTHONUNBUFFERED",
        "REDIS_URL",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "NUM_SLAVES",
        "SLAVE_NUMBER",
        "TEST_ENV_NUMBER",
    ];
    let name = name.to_string_lossy();
    name.starts_with("RRR") || OTHERS.contains(&&*name)
}
