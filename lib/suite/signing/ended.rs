//! The signed runs that a worker has begun and has seen finish. Without this record anyone who can
//! write to Redis could replay a run until its signature expires.
//!
//! The worker's file has one line per run: the expiry of the signature, a digest of everything
//! signed, the taskset, and `begun` or `ended`. A run that has begun may continue, for example
//! after a restart of the worker.

use super::SignedRun;
use crate::process::regular_file::{self, Links};
use crate::protocol::key::TasksetKey;
use rustix::fs::{FlockOperation, OFlags, flock};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Maximum bytes of the file.
const MOST: u64 = 64 << 20;
const BEGUN: &str = "begun";
const ENDED: &str = "ended";

/// The worker's file.
pub(crate) struct EndedRuns {
    path: PathBuf,
}

impl EndedRuns {
    /// Opens the file of the worker `id` in `folder`, which is created if missing. Runs whose
    /// signature has expired at `now` are dropped. Begun runs are marked as ended if `is_over`,
    /// since this worker may have been killed before it saw their end.
    ///
    /// Errors: the file cannot be written, or is damaged; then no run may begin.
    pub(crate) fn open(
        folder: &Path,
        id: &str,
        now: i64,
        mut is_over: impl FnMut(&TasksetKey) -> anyhow::Result<bool>,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        // An id may contain a slash.
        let name = &super::digest([id].into_iter())[..16];
        let ended = Self {
            path: folder.join(format!("signed-runs-{name}")),
        };
        let mut file = ended.file()?;
        let mut lines = String::new();
        for (run, has_ended) in ended.runs()? {
            if run.until >= now {
                let has_ended = has_ended || is_over(&run.taskset)?;
                lines.push_str(&line(&run, if has_ended { ENDED } else { BEGUN }));
            }
        }
        // Written in place, since another process may have it open; a crash while writing damages
        // it.
        file.set_len(0)?;
        file.write_all(lines.as_bytes())?;
        file.sync_all()?;
        Ok(ended)
    }

    /// The path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes that `run` begins; false if it has already ended.
    pub(crate) fn begin(&mut self, run: &SignedRun) -> io::Result<bool> {
        let mut file = self.file()?;
        match self.runs()?.get(run) {
            Some(has_ended) => Ok(!has_ended),
            None => {
                file.write_all(line(run, BEGUN).as_bytes())?;
                file.sync_data()?;
                Ok(true)
            }
        }
    }

    /// Notes that `run` has ended.
    pub(crate) fn end(&mut self, run: &SignedRun) -> io::Result<()> {
        let mut file = self.file()?;
        file.write_all(line(run, ENDED).as_bytes())?;
        file.sync_data()
    }

    /// Opens the file for appending, locked while it is open.
    fn file(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let options = options.append(true).create(true).mode(0o600);
        let file = options.custom_flags(flags.bits() as i32).open(&self.path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    }

    /// Each run in the file, with whether it has ended.
    fn runs(&self) -> io::Result<HashMap<SignedRun, bool>> {
        let text = regular_file::read_text(&self.path, Links::Refuse, MOST)?;
        let mut runs = HashMap::new();
        for text in text.lines() {
            let (run, has_ended) = read(text)
                .ok_or_else(|| io::Error::other(format!("damaged: '{}'", text.escape_debug())))?;
            *runs.entry(run).or_default() |= has_ended;
        }
        Ok(runs)
    }
}

fn line(run: &SignedRun, state: &str) -> String {
    format!("{} {} {} {state}\n", run.until, run.digest, run.taskset)
}

fn read(line: &str) -> Option<(SignedRun, bool)> {
    let mut words = line.split(' ');
    let run = SignedRun {
        until: words.next()?.parse().ok()?,
        digest: words.next()?.to_owned(),
        taskset: words.next()?.parse().ok()?,
    };
    match words.next()? {
        BEGUN => Some((run, false)),
        ENDED => Some((run, true)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(until: i64, taskset: &str) -> SignedRun {
        SignedRun {
            until,
            digest: "d1".into(),
            taskset: taskset.parse().unwrap(),
        }
    }

    #[test]
    fn a_run_that_has_ended_never_begins_again() {
        let folder = tempfile::tempdir().unwrap();
        let open =
            |now| EndedRuns::open(folder.path(), "w/1", now, |key| Ok(key.id() == "gone")).unwrap();
        let (seen, gone) = (
            run(10, "rrrspec:taskset:a"),
            run(10, "rrrspec:taskset:gone"),
        );
        let mut ended = open(1);
        for run in [&seen, &seen, &gone] {
            assert!(ended.begin(run).unwrap(), "it may be gone on with");
        }
        let mut ended = open(2);
        assert!(ended.begin(&seen).unwrap(), "after a restart too");
        assert!(!ended.begin(&gone).unwrap(), "it has ended");
        ended.end(&seen).unwrap();
        assert!(!ended.begin(&seen).unwrap());
        assert!(!open(10).begin(&seen).unwrap());
        let other = SignedRun {
            digest: "d2".into(),
            ..seen.clone()
        };
        assert!(ended.begin(&other).unwrap(), "signed again under its key");
        open(11);
        assert_eq!(std::fs::read_to_string(ended.path()).unwrap(), "");
    }

    #[test]
    fn a_damaged_or_missing_record_lets_no_run_begin() {
        let folder = tempfile::tempdir().unwrap();
        let open = || EndedRuns::open(folder.path(), "w", 1, |_| Ok(false));
        let mut ended = open().unwrap();
        std::fs::write(ended.path(), "10 d1 rrrspec:taskset:a be").unwrap();
        assert!(ended.begin(&run(10, "rrrspec:taskset:b")).is_err());
        assert!(open().is_err());
        std::fs::remove_file(ended.path()).unwrap();
        std::os::unix::fs::symlink("elsewhere", ended.path()).unwrap();
        assert!(ended.begin(&run(10, "rrrspec:taskset:b")).is_err());
        assert!(!folder.path().join("elsewhere").exists());
    }
}
