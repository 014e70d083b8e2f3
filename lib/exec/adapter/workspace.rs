//! The surroundings of a trial: its folder, its cgroup where one is possible, and the variables
//! that describe them.

use super::TrialOrder;
use super::outputs;
use super::outputs::OutputDir;
use crate::exec::child::Cgroup;
use crate::process::temp_dir::{self, TempDir};
use crate::process::{remove_tree, stderr};
use crate::protocol::result::TrialResult;
use rustix::fs::{Mode, OFlags, RawDir, SeekFrom, Stat, fstat, stat};
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A slave's temporary folder, removed with the slave.
pub(crate) struct Workspace {
    folder: TempDir,
    /// TEST_TMPDIR, kept open because it is checked after each trial.
    tmp: OwnedFd,
    /// Its device and inode: a test may put another folder in its place.
    known: (u64, u64),
    /// The tests' TMPDIR, if a role has created one for them.
    shared: Option<PathBuf>,
    run_id: String,
    slot: OsString,
    cgroup: Option<Cgroup>,
    /// The place for files that a trial leaves to be kept.
    shelf: Option<OutputDir>,
}

impl Workspace {
    /// Creates a workspace for a slave of the run `run_id`, whose trials run in `cgroup` and leave
    /// files in `shelf`, if given.
    pub(crate) fn new(
        run_id: &str,
        cgroup: Option<Cgroup>,
        shelf: Option<OutputDir>,
    ) -> std::io::Result<Self> {
        let folder = TempDir::new("slave")?;
        let tmp = folder.path().join("tmp");
        temp_dir::make_private(&tmp)?;
        let (opened, known) = open(&tmp)?;
        // Only a folder that a role has created for the tests of this run.
        let shared = std::env::var_os(temp_dir::BASE)
            .map(PathBuf::from)
            .zip(std::env::var_os("TMPDIR").map(PathBuf::from))
            .and_then(|(base, shared)| (shared.parent() == Some(&base)).then_some(shared));
        Ok(Self {
            tmp: opened,
            known,
            shared,
            folder,
            run_id: run_id.to_owned(),
            slot: std::env::var_os("SLAVE_NUMBER").unwrap_or_else(|| "0".into()),
            cgroup,
            shelf,
        })
    }

    /// The cgroup of the slave's trials.
    pub(crate) fn cgroup(&self) -> Option<&Cgroup> {
        self.cgroup.as_ref()
    }

    /// The cgroup, for adapters that run one process per trial.
    pub(crate) fn take_cgroup(&mut self) -> Option<Cgroup> {
        self.cgroup.take()
    }

    /// The folder for the slave's own files.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The default path of a report.
    pub(crate) fn report(&self) -> PathBuf {
        self.folder.path().join("report.xml")
    }

    /// The variables shared by all trials of the slave.
    pub(crate) fn variables(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("RRR_RUN_ID", self.run_id.clone().into()),
            ("RRR_SLOT", self.slot.clone()),
            ("TEST_TMPDIR", self.folder.path().join("tmp").into()),
            ("XML_OUTPUT_FILE", self.report().into()),
        ]
    }

    /// Prepares for a trial; returns the variables specific to it.
    ///
    /// Errors: files of an earlier trial are in the way, or this trial's files could not be kept;
    /// with the reason.
    pub(crate) fn begin(
        &mut self,
        order: &TrialOrder,
    ) -> Result<Vec<(&'static str, String)>, String> {
        self.renew().map_err(|error| {
            let path = self.folder.path().display();
            format!("cannot recreate the temporary folder '{path}': {error}")
        })?;
        let mut variables = vec![
            ("RRR_ATTEMPT", order.job.attempt.to_string()),
            ("TEST_TIMEOUT", order.soft.as_secs().to_string()),
        ];
        if let Some(shelf) = &self.shelf {
            variables.push((outputs::VARIABLE, shelf.begin(&order.job.trial)?));
        }
        Ok(variables)
    }

    /// Recreates the tests' folders if a test has removed, replaced or closed them, and removes an
    /// earlier trial's report, which must not count for this trial. A few system calls.
    fn renew(&mut self) -> io::Result<()> {
        if let Some(shared) = &self.shared
            && !is_open(shared)
        {
            temp_dir::make_private(shared)?;
        }
        let tmp = self.folder.path().join("tmp");
        let known = self.known;
        let is_same = |found: Stat| {
            (found.st_dev, found.st_ino) == known && found.st_mode == MODE_OF_A_FOLDER
        };
        if !is_open(self.folder.path()) || !rustix::fs::lstat(&tmp).is_ok_and(is_same) {
            self.folder.restore()?;
            temp_dir::make_private(&tmp)?;
            (self.tmp, self.known) = open(&tmp)?;
            self.clean();
        }
        clear(&self.report())
    }

    /// Cleans up after a trial, and notes the kept files in its `result`.
    pub(crate) fn end(&mut self, order: &TrialOrder, result: &mut TrialResult) {
        if let Some(shelf) = &self.shelf {
            result.outputs = shelf.end(&order.job.trial);
        }
        self.clean();
    }

    /// Empties TEST_TMPDIR after a trial: two system calls if it is empty already.
    fn clean(&mut self) {
        let mut buffer = [MaybeUninit::uninit(); 2048];
        if rustix::fs::seek(&self.tmp, SeekFrom::Start(0)).is_err() {
            return;
        }
        let mut names = Vec::new();
        let mut entries = RawDir::new(&self.tmp, &mut buffer);
        while let Some(Ok(entry)) = entries.next() {
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_owned());
            }
        }
        if names.is_empty() {
            return;
        }
        let folder = self.folder.path().join("tmp");
        for name in names {
            use std::os::unix::ffi::OsStringExt;
            let path = folder.join(OsString::from_vec(name));
            if std::fs::remove_file(&path).is_err()
                && let Err(why) = remove_tree::all(&path)
            {
                // The folder is moved aside with its contents; the next trial gets a new one.
                if let Ok(aside) = remove_tree::set_aside(&folder) {
                    stderr::line(&remove_tree::complaint("rrr-slave", &path, &aside, &why));
                }
                return;
            }
        }
    }
}

