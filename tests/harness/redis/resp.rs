//! A parser of the Redis protocol that finds the end of each command and reply.

/// An error: the bytes are neither RESP2 nor RESP3.
#[derive(Debug)]
pub struct Garbled(pub String);

/// Splits a stream into complete commands or replies, however its bytes arrive.
///
/// An attribute of RESP3 is part of the reply that it precedes.
pub struct Frames {
    bytes: Vec<u8>,
    /// Start of the current frame.
    start: usize,
    /// Position up to which the frame is parsed; always at the head of a value.
    at: usize,
    /// Number of values still missing.
    missing: u64,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            at: 0,
            missing: 1,
        }
    }
}

impl Frames {
    /// Whether no unfinished frame is buffered.
    pub fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    /// Appends bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.at -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next complete frame, unchanged.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, Garbled> {
        while self.missing > 0 {
            let Some((length, inner)) = value(&self.bytes[self.at..])? else {
                return Ok(None);
            };
            self.at += length;
            self.missing = self.missing - 1 + inner;
        }
        let frame = self.bytes[self.start..self.at].to_vec();
        self.start = self.at;
        self.missing = 1;
        Ok(Some(frame))
    }
}

/// Whether a reply is unsolicited (RESP3 push: invalidations, messages).
pub fn is_push(frame: &[u8]) -> bool {
    frame.first() == Some(&b'>')
}

/// The words of a command, which is an array of bulk strings.
pub fn words(frame: &[u8]) -> Result<Vec<&[u8]>, Garbled> {
    let mut words = Vec::new();
    let mut rest = frame;
    while !rest.is_empty() {
        let whole = value(rest)?.ok_or_else(|| garbled(rest))?;
        let (kind, head) = (rest[0], line(rest).ok_or_else(|| garbled(rest))?);
        let body = rest.get(head.len() + 2..whole.0.saturating_sub(2));
        match kind {
            b'*' if words.is_empty() => {}
            b'$' => words.push(body.ok_or_else(|| garbled(rest))?),
            _ => return Err(garbled(rest)),
        }
        rest = &rest[whole.0..];
    }
    match words.is_empty() {
        true => Err(garbled(frame)),
        false => Ok(words),
    }
}

/// The length of the value at the head without its nested values, and the number of nested values
/// (for an attribute one more: the value it belongs to). `None` if it is incomplete.
fn value(bytes: &[u8]) -> Result<Option<(usize, u64)>, Garbled> {
    let Some(&kind) = bytes.first() else {
        return Ok(None);
    };
    if !b"+-:_#,($=!*~>%|".contains(&kind) {
        return Err(garbled(bytes));
    }
    let Some(head) = line(bytes) else {
        return Ok(None);
    };
    let length = head.len() + 2;
    if b"+-:_#,(".contains(&kind) {
        return Ok(Some((length, 0)));
    }
    let number = std::str::from_utf8(&head[1..])
        .ok()
        .and_then(|n| n.parse::<i64>().ok());
    let number = number.ok_or_else(|| garbled(bytes))?;
    // -1 is the nil of RESP2: a value without content.
    let count = u64::try_from(number).unwrap_or(0);
    Ok(match kind {
        b'$' | b'=' | b'!' if number >= 0 => {
            let body = usize::try_from(count).map_err(|_| garbled(bytes))?;
            let whole = length.saturating_add(body).saturating_add(2);
            (bytes.len() >= whole).then_some((whole, 0))
        }
        b'%' => Some((length, 2 * count)),
        b'|' => Some((length, 2 * count + 1)),
        b'*' | b'~' | b'>' => Some((length, count)),
        _ => Some((length, 0)),
    })
}

/// The first line without its line ending.
fn line(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some(&bytes[..end])
}

fn garbled(bytes: &[u8]) -> Garbled {
    Garbled(bytes[..bytes.len().min(80)].escape_ascii().to_string())
}
