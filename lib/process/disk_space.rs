//! Free space on the disks that rrr writes to.

use std::fmt;
use std::path::PathBuf;

/// A disk without enough free space.
#[derive(Debug)]
pub(crate) struct Full(String);

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Full {}

/// Whether the error was caused by a full disk.
pub(crate) fn is_full(error: &anyhow::Error) -> bool {
    error.is::<Full>()
        || error.chain().any(|cause| {
            let io = cause.downcast_ref::<std::io::Error>();
            io.is_some_and(|io| io.kind() == std::io::ErrorKind::StorageFull)
        })
}

/// Disks, and the free space to keep on each.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    places: Vec<PathBuf>,
    keep_free: u64,
}

impl Room {
    /// The disks of the folders `places`, each of which keeps `keep_free` bytes free.
    pub(crate) fn new(places: Vec<PathBuf>, keep_free: u64) -> Self {
        Self { places, keep_free }
    }

    /// Fails if a disk has too little free space; the error names it. Data written a moment ago
    /// already counts.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        for place in &self.places {
            // A folder that does not exist yet, or a file system without sizes, cannot be checked.
            let Ok(disk) = rustix::fs::statvfs(place) else {
                continue;
            };
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            if disk.f_blocks > 0 && (free < self.keep_free || free == 0) {
                return Err(Full(format!(
                    "the disk of '{}' has {} MiB free, less than the {} MiB to keep free (--keep-free)",
                    place.display(),
                    free >> 20,
                    self.keep_free >> 20
                ))
                .into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_below_the_reserved_free_space_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let places = || vec![folder.path().to_owned(), folder.path().join("not there")];
        assert!(Room::new(places(), 0).check().is_ok());
        let error = Room::new(places(), u64::MAX).check().unwrap_err();
        let place = folder.path().display().to_string();
        assert!(error.to_string().contains(&place), "{error}");
    }
}
