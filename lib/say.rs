//! Lines for people on stderr. A picture that is drawn there makes room for them: whoever draws
//! one says so, and every line goes above it.

use std::sync::Mutex;

type Above = Box<dyn FnMut(&str) + Send>;

static ABOVE: Mutex<Option<Above>> = Mutex::new(None);

/// Writes one line.
pub fn line(text: &str) {
    let mut above = ABOVE.lock().unwrap_or_else(|broken| broken.into_inner());
    match above.as_mut() {
        Some(above) => above(text),
        None => eprintln!("{text}"),
    }
}

/// From now on `above` writes the lines; it must not say any itself. `None`: they go to stderr.
pub fn divert(above: Option<Above>) {
    *ABOVE.lock().unwrap_or_else(|broken| broken.into_inner()) = above;
}
