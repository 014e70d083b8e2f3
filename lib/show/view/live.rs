//! The live view at the bottom of the terminal: a bar, the counts, and the current trial of each
//! slave. Noteworthy events scroll away above it; the view itself is erased at the end.

use super::canvas::Canvas;
use super::json::Json;
use super::messages;
use super::note::{Note, Running};
use super::progress::Progress;
use super::untold;
use crate::entity::event_stream;
use crate::process::text::{clock, cut, cut_front, harmless, one_line};
use crate::protocol::event::Event;
use crate::protocol::time;
use crate::show::follow::Sink;
use crate::store::Store;
use console::{Style, measure_text_width};
use std::time::{Duration, Instant};

/// Maximum slaves shown, however tall the terminal is.
const MOST_SLAVES: usize = 24;
/// Milliseconds within which no trial is slow, and those after which one without an estimate is.
const PROMPT: u64 = 5_000;
const UNKNOWN: u64 = 60_000;
/// Minimum time between two redraws.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) struct Live {
    progress: Progress,
    json: Option<Json>,
    canvas: Canvas,
    drawn_at: Option<Instant>,
    waiting: Option<String>,
    /// Redis' clock minus the local clock, once known: events carry Redis' time.
    ahead_ms: Option<i64>,
}

impl Live {
    pub(crate) fn new(progress: Progress, json: Option<Json>) -> Self {
        Self {
            progress,
            json,
            canvas: Canvas::new(),
            drawn_at: None,
            waiting: None,
            ahead_ms: None,
        }
    }

    fn draw(&mut self) {
        let (height, width) = self.canvas.size();
        let now = time::unix_ms() + self.ahead_ms.unwrap_or(0);
        let lines = frame(&self.progress, self.waiting.as_deref(), now, width, height);
        self.canvas.draw(lines);
        self.drawn_at = Some(Instant::now());
    }
}

impl Sink for Live {
    fn event(&mut self, store: &mut Store, unix_ms: i64, event: &Event) -> anyhow::Result<()> {
        if self.ahead_ms.is_none() {
            let now = store.call(|c, _| event_stream::clock_ms(c))?;
            self.ahead_ms = Some(now - time::unix_ms());
        }
        if let Some(json) = &self.json {
            json.print(unix_ms, event);
        }
        let Some(note) = self.progress.apply(unix_ms, event) else {
            return Ok(());
        };
        if note == Note::Ended {
            untold::fill(store, &mut self.progress)?;
        }
        let lines = messages::note(store, &mut self.progress, &note)?;
        if self.progress.ended.is_some() {
            self.canvas.clear();
        }
        self.canvas.print(&lines);
        Ok(())
    }

    fn tick(&mut self) -> anyhow::Result<()> {
        if self.drawn_at.is_none_or(|at| at.elapsed() >= PAUSE) {
            self.draw();
        }
        Ok(())
    }

    fn waiting(&mut self, what: Option<&str>) {
        self.waiting = what.map(str::to_owned);
        self.draw();
    }

    fn say(&mut self, what: &str) {
        self.canvas.print(&[harmless(what)]);
    }
}

/// The view's lines, which fit into `width` columns and, together, into `height` rows.
fn frame(
    progress: &Progress,
    waiting: Option<&str>,
    now_ms: i64,
    width: usize,
    height: usize,
) -> Vec<String> {
    // Some terminals wrap a line that is exactly as wide as they are.
    let width = width.saturating_sub(1).max(20);
    let mut lines = vec![head(progress, now_ms, width), counts(progress)];
    let mut running: Vec<&Running> = progress.running.values().collect();
    running.sort_by_key(|run| (run.started_ms, &run.place));
    let room = height.saturating_sub(5).clamp(1, MOST_SLAVES);
    let place = running
        .iter()
        .map(|run| measure_text_width(&run.place))
        .max();
    let place = place.unwrap_or(0).min(width / 3);
    for run in running.iter().take(room) {
        lines.push(slave(progress, run, now_ms, place, width));
    }
    if running.len() > room {
        lines.push(format!("  … and {} more", running.len() - room));
    }
    if let Some(what) = waiting {
        lines.push(
            Style::new()
                .for_stderr()
                .yellow()
                .apply_to(one_line(what))
                .to_string(),
        );
    }
    lines.iter().map(|line| cut(line, width)).collect()
}

/// `[=====>    ] 45/120 37% 1m12s, 50s to 1m10s left`
fn head(progress: &Progress, now_ms: i64, width: usize) -> String {
    let (done, total) = (progress.done(), progress.total.max(1));
    let length = (width / 4).clamp(8, 40) as u64;
    let full = (length * done / total) as usize;
    let rest = length as usize - full;
    let bar = match rest {
        0 => "=".repeat(full),
        _ => format!("{}>{}", "=".repeat(full), " ".repeat(rest - 1)),
    };
    let since = progress.began_ms.unwrap_or(now_ms);
    let elapsed = clock(now_ms.saturating_sub(since).max(0) as u64);
    let left = progress
        .left(now_ms)
        .filter(|_| !progress.running.is_empty());
    let left = left.map_or(String::new(), |left| {
        format!(", {} to {} left", clock(left.p50_ms), clock(left.p90_ms))
    });
    format!(
        "[{bar}] {done}/{} {}% {elapsed}{left}",
        progress.total,
        done * 100 / total
    )
}

