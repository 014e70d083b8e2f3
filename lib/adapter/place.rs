//! What a trial finds around it: a folder and, where there may be one, a cgroup of its own, and the
//! variables that tell it where it is.

use super::Order;
use super::outputs::{self, Shelf};
use crate::child::Cgroup;
use crate::folder::Folder;
use crate::trial;
use rustix::fs::{Mode, OFlags, RawDir, SeekFrom};
use std::ffi::OsString;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A slave's temporary folder, gone with the slave.
pub struct Place {
    folder: Folder,
    /// Kept open, because it is looked into after each trial.
    tmp: OwnedFd,
    run_id: String,
    slot: OsString,
    cgroup: Option<Cgroup>,
    /// Where a trial may leave what is to be kept.
    shelf: Option<Shelf>,
}

impl Place {
    /// Makes one for a slave of the run `run_id`, whose trials run in `cgroup` and leave what is to
    /// be kept in `shelf`, if there are such.
    pub fn new(
        run_id: &str,
        cgroup: Option<Cgroup>,
        shelf: Option<Shelf>,
    ) -> std::io::Result<Self> {
        let folder = Folder::new("slave")?;
        let tmp = folder.path().join("tmp");
        std::fs::create_dir(&tmp)?;
        Ok(Self {
            tmp: rustix::fs::open(
                &tmp,
                OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )?,
            folder,
            run_id: run_id.to_owned(),
            slot: std::env::var_os("SLAVE_NUMBER").unwrap_or_else(|| "0".into()),
            cgroup,
            shelf,
        })
    }

    /// Where its trials run.
    pub fn cgroup(&self) -> Option<&Cgroup> {
        self.cgroup.as_ref()
    }

    /// The same, for whoever runs one process for each trial.
    pub fn take_cgroup(&mut self) -> Option<Cgroup> {
        self.cgroup.take()
    }

    /// Where a file of the slave may be kept.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where a report is looked for when no path was given.
    pub fn report(&self) -> PathBuf {
        self.folder.path().join("report.xml")
    }

    /// The variables that are the same for all trials of the slave.
    pub fn variables(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("RRR_RUN_ID", self.run_id.clone().into()),
            ("RRR_SLOT", self.slot.clone()),
            ("TEST_TMPDIR", self.folder.path().join("tmp").into()),
            ("XML_OUTPUT_FILE", self.report().into()),
        ]
    }

    /// Gets ready for a trial; the variables that are its own.
    ///
    /// Errors: what it leaves could not be kept, and why.
    pub fn begin(&self, order: &Order) -> Result<Vec<(&'static str, String)>, String> {
        let mut variables = vec![
            ("RRR_ATTEMPT", order.job.attempt.to_string()),
            ("TEST_TIMEOUT", order.soft.as_secs().to_string()),
        ];
        if let Some(shelf) = &self.shelf {
            variables.push((outputs::VARIABLE, shelf.begin(&order.job.trial)?));
        }
        Ok(variables)
    }

    /// Tidies up after a trial, and says in its `result` what is kept of it.
    pub fn end(&mut self, order: &Order, result: &mut trial::Result) {
        if let Some(shelf) = &self.shelf {
            result.outputs = shelf.end(&order.job.trial);
        }
        self.clean();
    }

    /// Removes what a trial left in TEST_TMPDIR: two system calls when there is nothing.
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
        for name in names {
            use std::os::unix::ffi::OsStringExt;
            let path = self
                .folder
                .path()
                .join("tmp")
                .join(OsString::from_vec(name));
            if std::fs::remove_file(&path).is_err() {
                let _ = std::fs::remove_dir_all(&path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_trial_left_is_gone_before_the_next() {
        let mut place = Place::new("run", None, None).unwrap();
        let tmp = place.path().join("tmp");
        for _ in 0..2 {
            std::fs::create_dir_all(tmp.join("a/b")).unwrap();
            (0..300).for_each(|n| std::fs::write(tmp.join(format!("file {n}")), "").unwrap());
            place.clean();
            assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0);
        }
    }
}
