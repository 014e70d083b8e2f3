//! Temporary folders that are removed with their owner, even if it is killed: the owner keeps each
//! folder locked, so the next tool to start can recognise abandoned ones and remove them.

use crate::process::regular_file::{self, Links};
use crate::process::{remove_tree, stderr};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::Builder;

/// The roles that create such folders.
const OWNERS: [&str; 4] = ["local", "slave", "submit", "worker"];
/// The file that identifies such a folder.
const LOCK: &str = "lock";
/// The variable with the folder in which a role creates its folders, if not the tests' own.
pub(crate) const BASE: &str = "RRR_TMPDIR";

/// A temporary folder, removed when dropped.
pub(crate) struct TempDir {
    path: PathBuf,
    owner: &'static str,
    /// The folder itself is locked: a test could replace a file in it.
    _lock: OwnedFd,
    /// For older tools, which only know this lock.
    _old_lock: File,
}

impl TempDir {
    /// Creates a folder for rrr-`owner`.
    pub(crate) fn new(owner: &'static str) -> io::Result<Self> {
        debug_assert!(OWNERS.contains(&owner));
        loop {
            let folder = Builder::new().prefix(&prefix(owner)).tempdir_in(base())?;
            let lock = open(folder.path())?;
            let is_locked = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
            let path = folder.path().join(LOCK);
            let Ok(old_lock) = File::create_new(&path) else {
                continue;
            };
            let is_locked = is_locked && old_lock.try_lock().is_ok();
            // Before it was locked, another tool may have removed it as abandoned.
            if is_locked && path.exists() {
                return Ok(Self {
                    path: folder.keep(),
                    owner,
                    _lock: lock,
                    _old_lock: old_lock,
                });
            }
        }
    }

    /// The path of the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Recreates the folder if a test has removed or replaced it.
    pub(crate) fn restore(&self) -> io::Result<()> {
        make_private(&self.path)
    }
}

/// Ensures that `path` is a folder that only this user can access.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    let make = || DirBuilder::new().mode(0o700).create(path);
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() => {
            if found.mode() & 0o7777 != 0o700 {
                rustix::fs::chmod(path, Mode::RWXU)?;
            }
            Ok(())
        }
        Ok(_) => {
            remove_tree::or_set_aside(path)?;
            make()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(),
        Err(error) => Err(error),
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let Err(why) = remove_tree::all(&self.path) else {
            return;
        };
        let tool = prefix(self.owner);
        leave(&self.path, tool.trim_end_matches('-'), &why);
    }
}

/// Renames a folder that cannot be removed, so that no later tool tries again, and reports it.
fn leave(folder: &Path, tool: &str, why: &io::Error) {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let aside = folder.with_file_name(format!("rrr-left-{}", &id[..8]));
    let aside = match fs::rename(folder, &aside) {
        Ok(()) => &aside,
        Err(_) => folder,
    };
    stderr::line(&remove_tree::complaint(tool, folder, aside, why));
}

/// The folder in which such folders are created.
fn base() -> PathBuf {
    let named = std::env::var_os(BASE).filter(|base| !base.is_empty());
    named.map_or_else(std::env::temp_dir, PathBuf::from)
}

fn open(folder: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder, flags, Mode::empty())?)
}

fn prefix(owner: &str) -> String {
    format!("rrr-{owner}-")
}

/// Removes the folders of this user's tools that were killed.
pub(crate) fn clean_up() {
    let me = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(base()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_ours = |owner: &str| name.to_string_lossy().starts_with(&prefix(owner));
        // For a link, these are its own attributes, not those of its target.
        let is_mine = |known: fs::Metadata| known.is_dir() && known.uid() == me;
        if OWNERS.iter().any(|owner| is_ours(owner))
            && entry.metadata().is_ok_and(is_mine)
            && let Some(_lock) = lock_of_the_dead(&entry.path())
        {
            discard(&entry.path());
        }
    }
}

/// Removes the folder, although processes started by its owner may still be exiting in it. A folder
/// that cannot be removed is renamed, so that removal is tried only once.
fn discard(folder: &Path) {
    for _ in 0..20 {
        if remove_tree::all(folder).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    if let Err(why) = remove_tree::all(folder) {
        leave(folder, "rrr", &why);
    }
}

/// The lock of an abandoned folder; none if its owner is alive, or if it never had one.
fn lock_of_the_dead(folder: &Path) -> Option<OwnedFd> {
    let path = folder.join(LOCK);
    path.symlink_metadata().ok()?;
    let lock = open(folder).ok()?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
    // An older tool has only locked the file. Anything that is not a regular file was put there by
    // a test.
    let old = regular_file::open(&path, Links::Refuse).ok();
    let is_dead = old.is_none_or(|old| old.try_lock().is_ok());
    is_dead.then_some(lock)
}
