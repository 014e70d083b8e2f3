//! Lines for people on stderr. A picture that is drawn there makes room for them: whoever draws
//! one says so, and every line goes above it.
//!
//! A line that cannot be written (a full disk, a reader that has gone) is lost, and nothing else:
//! `eprintln!` would end the process.

use crate::plain::harmless;
use std::io::Write;
use std::sync::Mutex;

type Above = Box<dyn FnMut(&str) + Send>;

static ABOVE: Mutex<Option<Above>> = Mutex::new(None);

/// Formats and writes one line, as [`line`] does.
macro_rules! say {
    ($($part:tt)*) => { $crate::say::line(&format!($($part)*)) };
}
pub(crate) use say;

/// Writes a message, its harmful characters made visible. Its further lines are set in, so that no
/// name with a line feed looks like a message by itself.
pub fn line(text: &str) {
    styled(&harmless(text).replace('\n', "\n  "));
}

/// Writes one line that may have colours; whatever others wrote in it is harmless already.
pub fn styled(text: &str) {
    let mut above = ABOVE.lock().unwrap_or_else(|broken| broken.into_inner());
    match above.as_mut() {
        Some(above) => above(text),
        None => {
            let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
        }
    }
}

/// From now on `above` writes the lines; it must not say any itself. `None`: they go to stderr.
pub fn divert(above: Option<Above>) {
    *ABOVE.lock().unwrap_or_else(|broken| broken.into_inner()) = above;
}
