//! The run as lines of a log: its progress, at most once per second while it changes, and
//! noteworthy events as they happen.

use super::Detail;
use super::json::Json;
use super::messages;
use super::note::Note;
use super::progress::Progress;
use super::untold;
use crate::process::text::clock;
use crate::process::{stderr, stdout};
use crate::protocol::event::Event;
use crate::show::follow::Sink;
use crate::store::Store;
use std::time::{Duration, Instant};

/// Minimum time between two progress lines.
const PAUSE: Duration = Duration::from_secs(1);
/// Maximum time between two progress lines: a silent log looks like a hang.
const LONGEST: Duration = Duration::from_secs(10);

pub(crate) struct Plain {
    progress: Progress,
    json: Option<Json>,
    pace: Pace,
    to_stdout: bool,
}

/// The schedule of progress lines.
struct Pace {
    said: String,
    said_at: Instant,
}

impl Pace {
    /// Whether `what` should be printed at `now`; if so, it counts as printed.
    fn is_due(&mut self, what: &str, now: Instant) -> bool {
        let pause = if what == self.said { LONGEST } else { PAUSE };
        let due = now.saturating_duration_since(self.said_at) >= pause;
        if due {
            self.said = what.to_owned();
            self.said_at = now;
        }
        due
    }
}

impl Plain {
    /// `to_stdout`: whether the lines go to stdout, instead of stderr.
    pub(crate) fn new(progress: Progress, json: Option<Json>, to_stdout: bool) -> Self {
        Self {
            progress,
            json,
            pace: Pace {
                said: String::new(),
                said_at: Instant::now(),
            },
            to_stdout,
        }
    }

    /// Writes one line that may contain colours.
    fn print(&self, text: &str) {
        match self.to_stdout {
            true if console::colors_enabled() => stdout::line(text),
            true => stdout::line(&console::strip_ansi_codes(text)),
            false => stderr::styled(text),
        }
    }
}

/// The progress of a run, on one line.
fn standing(progress: &Progress) -> String {
    let mut parts = vec![format!("{}/{} done", progress.done(), progress.total)];
    for (count, word) in [
        (progress.failed.len(), "failed"),
        (progress.flaky.len(), "flaky"),
        (progress.running.len(), "running"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    parts.join(", ")
}

impl Sink for Plain {
    fn event(&mut self, store: &mut Store, unix_ms: i64, event: &Event) -> anyhow::Result<()> {
        if let Some(json) = &self.json {
            json.print(unix_ms, event);
        }
        if let Some(note) = self.progress.apply(unix_ms, event) {
            if note == Note::Ended {
                untold::fill(store, &mut self.progress)?;
                self.print(&standing(&self.progress));
            }
            for line in messages::note(store, &mut self.progress, &note)? {
                self.print(&line);
            }
        }
        Ok(())
    }

    fn tick(&mut self) -> anyhow::Result<()> {
        let now = standing(&self.progress);
        let is_silent = self.progress.ended.is_some() || self.progress.detail == Detail::Quiet;
        if is_silent || !self.pace.is_due(&now, Instant::now()) {
            return Ok(());
        }
        let left = self.progress.left(crate::protocol::time::unix_ms());
        let left = left.map_or(String::new(), |left| {
            format!(", {} to {} left", clock(left.p50_ms), clock(left.p90_ms))
        });
        self.print(&format!("{now}{left}"));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_view_prints_every_second_on_change_else_every_ten() {
        let start = Instant::now();
        let mut pace = Pace {
            said: String::new(),
            said_at: start,
        };
        let mut lines = |from: u64, to: u64, what: &dyn Fn(u64) -> String| {
            (from..to)
                .filter(|tenth| {
                    let now = start + Duration::from_millis(tenth * 100);
                    pace.is_due(&what(*tenth), now)
                })
                .count()
        };
        assert_eq!(lines(0, 105, &|tenth| format!("{tenth} done")), 10);
        assert_eq!(lines(105, 315, &|_| "the same".to_owned()), 3);
    }
}