/// `40 passed, 2 pending, 3 failed, 1 flaky, 2 again`
fn counts(progress: &Progress) -> String {
    let colour = Style::new().for_stderr();
    let failed = progress.failed.len() as u64;
    let flaky = progress.flaky.len() as u64;
    let all = [
        (progress.passed, "passed", colour.clone().green()),
        (progress.pending, "pending", colour.clone().cyan()),
        (failed, "failed", colour.clone().red()),
        (flaky, "flaky", colour.clone().yellow()),
        (progress.retries, "again", colour.clone()),
        (progress.copies, "twice", colour),
    ];
    let parts: Vec<String> = all
        .iter()
        .filter(|(count, word, _)| *count > 0 || *word == "passed")
        .map(|(count, word, style)| style.apply_to(format!("{count} {word}")).to_string())
        .collect();
    parts.join(", ")
}

/// `  host/1   12s of 10s  spec/models/user_spec.rb (trial 2)`
fn slave(progress: &Progress, run: &Running, now_ms: i64, place: usize, width: usize) -> String {
    let age_ms = now_ms.saturating_sub(run.started_ms).max(0) as u64;
    let age = clock(age_ms);
    let expected = progress.expected.ms(&run.spec_file);
    let age = expected.map_or(age.clone(), |expected| {
        format!("{age} of {}", clock(expected))
    });
    let mark = match (run.copy, run.attempt) {
        (true, _) => " (second copy)".to_owned(),
        (false, 0 | 1) => String::new(),
        (false, attempt) => format!(" (trial {attempt})"),
    };
    let mark = match is_slow(age_ms, expected) {
        true => format!(" slow{mark}"),
        false => mark,
    };
    let name = cut_front(&run.place, place);
    let head = format!("  {name:<place$}  {age:>9}  ");
    let room = width.saturating_sub(measure_text_width(&head) + mark.len());
    format!(
        "{head}{}{mark}",
        cut_front(&one_line(&run.spec_file), room.max(8))
    )
}

/// Whether a trial of this age takes unusually long: three times its estimate, though not within
/// [`PROMPT`], or [`UNKNOWN`] without an estimate.
fn is_slow(age_ms: u64, expected_ms: Option<u64>) -> bool {
    let limit = expected_ms.map_or(UNKNOWN, |ms| ms.saturating_mul(3).max(PROMPT));
    age_ms >= limit
}

#[cfg(test)]
mod tests {
    use super::super::expectations::Expectations;
    use super::*;
    use std::collections::HashMap;

    fn progress(slaves: usize) -> Progress {
        let taskset = "rrrspec:taskset:t".parse().unwrap();
        let file =
            |n: usize| format!("spec/a_rather_long_folder_name/{n:03}_of_the_spec_files_spec.rb");
        let estimates: HashMap<String, u64> = (0..100).map(|n| (file(n), 10_000)).collect();
        let mut progress = Progress::new(
            &taskset,
            "rrr-slave -- sh {}",
            (0..100).map(file),
            Expectations::new(estimates),
        );
        for n in 0..slaves {
            let event = Event::TrialStarted {
                task: String::new(),
                spec_file: file(n),
                trial: format!("t{n:03}"),
                slave: format!("rrrspec:worker:a-build-host.example.org:slave:{n}"),
                attempt: 1 + n as u64 % 2,
            };
            progress.apply(1000, &event);
        }
        progress
    }

    #[test]
    fn the_live_view_fits_any_width_and_height() {
        for width in [30, 60, 80, 120, 300] {
            for height in [6, 24, 60] {
                let lines = frame(&progress(40), Some("waiting"), 13_000, width, height);
                for line in &lines {
                    assert!(measure_text_width(line) < width, "{width}: {line}");
                }
                assert!(lines.len() < height, "{height}: {lines:?}");
            }
        }
    }

    #[test]
    fn a_trial_is_slow_after_three_times_its_estimate() {
        assert!(!is_slow(29_999, Some(10_000)) && is_slow(30_000, Some(10_000)));
        assert!(!is_slow(4_999, Some(10)) && is_slow(5_000, Some(10)));
        assert!(!is_slow(59_999, None) && is_slow(60_000, None));
        let lines = frame(&progress(2), None, 31_000, 60, 24);
        assert!(lines[2].ends_with("_spec.rb slow"), "{lines:?}");
        assert!(lines[3].ends_with("_spec.rb slow (trial 2)"), "{lines:?}");
    }

    #[test]
    fn a_narrow_live_view_still_names_slave_time_and_file() {
        let lines = frame(&progress(2), None, 13_000, 60, 24);
        assert!(lines[0].contains("0/100 0% 12s, "), "{lines:?}");
        assert!(lines[0].contains(" left"), "{lines:?}");
        assert!(lines[2].contains("example.org/1"), "{lines:?}");
        assert!(lines[2].contains("12s of 10s"), "{lines:?}");
        assert!(lines[2].ends_with("_spec.rb"), "{lines:?}");
        assert!(lines[3].ends_with("_spec.rb (trial 2)"), "{lines:?}");
    }
}
