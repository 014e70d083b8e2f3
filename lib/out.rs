//! Data on stdout, a line at a time. When its reader has gone, the tool is asked to stop.

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Writes one line at once, so that lines of several processes do not mix.
pub fn line(text: &str) {
    if CLOSED.load(Ordering::Relaxed) {
        return;
    }
    let mut stdout = std::io::stdout().lock();
    let written = stdout
        .write_all(format!("{text}\n").as_bytes())
        .and_then(|()| stdout.flush());
    if let Err(error) = written {
        CLOSED.store(true, Ordering::Relaxed);
        if error.kind() != ErrorKind::BrokenPipe {
            eprintln!("cannot write to stdout: {error}");
        }
        crate::stop::request();
    }
}

/// Whether the reader of stdout has gone.
pub fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}
