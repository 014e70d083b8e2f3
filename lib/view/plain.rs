//! The run as lines of a log: where it stands, once a second while something changes.

use super::json::Json;
use super::progress::{Note, Progress};
use super::tell;
use crate::event::Event;
use crate::follow::Sink;
use crate::plain::clock;
use crate::store::Store;
use std::time::{Duration, Instant};

/// Least time between two lines of where it stands.
const PAUSE: Duration = Duration::from_secs(1);
/// Most time: a log that says nothing looks like a hang.
const LONGEST: Duration = Duration::from_secs(10);

pub struct Plain {
    progress: Progress,
    json: Option<Json>,
    said: String,
    said_at: Instant,
}

impl Plain {
    pub fn new(progress: Progress, json: Option<Json>) -> Self {
        Self {
            progress,
            json,
            said: String::new(),
            said_at: Instant::now(),
        }
    }
}

/// Where a run stands, on one line.
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
                eprintln!("{}", standing(&self.progress));
            }
            for line in tell::note(store, &self.progress, &note)? {
                eprintln!("{line}");
            }
        }
        Ok(())
    }

    fn tick(&mut self) -> anyhow::Result<()> {
        let now = standing(&self.progress);
        let pause = if now == self.said { LONGEST } else { PAUSE };
        if self.said_at.elapsed() < pause || self.progress.ended.is_some() {
            return Ok(());
        }
        let left = self.progress.left(crate::time::unix_ms());
        let left = left.map_or(String::new(), |left| {
            format!(", {} to {} left", clock(left.p50_ms), clock(left.p90_ms))
        });
        eprintln!("{now}{left}");
        self.said = now;
        self.said_at = Instant::now();
        Ok(())
    }
}
