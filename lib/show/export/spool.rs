//! A spool: text kept until the text before it is known, in memory while it is short, else in an
//! unnamed file.

use std::io::{BufWriter, Read, Seek, Write};
use tempfile::SpooledTempFile;

/// Maximum bytes kept in memory.
const SHORT: usize = 1 << 20;

/// Text to be written later.
pub(crate) struct Spool(BufWriter<SpooledTempFile>);

impl Default for Spool {
    fn default() -> Self {
        Self(BufWriter::new(SpooledTempFile::new(SHORT)))
    }
}

impl Write for Spool {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        self.0.write(piece)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Spool {
    /// Writes all of it to `out`.
    pub(crate) fn copy_to(self, out: &mut dyn Write) -> std::io::Result<()> {
        std::io::copy(&mut self.into_reader()?, out).map(drop)
    }

    /// A reader from the start of the text.
    pub(crate) fn into_reader(self) -> std::io::Result<impl Read> {
        let mut file = self.0.into_inner().map_err(|error| error.into_error())?;
        file.rewind()?;
        Ok(file)
    }
}
