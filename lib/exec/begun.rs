//! A slave's note for its worker of the trial that it began last. If a slave dies in the middle of
//! a call, Redis may have given it a task that it never learned of; only the slave itself knows.
//!
//! Written by rrr-slave to a file that rrr-worker creates and reads once the slave is dead. The
//! slave unlinks the file after opening it, so that tests cannot find it.

use crate::protocol::key::TrialKey;
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use tempfile::NamedTempFile;

/// The environment variable that names the file.
pub(crate) const VARIABLE: &str = "RRR_BEGUN";
/// Maximum size of a note: a key, preceded by its length in four bytes.
const LONGEST: usize = 16 << 10;

/// The worker's side.
pub(crate) struct Reader(NamedTempFile);

impl Reader {
    /// A note in the empty `file`, which the slave has not opened yet.
    pub(crate) fn new(file: NamedTempFile) -> Self {
        Self(file)
    }

    /// The path that is passed to the slave.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The trial that the slave began last, '' before its first; `None` if the slave does not write
    /// notes.
    pub(crate) fn last(&self) -> Option<String> {
        let mut bytes = [0; LONGEST];
        let read = self.0.as_file().read_at(&mut bytes, 0).ok()?;
        let (length, text) = bytes[..read].split_first_chunk()?;
        let text = text.get(..u32::from_le_bytes(*length) as usize)?;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

/// The slave's side.
pub(crate) struct Writer(File);

impl Writer {
    /// Opens the note that the worker created, if there is one.
    pub(crate) fn open() -> Option<Self> {
        let path = std::env::var_os(VARIABLE)?;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut options = OpenOptions::new();
        let options = options.write(true).custom_flags(flags.bits() as i32);
        let file = options.open(&path).ok()?;
        if !file.metadata().is_ok_and(|known| known.is_file()) {
            return None;
        }
        let _ = std::fs::remove_file(&path);
        let writer = Self(file);
        writer.write("");
        Some(writer)
    }

    /// Records that `trial` begins.
    pub(crate) fn begin(&self, trial: &TrialKey) {
        self.write(trial.as_str());
    }

    /// A note that cannot be written counts as missing: then every trial counts.
    fn write(&self, text: &str) {
        let mut bytes = (text.len() as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(text.as_bytes());
        if self.0.write_all_at(&bytes, 0).is_err() {
            let _ = self.0.set_len(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_note_is_read_and_a_slave_without_notes_is_known() {
        let reader = Reader::new(NamedTempFile::new().unwrap());
        assert_eq!(reader.last(), None);
        let writer = Writer(File::options().write(true).open(reader.path()).unwrap());
        for text in ["", "rrrspec:taskset:t:task:long name:trial:1", "short"] {
            writer.write(text);
            assert_eq!(reader.last().as_deref(), Some(text));
        }
        writer.0.set_len(6).unwrap();
        assert_eq!(reader.last(), None, "cut off");
    }
}
