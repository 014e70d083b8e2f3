//! The events as JSON lines on stdout.

use super::background::show_command;
use crate::process::stdout;
use crate::process::text::harmless_json;
use crate::protocol::event::{self, Event};
use crate::protocol::key::TasksetKey;
use crate::show::follow::Sink;
use crate::store::Store;

pub(crate) struct Json {
    taskset: TasksetKey,
    /// Whether the taskset can be queried after the run.
    lasting: bool,
    /// Lines of events that were read together, written in one call.
    lines: String,
}

impl Json {
    pub(crate) fn new(taskset: &TasksetKey, lasting: bool) -> Self {
        Self {
            taskset: taskset.clone(),
            lasting,
            lines: String::new(),
        }
    }

    /// Prints one event immediately.
    pub(crate) fn print(&self, unix_ms: i64, event: &Event) {
        stdout::line(&self.line(unix_ms, event));
    }

    /// The line for an event. That of a failed task names the command that shows its outputs.
    fn line(&self, unix_ms: i64, event: &Event) -> String {
        let line = event::line(unix_ms, self.taskset.as_str(), event);
        match event {
            Event::TaskFinished {
                spec_file, status, ..
            } if self.lasting && status == "failed" => {
                with_member(&line, "show", &show_command(&self.taskset, spec_file))
            }
            _ => line,
        }
    }
}

impl Sink for Json {
    fn event(&mut self, _: &mut Store, unix_ms: i64, event: &Event) -> anyhow::Result<()> {
        self.lines.push_str(&self.line(unix_ms, event));
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

/// The JSON object with one more member at its end.
fn with_member(object: &str, name: &str, value: &str) -> String {
    let value = harmless_json(serde_json::Value::from(value).to_string());
    match object.strip_suffix('}') {
        Some(open) => format!("{open},\"{name}\":{value}}}"),
        None => object.to_owned(),
    }
}
