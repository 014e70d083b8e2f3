//! Temporary folders that go with their owner, even if it is killed: each holds a file that its
//! owner keeps locked, so whoever starts next can tell which have none any more, and removes them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;
use tempfile::{Builder, TempDir};

/// Who makes such folders.
const OWNERS: [&str; 3] = ["local", "slave", "worker"];
/// The file in it that is locked.
const LOCK: &str = "lock";

/// A temporary folder, removed when dropped.
pub struct Folder {
    folder: TempDir,
    _lock: File,
}

impl Folder {
    /// Makes one for rrr-`owner`.
    pub fn new(owner: &'static str) -> io::Result<Self> {
        debug_assert!(OWNERS.contains(&owner));
        loop {
            let folder = Builder::new().prefix(&prefix(owner)).tempdir()?;
            let path = folder.path().join(LOCK);
            let lock = File::create(&path)?;
            // Before it was locked, another tool may have taken it for a dead one's.
            match lock.try_lock() {
                Ok(()) if path.exists() => {
                    return Ok(Self {
                        folder,
                        _lock: lock,
                    });
                }
                Ok(()) | Err(fs::TryLockError::WouldBlock) => {}
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn prefix(owner: &str) -> String {
    format!("rrr-{owner}-")
}

/// Removes the folders of this user's tools that were killed.
pub fn clean_up() {
    let me = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(std::env::temp_dir())
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name();
        let is_ours = |owner: &str| name.to_string_lossy().starts_with(&prefix(owner));
        // Of a link this is what is known of itself, not of where it leads.
        let is_mine = |known: fs::Metadata| known.is_dir() && known.uid() == me;
        if OWNERS.iter().any(|owner| is_ours(owner))
            && entry.metadata().is_ok_and(is_mine)
            && let Some(_lock) = lock_of_the_dead(&entry.path())
        {
            remove(&entry.path());
        }
    }
}

/// Removes it, though what its owner started may be at its own end in it still. What was left once
/// could be without its lock, and would stay.
fn remove(folder: &Path) {
    for _ in 0..20 {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                std::thread::sleep(Duration::from_millis(10));
            }
            _ => return,
        }
    }
}

/// The lock of a folder whose owner is gone; none if it lives, or if there never was one.
fn lock_of_the_dead(folder: &Path) -> Option<File> {
    let no_link = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    let options = OpenOptions::new()
        .read(true)
        .custom_flags(no_link)
        .open(folder.join(LOCK));
    options.ok().filter(|lock| lock.try_lock().is_ok())
}
