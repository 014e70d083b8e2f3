//! Data on stdout, line by line; lists become tables on a terminal. When the reader closes the
//! pipe, the tool is asked to stop.

use crate::process::exit;
use crate::process::text;
use anyhow::Context;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant};

/// Maximum wait for the reader of a named pipe.
const READER: Duration = Duration::from_secs(2);

/// Whether stdout is only a log, whose closing does not stop the tool.
static LOG: AtomicBool = AtomicBool::new(false);
static CLOSED: AtomicBool = AtomicBool::new(false);
static TROUBLE: OnceLock<String> = OnceLock::new();

/// Whether stdout is /dev/null.
fn is_void() -> bool {
    static VOID: LazyLock<bool> = LazyLock::new(|| {
        let stdout = rustix::fs::fstat(rustix::stdio::stdout());
        let void = rustix::fs::stat("/dev/null");
        stdout.is_ok_and(|one| {
            void.is_ok_and(|other| one.st_rdev == other.st_rdev && other.st_rdev != 0)
        })
    });
    *VOID
}

/// Writes one line in a single call, so that the lines of several processes do not mix.
pub(crate) fn line(text: &str) {
    bytes(format!("{text}\n").as_bytes());
}

/// Writes a value as JSON on one line, safe for a terminal or a CI log.
pub(crate) fn json_line(value: &impl serde::Serialize) -> anyhow::Result<()> {
    line(&text::harmless_json(serde_json::to_string(value)?));
    Ok(())
}

/// Writes a line that is expensive to build: it is not built when stdout is discarded.
pub(crate) fn line_of(make: impl FnOnce() -> String) {
    if !is_void() {
        line(&make());
    }
}

/// Writes these bytes in a single call.
pub(crate) fn bytes(bytes: &[u8]) {
    if CLOSED.load(Ordering::Relaxed) {
        return;
    }
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    if let Err(error) = written {
        CLOSED.store(true, Ordering::Relaxed);
        if error.kind() != ErrorKind::BrokenPipe {
            let _ = TROUBLE.set(error.to_string());
        }
        if !LOG.load(Ordering::Relaxed) {
            crate::process::signals::request();
        }
    }
}

/// Declares stdout a log: from now on, work continues even when its reader is gone.
pub(crate) fn is_only_a_log() {
    LOG.store(true, Ordering::Relaxed);
}

/// Returns stdout for writing in pieces; writing fails once the reader is gone.
pub(crate) fn stream() -> impl Write {
    BufWriter::with_capacity(64 << 10, Stream)
}

struct Stream;

impl Write for Stream {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        bytes(piece);
        match is_closed() {
            true => Err(ErrorKind::BrokenPipe.into()),
            false => Ok(piece.len()),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes a file with this text, as [`file_of`] does.
pub(crate) fn file(path: &Path, text: &[u8]) -> anyhow::Result<()> {
    file_of(path, |file| Ok(file.write_all(text)?))
}

/// Writes the file under a temporary name first, so that a reader never sees half of it. A link is
/// followed, and anything that is not a regular file (a device, a pipe) is written to directly.
pub(crate) fn file_of(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let problem = || format!("cannot write '{}'", path.display());
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        let mut sink = BufWriter::new(open_sink(path).with_context(problem)?);
        write(&mut sink).with_context(problem)?;
        return sink.flush().with_context(problem);
    }
    let real = path.canonicalize();
    let path = real.as_deref().unwrap_or(path);
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .with_context(problem)?;
    let mut file = BufWriter::new(file);
    write(&mut file).with_context(problem)?;
    let file = file.into_inner().map_err(|error| error.into_error());
    file.with_context(problem)?
        .persist(path)
        .map_err(|error| error.error)
        .with_context(problem)?;
    Ok(())
}

/// Opens a file that is not regular. A pipe without a reader, as a test may have created, is not
/// waited for indefinitely.
fn open_sink(path: &Path) -> std::io::Result<std::fs::File> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let began = Instant::now();
    let sink = loop {
        match open(path, flags, Mode::empty()) {
            // The reader may be about to open the pipe.
            Err(Errno::NXIO) if began.elapsed() < READER => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(Errno::NXIO) => return Err(std::io::Error::other("the pipe has no reader")),
            opened => break opened?,
        }
    };
    rustix::fs::fcntl_setfl(&sink, OFlags::empty())?;
    Ok(sink.into())
}

/// Why writing to stdout failed, unless its reader simply closed it: the tool did not do its job.
pub(crate) fn trouble() -> Option<&'static str> {
    TROUBLE.get().map(String::as_str)
}

/// The exit code of a tool that has printed what it should: `code`, unless the reader of stdout is
/// gone.
pub(crate) fn exit_code(code: u8) -> u8 {
    match is_closed() {
        true => exit::PIPE_CLOSED,
        false => code,
    }
}

/// Whether the reader of stdout is gone.
pub(crate) fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}
