//! The result of a case, and the earlier trials in which it failed.

use crate::archive::document::{Bytes, Trial};
use crate::protocol::example::{Example, Status};
use crate::protocol::status::{TaskStatus, TrialStatus};
use crate::show::export::run::{Case, tail};
use crate::show::export::xml::{Xml, clean, size};

/// Maximum bytes of each output of a suite.
pub(super) const OUTPUT: usize = 64 << 10;
/// Maximum bytes of each output in the body of a case.
const BODY: usize = 4 << 10;
/// Maximum characters of a message's first line.
const FIRST: usize = 200;
/// The replacement for text beyond the limit.
const NO_ROOM: &str = "(left out: the report would be too large; rrr-show prints it)";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Success,
    Skipped,
    Failure,
    Error,
}

impl Kind {
    /// The element for this result, and the one for the same result of an earlier trial.
    fn elements(self) -> (Option<&'static str>, &'static str) {
        match self {
            Self::Success => (None, "flaky"),
            Self::Skipped => (Some("skipped"), "flaky"),
            Self::Failure => (Some("failure"), "rerun"),
            Self::Error => (Some("error"), "rerun"),
        }
    }
}

/// The result of a case.
pub(super) struct Outcome<'a> {
    pub kind: Kind,
    word: Option<&'a str>,
    message: Option<String>,
    text: Option<String>,
    /// Earlier trials in which the case failed, each with its text.
    pub before: Vec<(&'a Trial, Option<String>)>,
}

impl Outcome<'_> {
    fn of(kind: Kind) -> Self {
        Self {
            kind,
            word: None,
            message: None,
            text: None,
            before: Vec::new(),
        }
    }

    pub(super) fn write(&self, xml: &mut Xml<Vec<u8>>) -> std::io::Result<()> {
        let (element, earlier) = self.kind.elements();
        if let Some(element) = element {
            let attributes = [("message", self.message.as_deref()), ("type", self.word)];
            xml.element(element, &attributes, self.text.as_deref())?;
        }
        for (trial, text) in &self.before {
            let word = trial.status().map_or("error", TrialStatus::as_str);
            let message = match trial.exit_code {
                Some(code) => format!("{word}, exit {code}"),
                None => word.to_owned(),
            };
            let kind = match kind(trial) {
                Kind::Failure => "Failure",
                _ => "Error",
            };
            let attributes = [("message", Some(&*message)), ("type", Some(word))];
            let element = format!("{earlier}{kind}");
            let Some(text) = text else {
                xml.element(&element, &attributes, None)?;
                continue;
            };
            xml.open(&element, &attributes)?;
            xml.element("stackTrace", &[], Some(text))?;
            xml.close(&element)?;
        }
        Ok(())
    }
}

/// The first line of a message, with a mark if the line was cut.
pub(super) fn first_line(message: &str) -> String {
    let message = clean(message);
    let line = message.lines().next().unwrap_or_default();
    match line.char_indices().nth(FIRST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

pub(super) fn example_outcome<'a>(
    case: &Case<'a>,
    example: &'a Example,
    room: &mut usize,
) -> Outcome<'a> {
    let message = example.message.as_deref().unwrap_or_default();
    let first = first_line(message);
    let or = |word: &str| {
        Some(if first.is_empty() {
            word.to_owned()
        } else {
            first.clone()
        })
    };
    let mut bad = |kind, word| {
        let text = fitting(message.to_owned(), room);
        Outcome {
            word: Some(word),
            message: or(word),
            text,
            ..Outcome::of(kind)
        }
    };
    let mut outcome = match example.status {
        Status::Passed => Outcome::of(Kind::Success),
        Status::Pending => Outcome {
            message: or("pending"),
            ..Outcome::of(Kind::Skipped)
        },
        Status::Failed => bad(Kind::Failure, "failed"),
        Status::Error => bad(Kind::Error, "error"),
    };
    if example.status != Status::Pending {
        for trial in &case.wrong {
            if let Some(message) = failed_in(trial, example) {
                outcome
                    .before
                    .push((trial, fitting(message.to_owned(), room)));
            }
        }
    }
    outcome
}

/// The message with which the example failed in that trial, if it did.
fn failed_in<'a>(trial: &'a Trial, example: &Example) -> Option<&'a str> {
    let mut all = trial.examples.iter().flatten();
    let same = all.find(|one| one.id == example.id && one.status.is_bad())?;
    Some(same.message.as_deref().unwrap_or_default())
}

/// The text of a trial without examples: the ends of its outputs, labelled if there are two.
fn body(trial: &Trial, room: &mut usize) -> Option<String> {
    let outputs = [("stdout", &trial.stdout), ("stderr", &trial.stderr)];
    let texts: Vec<(&str, String)> = (outputs.iter())
        .filter(|(_, bytes)| !bytes.0.is_empty())
        .map(|(name, bytes)| (*name, tail(bytes, BODY)))
        .collect();
    let text = match &texts[..] {
        [(_, only)] => only.clone(),
        all => (all.iter())
            .map(|(name, text)| format!("{name}:\n{}\n", text.trim_end()))
            .collect(),
    };
    fitting(text, room)
}

/// The text if it fits, or a replacement; none for no text.
fn fitting(text: String, room: &mut usize) -> Option<String> {
    match text.is_empty() {
        true => None,
        false if takes(&text, room) => Some(text),
        false => Some(NO_ROOM.to_owned()),
    }
}

fn kind(trial: &Trial) -> Kind {
    match trial.status() {
        Some(TrialStatus::Failed) => Kind::Failure,
        _ => Kind::Error,
    }
}

pub(super) fn file_outcome<'a>(case: &Case<'a>, room: &mut usize) -> Outcome<'a> {
    let mut outcome = match (case.verdict, case.trial) {
        (Some(TaskStatus::Passed), _) => Outcome::of(Kind::Success),
        (Some(TaskStatus::Pending), _) => Outcome {
            message: Some("pending".to_owned()),
            ..Outcome::of(Kind::Skipped)
        },
        (Some(TaskStatus::Failed), trial) => Outcome {
            word: Some(case.word()),
            message: Some(case.story()),
            text: trial.and_then(|trial| body(trial, room)),
            ..Outcome::of(trial.map_or(Kind::Error, kind))
        },
        (None, _) => Outcome {
            message: Some("the run ended before it".to_owned()),
            ..Outcome::of(Kind::Skipped)
        },
    };
    if case
        .verdict
        .is_some_and(|verdict| verdict != TaskStatus::Pending)
    {
        let before = case.wrong.iter();
        outcome.before = before.map(|trial| (*trial, body(trial, room))).collect();
    }
    outcome
}

/// The last `most` bytes of an output, if there is one.
pub(super) fn output(bytes: &Bytes, most: usize, room: &mut usize) -> Option<String> {
    fitting(tail(bytes, most), room)
}

/// Reserves the bytes that the text needs as XML, if enough are left.
fn takes(text: &str, room: &mut usize) -> bool {
    let needed = size(text);
    let fits = needed <= *room;
    if fits {
        *room -= needed;
    }
    fits
}
