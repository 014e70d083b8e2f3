//! Examples: the single tests inside of a spec file, as far as its runner tells of them.
//!
//! Written by rrr-slave into the trial's field `examples`, as a JSON array of bounded size.

use serde::{Deserialize, Serialize};

/// How an example ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Passed,
    Pending,
    Failed,
    /// It could not be run as it should: its set-up failed, or its process died.
    Error,
}

impl Status {
    /// As JSON and the database have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Pending => "pending",
            Self::Failed => "failed",
            Self::Error => "error",
        }
    }

    /// Reads what [`Status::as_str`] gave.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Passed, Self::Pending, Self::Failed, Self::Error]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// One example.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// What its runner would take to run it alone.
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub file: Option<String>,
    #[serde(default)]
    pub line: Option<u64>,
    pub status: Status,
    #[serde(default)]
    pub duration_ms: Option<u64>,
    /// Why it is not passed, or why an earlier attempt was not.
    #[serde(default)]
    pub message: Option<String>,
    /// Passed after its test tool had run it before: earlier attempts are not examples.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flaky: bool,
}

impl Example {
    /// One of which no more is known.
    pub fn new(name: impl Into<String>, status: Status) -> Self {
        let name = name.into();
        Self {
            id: name.clone(),
            name,
            file: None,
            line: None,
            status,
            duration_ms: None,
            message: None,
            flaky: false,
        }
    }

    /// Cuts its texts to the lengths that are kept, its message to that of `message`.
    pub fn shorten(&mut self, message: usize) {
        for (text, limit) in [
            (Some(&mut self.id), TEXT),
            (Some(&mut self.name), TEXT),
            (self.file.as_mut(), TEXT),
            (self.message.as_mut(), message),
        ] {
            if let Some(text) = text {
                shorten(text, limit);
            }
        }
    }
}

/// Most bytes of the JSON array of one trial.
const TOTAL: usize = 1 << 20;
/// Most bytes of a message; less if there are so many failures that they would not fit otherwise.
pub const MESSAGE: usize = 4 << 10;
const MESSAGES: &[usize] = &[MESSAGE, 1 << 10, 256, 64, 0];
/// Most bytes of any other text.
const TEXT: usize = 1 << 10;

/// The JSON array of `examples`, and how many it lacks. Long texts are cut and say so; when the whole
/// is too long passed examples are left out first, then pending ones.
pub fn bounded_json(examples: &[Example]) -> (String, u64) {
    let rank = |status| match status {
        Status::Failed | Status::Error => 0,
        Status::Pending => 1,
        Status::Passed => 2,
    };
    let mut texts = Vec::new();
    for limit in MESSAGES {
        texts = examples.iter().map(|it| bounded(it, *limit)).collect();
        let failures = texts
            .iter()
            .zip(examples)
            .filter(|(_, it)| rank(it.status) == 0);
        if failures.map(|(text, _)| text.len() + 1).sum::<usize>() < TOTAL {
            break;
        }
    }
    let mut room = TOTAL;
    let mut kept = vec![false; texts.len()];
    for wanted in 0..=2 {
        for (place, text) in texts.iter().enumerate() {
            if rank(examples[place].status) == wanted && text.len() < room {
                room -= text.len() + 1;
                kept[place] = true;
            }
        }
    }
    let mut json = String::from("[");
    let mut left_out = 0;
    for (text, kept) in texts.iter().zip(kept) {
        if !kept {
            left_out += 1;
            continue;
        }
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(text);
    }
    json.push(']');
    (json, left_out)
}

fn bounded(example: &Example, message: usize) -> String {
    let mut example = example.clone();
    example.shorten(message);
    serde_json::to_string(&example).unwrap_or_default()
}

/// Room for the note that a text was cut: one that has been cut is not cut again.
const NOTE: usize = 40;

/// Cuts a text to about `limit` bytes, and says so at its end.
pub fn shorten(text: &mut String, limit: usize) {
    if text.len() > limit + NOTE {
        let end = (0..=limit)
            .rev()
            .find(|end| text.is_char_boundary(*end))
            .unwrap_or(0);
        let dropped = text.len() - end;
        text.truncate(end);
        text.shrink_to_fit();
        text.push_str(&format!(" [... {dropped} bytes dropped]"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_kept_when_the_whole_is_too_long() {
        let mut examples: Vec<Example> = (0..30_000)
            .map(|n| Example::new(format!("passes {n}"), Status::Passed))
            .collect();
        let mut bad = Example::new("fails", Status::Failed);
        bad.message = Some("ü".repeat(MESSAGE));
        examples.push(bad);
        let (json, left_out) = bounded_json(&examples);
        assert!(json.len() <= TOTAL);
        let kept: Vec<Example> = serde_json::from_str(&json).unwrap();
        assert_eq!(kept.len() as u64 + left_out, 30_001);
        let last = kept.last().unwrap();
        assert_eq!(last.name, "fails");
        let message = last.message.as_ref().unwrap();
        assert!(message.ends_with("[... 4096 bytes dropped]"), "{message}");
    }

    #[test]
    fn all_of_many_failures_are_kept_with_shorter_messages() {
        let mut bad = Example::new("fails", Status::Failed);
        bad.message = Some("x".repeat(MESSAGE));
        let (json, left_out) = bounded_json(&vec![bad; 3_000]);
        assert!(json.len() <= TOTAL);
        assert_eq!(left_out, 0);
    }

    #[test]
    fn few_examples_are_kept_whole_and_in_order() {
        let examples = ["b", "a"].map(|name| Example::new(name, Status::Passed));
        let (json, left_out) = bounded_json(&examples);
        assert_eq!(left_out, 0);
        let kept: Vec<Example> = serde_json::from_str(&json).unwrap();
        assert_eq!(kept, examples);
    }
}
