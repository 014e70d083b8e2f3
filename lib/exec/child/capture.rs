//! Output of any length in bounded memory: the first and the last bytes, and how many are missing.

use std::collections::VecDeque;

/// Collects a stream, keeping its head and its tail.
pub(crate) struct Capture {
    limit: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: u64,
}

/// The kept part of a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Captured {
    /// Head, a line with the number of missing bytes, and tail; or the whole stream.
    pub bytes: Vec<u8>,
    /// The number of missing bytes.
    pub dropped: u64,
}

impl Capture {
    /// Keeps at most `limit` bytes, half of them from the end.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            head: Vec::new(),
            tail: VecDeque::new(),
            dropped: 0,
        }
    }

    /// Adds the next bytes of the stream.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        let head_room = (self.limit / 2).saturating_sub(self.head.len());
        let (head, rest) = bytes.split_at(head_room.min(bytes.len()));
        self.head.extend_from_slice(head);
        bytes = rest;
        let tail_limit = self.limit - self.limit / 2;
        if bytes.len() > tail_limit {
            let skipped = bytes.len() - tail_limit;
            self.dropped += (skipped + self.tail.len()) as u64;
            self.tail.clear();
            bytes = &bytes[skipped..];
        }
        let excess = (self.tail.len() + bytes.len()).saturating_sub(tail_limit);
        self.tail.drain(..excess);
        self.dropped += excess as u64;
        self.tail.extend(bytes);
    }

    /// Ends the stream.
    pub(crate) fn finish(self) -> Captured {
        let mut bytes = self.head;
        if self.dropped > 0 {
            bytes.extend_from_slice(
                format!("\n[... {} bytes dropped ...]\n", self.dropped).as_bytes(),
            );
        }
        let (front, back) = self.tail.as_slices();
        bytes.extend_from_slice(front);
        bytes.extend_from_slice(back);
        Captured {
            bytes,
            dropped: self.dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_tail_are_exact_whatever_the_chunks() {
        let stream: Vec<u8> = (0..1000u32).map(|n| (n % 251) as u8).collect();
        for limit in [2, 10, 99, 100] {
            for chunk in [1, 3, 7, 50, 64, 1000] {
                for length in [0, 1, limit - 1, limit, limit + 1, 2 * limit, 1000] {
                    let mut capture = Capture::new(limit);
                    stream[..length]
                        .chunks(chunk)
                        .for_each(|part| capture.push(part));
                    let captured = capture.finish();
                    let dropped = length.saturating_sub(limit);
                    assert_eq!(captured.dropped, dropped as u64);
                    let mut expected = stream[..length.min(limit / 2)].to_vec();
                    if dropped > 0 {
                        expected.extend(format!("\n[... {dropped} bytes dropped ...]\n").bytes());
                    }
                    let tail_from = length.min(limit / 2) + dropped;
                    expected.extend(&stream[tail_from..length]);
                    assert_eq!(captured.bytes, expected, "{limit} {chunk} {length}");
                }
            }
        }
    }
}
