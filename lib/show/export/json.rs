//! The whole record as one JSON document, streamed while it is read.

use crate::archive::document::{Bytes, Head, Rest, Slave, Task, Taskset, WorkerLog, fields};
use crate::process::text::is_harmful;
use crate::protocol::key::TasksetKey;
use serde::ser::{Error, SerializeSeq};
use serde::{Serialize, Serializer};
use std::cell::RefCell;
use std::io::Write;

/// Writes the document.
pub(crate) fn write(head: &Head, rest: &mut Rest, out: &mut dyn Write) -> anyhow::Result<()> {
    let rest = RefCell::new(rest);
    let trouble = RefCell::new(None);
    let part = |read: Read| Part {
        read,
        rest: &rest,
        trouble: &trouble,
    };
    let whole = Whole {
        key: &head.key,
        taskset: &head.taskset,
        log: &head.log,
        tasks: part(Read::Tasks),
        slaves: part(Read::Slaves),
        worker_logs: part(Read::WorkerLogs),
    };
    let mut out = Harmless(out);
    let written = serde_json::to_writer_pretty(&mut out, &whole);
    // The read error is more useful than the write error that it causes.
    if let Some(trouble) = trouble.take() {
        return Err(trouble);
    }
    written.map_err(std::io::Error::from)?;
    Ok(out.0.write_all(b"\n")?)
}

/// A [`crate::archive::document::Document`] whose parts are read on demand.
#[derive(Serialize)]
struct Whole<'a, 'b> {
    key: &'a TasksetKey,
    taskset: &'a Taskset,
    #[serde(flatten, with = "fields::log")]
    log: &'a Bytes,
    tasks: Part<'a, 'b>,
    slaves: Part<'a, 'b>,
    worker_logs: Part<'a, 'b>,
}

#[derive(Clone, Copy)]
enum Read {
    Tasks,
    Slaves,
    WorkerLogs,
}

struct Part<'a, 'b> {
    read: Read,
    rest: &'a RefCell<&'a mut Rest<'b>>,
    trouble: &'a RefCell<Option<anyhow::Error>>,
}

impl Serialize for Part<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut all = serializer.serialize_seq(None)?;
        let mut rest = self.rest.borrow_mut();
        // The serializer's own errors do not live long enough to be returned from a visit.
        let mut refused = None;
        let mut add = |written: Result<(), S::Error>| {
            written.map_err(|error| {
                refused = Some(error);
                anyhow::anyhow!("the document cannot be written")
            })
        };
        let read = match self.read {
            Read::Tasks => rest.tasks(|task: &Task| add(all.serialize_element(task))),
            Read::Slaves => rest.slaves(|slave: &Slave| add(all.serialize_element(slave))),
            Read::WorkerLogs => rest.worker_logs(|log: &WorkerLog| add(all.serialize_element(log))),
        };
        match (refused, read) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => {
                let text = format!("{error:#}");
                self.trouble.replace(Some(error));
                Err(S::Error::custom(text))
            }
            (None, Ok(())) => all.end(),
        }
    }
}

/// Writes JSON with escapes that the serializer lacks (see
/// [`crate::process::text::harmless_json`]).
struct Harmless<'a>(&'a mut dyn Write);

impl Write for Harmless<'_> {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        // The serializer writes whole characters.
        match std::str::from_utf8(piece) {
            Ok(text) if text.chars().any(|c| c != '\n' && is_harmful(c)) => {
                let safe = crate::process::text::harmless_json(text.to_owned());
                self.0.write_all(safe.as_bytes())?;
            }
            _ => self.0.write_all(piece)?,
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}
