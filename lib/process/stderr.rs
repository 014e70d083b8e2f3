//! Lines for people on stderr. A live display makes room for them: the code that draws it registers
//! itself, and every line is printed above it.
//!
//! A line that cannot be written (a full disk, a closed pipe) is lost, with no further effect:
//! `eprintln!` would end the process.

use crate::process::text::harmless;
use std::io::Write;
use std::sync::Mutex;

type Above = Box<dyn FnMut(&str) + Send>;

static ABOVE: Mutex<Option<Above>> = Mutex::new(None);

/// Formats and writes one line, as [`line`] does.
macro_rules! say {
    ($($part:tt)*) => { $crate::process::stderr::line(&format!($($part)*)) };
}
pub(crate) use say;

/// Writes a message with its harmful characters made visible. Further lines are indented, so that a
/// name with a line feed cannot look like a separate message.
pub(crate) fn line(text: &str) {
    styled(&harmless(text).replace('\n', "\n  "));
}

/// Writes one line that may contain colours; untrusted text in it must already be harmless.
pub(crate) fn styled(text: &str) {
    let mut above = ABOVE.lock().unwrap_or_else(|broken| broken.into_inner());
    match above.as_mut() {
        Some(above) => above(text),
        None => {
            let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
        }
    }
}

/// Redirects all lines to `above`, which must not write any itself; `None` restores stderr.
pub(crate) fn divert(above: Option<Above>) {
    *ABOVE.lock().unwrap_or_else(|broken| broken.into_inner()) = above;
}
