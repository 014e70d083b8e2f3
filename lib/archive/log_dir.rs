//! Documents with outputs and logs, as files of one folder, each named by a UUID: the key of a
//! taskset cannot determine a path (FAULTS S5).
//!
//! There is one file per taskset rather than one per output: forty thousand small files would cost
//! as many fsyncs. The database holds its size and digest, and those of each output inside.

use crate::process::crash_point;
use crate::process::regular_file::{self, Links};
use anyhow::Context;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// The folder of the documents.
#[derive(Clone, Debug)]
pub struct LogDir {
    path: PathBuf,
    /// Whether a finished file is on disk, safe from a power failure.
    synced: bool,
}

/// The size and digest of a finished file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub size: u64,
    pub digest: String,
}

/// The SHA-256 digest in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    hexadecimal(Sha256::digest(bytes).as_slice())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl LogDir {
    /// Opens the folder at `path`, creating it when absent.
    pub fn open(path: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(&path)?;
        Ok(Self::at(path))
    }

    /// The folder at `path`, for reading: it need not exist.
    pub fn at(path: PathBuf) -> Self {
        Self { path, synced: true }
    }

    /// This folder, with files that do not wait for the disk. After a power failure a new file may
    /// be damaged, which its digest shows.
    pub(crate) fn unsynced(self) -> Self {
        Self {
            synced: false,
            ..self
        }
    }

    /// The path of the file `id`.
    pub fn path(&self, id: &str) -> PathBuf {
        self.path.join(format!("{id}.json"))
    }

    fn unfinished(&self, id: &str) -> PathBuf {
        self.path.join(format!(".{id}.unfinished"))
    }

    /// Creates the file `id`, which is invisible to readers until [`Writer::finish`].
    pub(crate) fn create(&self, id: &str) -> anyhow::Result<Writer> {
        let path = self.unfinished(id);
        crash_point::point();
        let file = File::create_new(&path)
            .with_context(|| format!("cannot create '{}'", path.display()))?;
        Ok(Writer {
            folder: self.clone(),
            id: id.to_owned(),
            file: BufWriter::with_capacity(1 << 18, file),
            digest: Sha256::new(),
            size: 0,
        })
    }

    /// Reads the file `id` and verifies its size and digest.
    pub(crate) fn read(&self, id: &str, stored: &Stored) -> anyhow::Result<Vec<u8>> {
        let path = self.path(id);
        let bytes = regular_file::read(&path, Links::Refuse, stored.size)
            .with_context(|| format!("cannot read '{}'", path.display()))?;
        if bytes.len() as u64 != stored.size || digest(&bytes) != stored.digest {
            anyhow::bail!(
                "'{}' is damaged: its size or digest has changed",
                path.display()
            );
        }
        Ok(bytes)
    }

    /// Removes the file `id`, finished or not; a missing file is not an error.
    pub(crate) fn remove(&self, id: &str) -> anyhow::Result<()> {
        for path in [self.path(id), self.unfinished(id)] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error)
                        .with_context(|| format!("cannot remove '{}'", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A file that is being written.
pub(crate) struct Writer {
    folder: LogDir,
    id: String,
    file: BufWriter<File>,
    digest: Sha256,
    size: u64,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Writer {
    /// Renames the file to its final name, once all of it is on disk.
    pub(crate) fn finish(mut self) -> anyhow::Result<Stored> {
        let unfinished = self.folder.unfinished(&self.id);
        let problem = || format!("cannot write '{}'", unfinished.display());
        self.file.flush().with_context(problem)?;
        crash_point::point();
        if self.folder.synced {
            self.file.get_ref().sync_all().with_context(problem)?;
        }
        crash_point::point();
        std::fs::rename(&unfinished, self.folder.path(&self.id)).with_context(problem)?;
        crash_point::point();
        if self.folder.synced {
            sync_folder(&self.folder.path).with_context(problem)?;
        }
        crash_point::point();
        Ok(Stored {
            size: self.size,
            digest: hexadecimal(self.digest.finalize().as_slice()),
        })
    }
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}
