//! Starting a command as the leader of a session, and so of a process group: it does not share this
//! process's terminal or job control.

use super::Cgroup;
use super::guardian;
use super::guardian::Rest;
use nix::spawn::{
    PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags as Flags, posix_spawn, posix_spawnp,
};
use nix::sys::signal::{SigSet, Signal};
use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, WaitOptions, kill_process, pidfd_open, setrlimit, waitpid,
};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// A started process. Its owner must wait for it.
pub(crate) struct Started {
    pub pid: Pid,
    /// Readable when the process has ended.
    pub exit: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// The steps between fork and exec, apart from the session.
#[derive(Clone, Copy, Default)]
pub(crate) struct StartBounds<'a> {
    pub cgroup: Option<&'a Cgroup>,
    /// Maximum private memory in bytes.
    pub memory: Option<u64>,
    /// A guardian is between this process and the command, and leaves its remaining processes
    /// running.
    pub guarded: bool,
}

/// Makes `command` start as the leader of a session, in `cgroup` if there is one, without stdin and
/// with its outputs in pipes.
pub(crate) fn prepare(command: &mut Command, cgroup: Option<&Cgroup>) -> io::Result<()> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // SAFETY: setsid is async-signal-safe, and nothing else happens between fork and exec.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
    cgroup.map_or(Ok(()), |cgroup| cgroup.enter(command))
}

/// Starts commands.
pub(crate) struct Starter {
    /// The stdin of every command.
    null: OwnedFd,
    /// This process's environment, which does not change, as names and `NAME=VALUE`.
    ours: Vec<(OsString, CString)>,
    attributes: PosixSpawnAttr,
    /// The program that was started last, and its location on PATH.
    found: Option<(OsString, CString)>,
}

impl Starter {
    pub(crate) fn new() -> io::Result<Self> {
        let null = open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let ours = std::env::vars_os().map(|(name, value)| {
            let variable = variable(&name, &value)?;
            Ok((name, variable))
        });
        let mut attributes = PosixSpawnAttr::init()?;
        // As in the standard library: Rust ignores SIGPIPE, but a child should not.
        let mut defaults = SigSet::empty();
        defaults.add(Signal::SIGPIPE);
        attributes.set_sigdefault(&defaults)?;
        attributes.set_sigmask(&SigSet::empty())?;
        // nix does not define this flag.
        let session = Flags::from_bits_retain(nix::libc::POSIX_SPAWN_SETSID.into());
        attributes
            .set_flags(Flags::POSIX_SPAWN_SETSIGDEF | Flags::POSIX_SPAWN_SETSIGMASK | session)?;
        Ok(Self {
            null,
            attributes,
            ours: ours.collect::<io::Result<_>>()?,
            found: None,
        })
    }

    /// Starts `command` with its outputs in non-blocking pipes. Its changes to the environment are
    /// applied, but clearing the whole environment would go unnoticed.
    ///
    /// Errors: the command could not be started.
    pub(crate) fn start(
        &mut self,
        command: &mut Command,
        bounds: StartBounds,
    ) -> io::Result<Started> {
        let plain = bounds.cgroup.is_none() && bounds.memory.is_none() && !bounds.guarded;
        if plain && command.get_current_dir().is_none() {
            self.spawn(command)
        } else {
            fork(command, bounds)
        }
    }

    /// Starts the command by posix_spawn, which does not copy this process's page tables as fork
    /// does.
    fn spawn(&mut self, command: &Command) -> io::Result<Started> {
        let (stdout, its_stdout) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr, its_stderr) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut files = PosixSpawnFileActions::init()?;
        for (from, to) in [(&self.null, 0), (&its_stdout, 1), (&its_stderr, 2)] {
            files.add_dup2(from.as_raw_fd(), to)?;
        }
        let program = command.get_program();
        let mut words = vec![c_string(program)?];
        for word in command.get_args() {
            words.push(c_string(word)?);
        }
        let changes: BTreeMap<&OsStr, Option<&OsStr>> = command.get_envs().collect();
        let set = changes
            .iter()
            .filter_map(|(name, value)| Some(variable(name, (*value)?)));
        let set = set.collect::<io::Result<Vec<_>>>()?;
        let kept = self
            .ours
            .iter()
            .filter(|(name, _)| !changes.contains_key(name.as_os_str()))
            .map(|(_, variable)| variable);
        let variables: Vec<&CStr> = kept.chain(&set).map(CString::as_c_str).collect();
        let found = self.found.take_if(|(name, _)| name == program);
        let known = found.and_then(|(name, path)| {
            let pid = posix_spawn(
                path.as_c_str(),
                &files,
                &self.attributes,
                &words,
                &variables,
            )
            .ok()?;
            self.found = Some((name, path));
            Some(pid)
        });
        let pid = match known {
            Some(pid) => pid,
            None => posix_spawnp(&words[0], &files, &self.attributes, &words, &variables)?,
        };
        if self.found.is_none() && !program.as_bytes().contains(&b'/') {
            // Saves the next start a search of PATH.
            self.found = program.to_str().and_then(|name| {
                let path = crate::process::which::find(name)?;
                Some((program.to_owned(), c_string(path.as_os_str()).ok()?))
            });
        }
        let pid = Pid::from_raw(pid.as_raw()).expect("the pid of a child");
        Started::new(pid, stdout, stderr)
    }
}

/// Starts the command by fork, with additional steps before exec.
fn fork(command: &mut Command, bounds: StartBounds) -> io::Result<Started> {
    prepare(command, bounds.cgroup)?;
    if bounds.guarded {
        guardian::stand_between(command, Rest::Keep)?;
    }
    if let Some(bytes) = bounds.memory {
        let limit = Rlimit {
            current: Some(bytes),
            maximum: Some(bytes),
        };
        // SAFETY: setrlimit is async-signal-safe, and nothing else happens between fork and exec.
        unsafe {
            command.pre_exec(move || Ok(setrlimit(Resource::Data, limit)?));
        }
    }
    let mut child = command.spawn()?;
    let pipe = "its outputs are pipes";
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let pid = Pid::from_child(&child);
    Started::new(pid, stdout.expect(pipe).into(), stderr.expect(pipe).into())
}

impl Started {
    fn new(pid: Pid, stdout: OwnedFd, stderr: OwnedFd) -> io::Result<Self> {
        let observed = || {
            fcntl_setfl(&stdout, OFlags::NONBLOCK)?;
            fcntl_setfl(&stderr, OFlags::NONBLOCK)?;
            pidfd_open(pid, PidfdFlags::empty())
        };
        let exit = observed().inspect_err(|_| {
            // Without a pidfd, its end would go unnoticed.
            let _ = kill_process(pid, rustix::process::Signal::KILL);
            let _ = waitpid(Some(pid), WaitOptions::empty());
        })?;
        Ok(Self {
            pid,
            exit,
            stdout,
            stderr,
        })
    }
}

fn variable(name: &OsStr, value: &OsStr) -> io::Result<CString> {
    Ok(CString::new(
        [name.as_bytes(), b"=", value.as_bytes()].concat(),
    )?)
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    Ok(CString::new(text.as_bytes())?)
}
