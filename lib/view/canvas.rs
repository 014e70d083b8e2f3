//! Lines at the foot of a terminal that are drawn over and over, below text that stays.

use console::{Term, measure_text_width};

/// What is drawn at the foot of the terminal on stderr.
pub struct Canvas {
    term: Term,
    drawn: Vec<String>,
    width: usize,
}

impl Canvas {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            term: Term::buffered_stderr(),
            drawn: Vec::new(),
            width: 0,
        }
    }

    /// Rows and columns of the terminal.
    pub fn size(&self) -> (usize, usize) {
        let (rows, columns) = self.term.size();
        (rows.into(), columns.into())
    }

    /// Shows `lines` instead of what was drawn before. A terminal that cannot be written to is no
    /// reason to end what is watched.
    pub fn draw(&mut self, lines: Vec<String>) {
        let width = self.size().1;
        if lines != self.drawn || width != self.width {
            self.replace(&[], lines);
        }
    }

    /// Writes `lines` above what is drawn, to stay.
    pub fn print(&mut self, lines: &[String]) {
        let drawn = self.drawn.clone();
        self.replace(lines, drawn);
    }

    /// Takes away what is drawn.
    pub fn clear(&mut self) {
        self.replace(&[], Vec::new());
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
    }
}
