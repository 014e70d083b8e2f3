//! A password that is passed from process to process on stdin: a test of the same user could read it
//! in an argument, in the environment or in a file. Unlike a pipe, a socket cannot be opened through
//! /proc.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// The password of a Redis.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// The password that this process was given.
static GIVEN: Mutex<Option<Secret>> = Mutex::new(None);
/// Maximum seconds to wait for it: the parent process writes it first.
const PATIENCE: i64 = 10;
/// Maximum length in bytes.
const LONGEST: usize = 4096;

impl Secret {
    /// Set for a process whose first line of stdin is the password.
    pub(crate) const VARIABLE: &str = "RRR_REDIS_PASSWORD_STDIN";

    /// Returns a new random password. From now on no process of this user can read this process's
    /// memory.
    pub(crate) fn random() -> Self {
        hide();
        let id = || uuid::Uuid::new_v4().simple().to_string();
        Self(id() + &id())
    }

    /// Returns the password given in a URL.
    ///
    /// Errors: it does not fit on one line.
    pub(crate) fn new(text: String) -> io::Result<Self> {
        if text.contains('\n') || text.len() >= LONGEST {
            return Err(io::Error::other(
                "the password of Redis is too long or has more than one line",
            ));
        }
        Ok(Self(text))
    }

    /// Returns the password that this process was given on stdin, if any.
    ///
    /// Errors: it is missing although it was announced.
    pub(crate) fn given() -> io::Result<Option<Self>> {
        if std::env::var_os(Self::VARIABLE).is_none() {
            return Ok(None);
        }
        let mut given = GIVEN.lock().unwrap_or_else(|broken| broken.into_inner());
        if given.is_none() {
            hide();
            *given = Some(Self(first_line()?));
        }
        Ok(given.clone())
    }

    /// Passes the password to the next process that `command` starts; returns the other end of its
    /// stdin.
    pub(crate) fn pass_on(&self, command: &mut Command) -> io::Result<UnixStream> {
        let (mut ours, theirs) = UnixStream::pair()?;
        ours.write_all(format!("{}\n", self.0).as_bytes())?;
        command
            .env(Self::VARIABLE, "1")
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
        Ok(ours)
    }

    /// Returns the text of the password.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

/// Prevents tests, which run as the same user, from tracing this process (FAULTS S8).
fn hide() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// The first line of stdin, and not a byte more: the rest is for others.
fn first_line() -> io::Result<String> {
    let stdin = rustix::stdio::stdin();
    let mut line = Vec::new();
    let patience = Timespec {
        tv_sec: PATIENCE,
        tv_nsec: 0,
    };
    while line.len() < LONGEST {
        let mut byte = [0];
        let ready = poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&patience))?;
        if ready == 0 || rustix::io::read(stdin, &mut byte)? == 0 {
            break;
        }
        if byte == [b'\n'] {
            return String::from_utf8(line).map_err(io::Error::other);
        }
        line.push(byte[0]);
    }
    Err(io::Error::other(
        "it is not there; does the slave command read its stdin before it runs rrr-slave?",
    ))
}
