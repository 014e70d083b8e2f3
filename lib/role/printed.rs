//! Printing the events that a transition emitted, as JSON lines on stdout.

use crate::entity::emitting::Emitting;
use crate::process::stdout;
use crate::protocol::{event, time};

/// Prints the events of a transition, and keeps its value.
pub(crate) trait Printed<T> {
    fn printed(self) -> anyhow::Result<T>;
}

impl<T> Printed<T> for anyhow::Result<Emitting<T>> {
    fn printed(self) -> anyhow::Result<T> {
        let Emitting { value, events } = self?;
        for (taskset, json) in events {
            // Unknown events, such as those of a later version, are not printed.
            if let Ok(event) = serde_json::from_str(&json) {
                stdout::line(&event::line(time::unix_ms(), &taskset, &event));
            }
        }
        Ok(value)
    }
}
