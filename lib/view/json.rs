//! The events as JSON lines on stdout.

use crate::event::{self, Event};
use crate::follow::Sink;
use crate::key::TasksetKey;
use crate::out;
use crate::store::Store;

pub struct Json {
    taskset: TasksetKey,
}

impl Json {
    pub fn new(taskset: &TasksetKey) -> Self {
        Self {
            taskset: taskset.clone(),
        }
    }

    pub fn print(&self, unix_ms: i64, event: &Event) {
        out::line(&event::line(unix_ms, self.taskset.as_str(), event));
    }
}

impl Sink for Json {
    fn event(&mut self, _: &mut Store, unix_ms: i64, event: &Event) -> anyhow::Result<()> {
        self.print(unix_ms, event);
        Ok(())
    }
}
