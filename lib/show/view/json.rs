//! The events as JSON lines on stdout.

use crate::process::stdout;
use crate::protocol::event::{self, Event};
use crate::protocol::key::TasksetKey;
use crate::show::follow::Sink;
use crate::store::Store;

pub(crate) struct Json {
    taskset: TasksetKey,
    /// Lines of events that were read together, written in one call.
    lines: String,
}

impl Json {
    pub(crate) fn new(taskset: &TasksetKey) -> Self {
        Self {
            taskset: taskset.clone(),
            lines: String::new(),
        }
    }

    /// Prints one event immediately.
    pub(crate) fn print(&self, unix_ms: i64, event: &Event) {
        stdout::line(&event::line(unix_ms, self.taskset.as_str(), event));
    }
}

impl Sink for Json {
    fn event(&mut self, _: &mut Store, unix_ms: i64, event: &Event) -> anyhow::Result<()> {
        self.lines
            .push_str(&event::line(unix_ms, self.taskset.as_str(), event));
        self.lines.push('\n');
        if matches!(event, Event::TasksetFinished { .. }) {
            self.tick()?;
        }
        Ok(())
    }

    fn tick(&mut self) -> anyhow::Result<()> {
        stdout::bytes(self.lines.as_bytes());
        self.lines.clear();
        Ok(())
    }
}
