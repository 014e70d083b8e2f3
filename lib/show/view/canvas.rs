//! Lines at the foot of a terminal that are drawn over and over, below text that stays.

use crate::process::stderr;
use console::{Term, measure_text_width};
use std::sync::{Arc, Mutex, MutexGuard};

/// What is drawn at the foot of the terminal on stderr. While it lives, what this process has to
/// say goes above it.
pub(crate) struct Canvas(Arc<Mutex<Foot>>);

struct Foot {
    term: Term,
    drawn: Vec<String>,
    width: usize,
}

impl Canvas {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let foot = Arc::new(Mutex::new(Foot {
            term: Term::buffered_stderr(),
            drawn: Vec::new(),
            width: 0,
        }));
        let said = foot.clone();
        stderr::divert(Some(Box::new(move |line| {
            lock(&said).print(&[line.to_owned()]);
        })));
        Self(foot)
    }

    /// Rows and columns of the terminal.
    pub(crate) fn size(&self) -> (usize, usize) {
        lock(&self.0).size()
    }

    /// Shows `lines` instead of what was drawn before. A terminal that cannot be written to is no
    /// reason to end what is watched.
    pub(crate) fn draw(&mut self, lines: Vec<String>) {
        let mut foot = lock(&self.0);
        let width = foot.size().1;
        if lines != foot.drawn || width != foot.width {
            foot.replace(&[], lines);
        }
    }

    /// Writes `lines` above what is drawn, to stay.
    pub(crate) fn print(&mut self, lines: &[String]) {
        lock(&self.0).print(lines);
    }

    /// Takes away what is drawn.
    pub(crate) fn clear(&mut self) {
        lock(&self.0).replace(&[], Vec::new());
    }
}

fn lock(foot: &Mutex<Foot>) -> MutexGuard<'_, Foot> {
    foot.lock().unwrap_or_else(|broken| broken.into_inner())
}

impl Foot {
    fn size(&self) -> (usize, usize) {
        let (rows, columns) = self.term.size();
        (rows.into(), columns.into())
    }

    fn print(&mut self, lines: &[String]) {
        let drawn = self.drawn.clone();
        self.replace(lines, drawn);
    }

    fn replace(&mut self, above: &[String], lines: Vec<String>) {
        let width = self.size().1.max(1);
        // A terminal that was made narrower has wrapped the lines by itself.
        let rows = self
            .drawn
            .iter()
            .map(|line| measure_text_width(line).div_ceil(width).max(1));
        let _ = self.term.clear_last_lines(rows.sum());
        for line in above.iter().chain(&lines) {
            let _ = self.term.write_line(line);
        }
        let _ = self.term.flush();
        self.drawn = lines;
        self.width = width;
    }
}

impl Drop for Canvas {
    fn drop(&mut self) {
        // However the following ends, the terminal is left clean.
        self.clear();
        stderr::divert(None);
    }
}
