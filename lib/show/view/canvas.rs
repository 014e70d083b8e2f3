//! Lines at the bottom of a terminal that are redrawn in place, below permanent text.

use crate::process::stderr;
use console::{Term, measure_text_width};
use std::sync::{Arc, Mutex, MutexGuard};

/// The lines drawn at the bottom of the terminal on stderr. While it exists, messages of this
/// process are written above them.
pub(crate) struct Canvas(Arc<Mutex<Foot>>);

struct Foot {
    term: Term,
    drawn: Vec<String>,
    width: usize,
}

impl Canvas {
    /// An empty canvas.
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

    /// Replaces the drawn lines with `lines`. Errors of the terminal are ignored: they must not end
    /// the run that is watched.
    pub(crate) fn draw(&mut self, lines: Vec<String>) {
        let mut foot = lock(&self.0);
        let width = foot.size().1;
        if lines != foot.drawn || width != foot.width {
            foot.replace(&[], lines);
        }
    }

    /// Writes permanent `lines` above the drawn ones.
    pub(crate) fn print(&mut self, lines: &[String]) {
        lock(&self.0).print(lines);
    }

    /// Erases the drawn lines.
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
        // A terminal that has become narrower has wrapped the lines.
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
        // The terminal is left clean, however the following ends.
        self.clear();
        stderr::divert(None);
    }
}