/// The mode of a private folder.
const MODE_OF_A_FOLDER: u32 = 0o40700;

/// Whether this is a folder that only this user can write to, and can write to indeed.
fn is_open(folder: &Path) -> bool {
    stat(folder).is_ok_and(|found| found.st_mode == MODE_OF_A_FOLDER)
}

/// Opens a folder; also returns its device and inode, which identify it.
fn open(folder: &Path) -> io::Result<(OwnedFd, (u64, u64))> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(folder, flags, Mode::empty())?;
    let found = fstat(&opened)?;
    Ok((opened, (found.st_dev, found.st_ino)))
}

/// Makes sure that the path of a report in the slave's folder is free.
fn clear(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            if let Some((aside, why)) = remove_tree::or_set_aside(path)? {
                stderr::line(&remove_tree::complaint("rrr-slave", path, &aside, &why));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_of_a_trial_are_removed_before_the_next() {
        let mut place = Workspace::new("run", None, None).unwrap();
        let tmp = place.path().join("tmp");
        for _ in 0..2 {
            std::fs::create_dir_all(tmp.join("a/b")).unwrap();
            (0..300).for_each(|n| std::fs::write(tmp.join(format!("file {n}")), "").unwrap());
            place.clean();
            assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0);
        }
    }

    #[test]
    fn folders_are_recreated_for_the_next_trial() {
        use std::os::unix::fs::symlink;
        let mut place = Workspace::new("run", None, None).unwrap();
        let (slave, tmp, report) = (
            place.path().to_owned(),
            place.path().join("tmp"),
            place.report(),
        );
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::write(elsewhere.path().join("kept"), "").unwrap();
        let mode =
            |path: &Path, mode| rustix::fs::chmod(path, Mode::from_bits_retain(mode)).unwrap();
        let harms: [&dyn Fn(); 8] = [
            &|| std::fs::remove_dir_all(&tmp).unwrap(),
            &|| std::fs::remove_dir_all(&slave).unwrap(),
            &|| mode(&tmp, 0o555),
            &|| mode(&slave, 0),
            &|| std::fs::create_dir_all(report.join("a/b")).unwrap(),
            &|| symlink(elsewhere.path(), &report).unwrap(),
            &|| {
                std::fs::rename(&tmp, slave.join("moved")).unwrap();
                symlink(elsewhere.path(), &tmp).unwrap();
            },
            &|| {
                std::fs::remove_dir_all(&tmp).unwrap();
                std::fs::write(&tmp, "").unwrap();
            },
        ];
        for (number, harm) in harms.iter().enumerate() {
            harm();
            place.clean();
            place.renew().unwrap();
            std::fs::write(tmp.join("file"), "").unwrap();
            assert!(is_open(&slave) && is_open(&tmp), "{number}");
            assert!(report.symlink_metadata().is_err(), "{number}");
            place.clean();
            let left = std::fs::read_dir(&tmp).unwrap().count();
            assert_eq!(left, 0, "{number}");
        }
        assert!(elsewhere.path().join("kept").exists());
        drop(place);
        assert!(!slave.exists());
    }
}
