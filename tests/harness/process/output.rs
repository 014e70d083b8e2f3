//! The output of a process, read as it is written.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;

use crate::harness::wait::within;

/// The bytes that a thread has read from a pipe.
#[derive(Default)]
pub struct Output {
    bytes: Mutex<Vec<u8>>,
    closed: AtomicBool,
}

impl Output {
    /// Reads `pipe` on a new thread. Without a pipe, the output is closed from the start.
    pub fn follow(mut pipe: Option<impl Read + Send + 'static>) -> Arc<Self> {
        let output = Arc::new(Self::default());
        let writer = Arc::clone(&output);
        std::thread::spawn(move || {
            let mut chunk = vec![0; 64 * 1024];
            while let Some(pipe) = &mut pipe {
                match pipe.read(&mut chunk) {
                    Ok(0) | Err(_) => break,
                    Ok(length) => writer.lock().extend_from_slice(&chunk[..length]),
                }
            }
            writer.closed.store(true, SeqCst);
        });
        output
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap()
    }

    /// Whether every writer has closed the pipe.
    pub fn closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    /// The whole text, with invalid UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock()).into_owned()
    }

    /// The complete lines after byte `from`, which is moved past them.
    pub fn lines_from(&self, from: &mut usize) -> Vec<String> {
        let bytes = self.lock();
        let rest = &bytes[*from..];
        let whole = rest
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        *from += whole;
        let text = String::from_utf8_lossy(&rest[..whole]);
        text.lines().map(str::to_owned).collect()
    }

    /// The first value that a line yields, or the reason why none does.
    pub fn wait_for<T>(
        &self,
        bound: Duration,
        find: impl Fn(&str) -> Option<T>,
    ) -> Result<T, String> {
        let mut at = 0;
        let look = || {
            let closed = self.closed();
            let found = self.lines_from(&mut at).iter().find_map(|line| find(line));
            match found {
                Some(found) => Some(Ok(found)),
                None => closed.then(|| Err("until its end".to_owned())),
            }
        };
        within(bound, look).unwrap_or_else(|| Err(format!("within {bound:?}")))
    }
}

/// The complete lines of `text`, each of which must be JSON.
#[track_caller]
pub fn json_lines(text: &str) -> Vec<Value> {
    // The last line of a killed process may be cut.
    let whole = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
    let parse = |line: &str| match serde_json::from_str(line) {
        Ok(value) => value,
        Err(error) => panic!("not JSON on stdout: '{line}': {error}"),
    };
    whole.lines().map(parse).collect()
}
