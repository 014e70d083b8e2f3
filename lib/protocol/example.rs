//! Examples: the individual tests of a spec file, as far as its runner reports them.
//!
//! rrr-slave writes them into the trial's field `examples`, as a JSON array of bounded size.

use serde::{Deserialize, Serialize};

/// The outcome of an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Passed,
    Pending,
    Failed,
    /// The example could not be run properly: its setup failed, or its process died.
    Error,
}

impl Status {
    /// Whether the example did not pass and is not pending.
    pub(crate) fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::Error)
    }

    /// The name in JSON and in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Pending => "pending",
            Self::Failed => "failed",
            Self::Error => "error",
        }
    }

    /// Parses a name returned by [`Status::as_str`].
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Passed, Self::Pending, Self::Failed, Self::Error]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// One example.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The argument with which its runner runs only this example.
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub file: Option<String>,
    #[serde(default)]
    pub line: Option<u64>,
    pub status: Status,
    #[serde(default)]
    pub duration_ms: Option<u64>,
    /// Why it did not pass, or why an earlier attempt did not.
    #[serde(default)]
    pub message: Option<String>,
    /// Whether the test tool ran it more than once until it passed: earlier attempts are not
    /// examples.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flaky: bool,
}

impl Example {
    /// An example of which nothing else is known.
    pub(crate) fn new(name: impl Into<String>, status: Status) -> Self {
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

    /// Shortens its texts to the maximum lengths, and its message to `message` bytes.
    pub(crate) fn shorten(&mut self, message: usize) {
        self.shorten_to(Texts {
            message,
            other: TEXT,
        });
    }

    fn shorten_to(&mut self, texts: Texts) {
        for (text, limit) in [
            (Some(&mut self.id), texts.other),
            (Some(&mut self.name), texts.other),
            (self.file.as_mut(), texts.other),
            (self.message.as_mut(), texts.message),
        ] {
            if let Some(text) = text {
                shorten(text, limit);
            }
        }
    }
}

/// Maximum bytes of the JSON array of one trial, not counting failed examples.
const TOTAL: usize = 1 << 20;
/// Maximum bytes of a message.
pub(crate) const MESSAGE: usize = 4 << 10;
/// Maximum bytes of any other text.
const TEXT: usize = 1 << 10;
/// Maximum bytes of failed examples: all of them are kept, with shorter texts when there are many.
const FAILED: usize = 8 << 20;
/// Maximum bytes of a message, and of any other text, of examples that did not fail.
const TEXTS: Texts = Texts {
    message: MESSAGE,
    other: TEXT,
};
/// Limits for failed examples: the first with which all of them fit into [`TOTAL`],
/// otherwise the last.
const FAILED_TEXTS: [Texts; 4] = [
    TEXTS,
    Texts {
        message: 1 << 10,
        other: TEXT,
    },
    Texts {
        message: 256,
        other: 512,
    },
    Texts {
        message: 64,
        other: 128,
    },
];

#[derive(Clone, Copy)]
struct Texts {
    message: usize,
    other: usize,
}

/// The JSON array of `examples`, and the number of examples left out. Long texts are shortened and
/// marked; when the array is too long, passed examples are left out first, then pending ones.
/// Failed examples are always kept.
pub(crate) fn bounded_json(examples: &[Example]) -> (String, u64) {
    let mut kept: Vec<Option<String>> = vec![None; examples.len()];
    let mut size = 0;
    for texts in FAILED_TEXTS {
        size = 0;
        for (place, example) in examples
            .iter()
            .enumerate()
            .filter(|(_, one)| one.status.is_bad())
        {
            let text = bounded(example, texts);
            size += text.len() + 1;
            kept[place] = (size < FAILED).then_some(text);
        }
        if size < TOTAL {
            break;
        }
    }
    let mut room = TOTAL.saturating_sub(size);
    for wanted in [Status::Pending, Status::Passed] {
        let of = |example: &Example| example.status == wanted;
        for (place, example) in examples.iter().enumerate().filter(|(_, one)| of(one)) {
            let text = bounded(example, TEXTS);
            if text.len() + 1 < room {
                room -= text.len() + 1;
                kept[place] = Some(text);
            }
        }
    }
    let left_out = kept.iter().filter(|text| text.is_none()).count() as u64;
    let kept: Vec<String> = kept.into_iter().flatten().collect();
    (format!("[{}]", kept.join(",")), left_out)
}

fn bounded(example: &Example, texts: Texts) -> String {
    let mut example = example.clone();
    example.shorten_to(texts);
    serde_json::to_string(&example).unwrap_or_default()
}

/// Room for the truncation note: a shortened text is not shortened again.
const NOTE: usize = 40;

/// Shortens a text to about `limit` bytes and notes this at its end.
pub(crate) fn shorten(text: &mut String, limit: usize) {
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
    fn failures_are_kept_when_the_record_is_too_long() {
        let mut examples: Vec<Example> = (0..30_000)
            .map(|n| Example::new(format!("passes {n}"), Status::Passed))
            .collect();
        let mut bad = Example::new("fails", Status::Failed);
        bad.message = Some("ü".repeat(TEXTS.message));
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
        bad.message = Some("x".repeat(TEXTS.message));
        let (json, left_out) = bounded_json(&vec![bad; 3_000]);
        assert!(json.len() <= TOTAL);
        assert_eq!(left_out, 0);
    }

    #[test]
    fn every_failure_is_kept_however_many_there_are() {
        let bad = |n: usize| {
            let mut bad = Example::new(format!("test_many[{n}]"), Status::Failed);
            bad.message = Some("assert ".repeat(100));
            bad
        };
        let mut examples: Vec<Example> = (0..20_000).map(bad).collect();
        examples.push(Example::new("passes", Status::Passed));
        let (json, left_out) = bounded_json(&examples);
        assert!(json.len() <= FAILED);
        let kept: Vec<Example> = serde_json::from_str(&json).unwrap();
        assert_eq!((kept.len(), left_out), (20_000, 1));
        let message = kept[0].message.as_ref().unwrap();
        assert!(message.ends_with("bytes dropped]"), "{message}");
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
