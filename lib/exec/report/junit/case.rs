//! A testcase of a JUnit report that is being read.

use super::{Element, attribute};
use crate::exec::report::content::clip;
use crate::exec::report::milliseconds;
use crate::protocol::example::{Example, Status};
use quick_xml::events::BytesStart;

/// A testcase whose end has not been read.
pub(crate) struct Case {
    pub example: Example,
    message: String,
    /// The failures of earlier attempts.
    earlier: String,
    is_flaky: bool,
    /// Whether the test failed as expected.
    is_todo: bool,
    /// The status in its attributes.
    named: Option<Status>,
    /// Whether its status attribute is the one that gtest and doctest write for every test.
    pub is_run: bool,
}

/// More of a message than is ever kept.
const MESSAGE: usize = 8 << 10;

impl Case {
    pub(crate) fn new(tag: &BytesStart) -> Result<Self, String> {
        let name = attribute(tag, "name")?.unwrap_or_default();
        let class = attribute(tag, "classname")?.filter(|class| !class.is_empty());
        let mut example = Example::new(name, Status::Passed);
        if let Some(class) = class {
            example.id = format!("{class}::{}", example.name);
        }
        example.file = attribute(tag, "file")?;
        example.line = attribute(tag, "line")?.and_then(|line| line.parse().ok());
        example.duration_ms = attribute(tag, "time")?
            .and_then(|time| seconds(&time))
            .and_then(milliseconds);
        let status = attribute(tag, "status")?;
        let result = attribute(tag, "result")?;
        let is_run = status.as_deref() == Some("run") && result.is_none();
        let named = [status, result].into_iter().flatten();
        Ok(Self {
            example,
            message: String::new(),
            earlier: String::new(),
            is_flaky: false,
            is_todo: false,
            named: named.filter_map(|word| named_status(&word)).max(),
            is_run,
        })
    }

    /// Adds a child element.
    pub(crate) fn add(&mut self, element: Element, tag: &BytesStart) -> Result<(), String> {
        let status = match element {
            Element::Failure | Element::Rerun => Status::Failed,
            Element::Error => Status::Error,
            Element::Skipped => Status::Pending,
            Element::Flaky => Status::Passed,
            _ => return Ok(()),
        };
        let rank = |status| match status {
            Status::Passed => 0,
            Status::Pending => 1,
            Status::Error => 2,
            Status::Failed => 3,
        };
        if rank(status) > rank(self.example.status) {
            self.example.status = status;
        }
        self.is_flaky |= element == Element::Flaky;
        // node --test marks it as a todo and adds the failure.
        self.is_todo |= element == Element::Skipped
            && attribute(tag, "type")?.is_some_and(|kind| kind.eq_ignore_ascii_case("todo"));
        if let Some(message) = attribute(tag, "message")? {
            self.explain(element, &message);
            self.explain(element, "\n");
        }
        Ok(())
    }

    /// Adds to the explanation of the outcome.
    pub(crate) fn explain(&mut self, element: Element, text: &str) {
        let message = match element {
            Element::Flaky | Element::Rerun => &mut self.earlier,
            _ => &mut self.message,
        };
        if message.len() < MESSAGE {
            message.push_str(clip(text, MESSAGE));
        }
    }

    /// Whether only the attributes report a failure.
    pub(crate) fn only_named_bad(&self) -> bool {
        self.example.status < Status::Failed && self.named >= Some(Status::Failed)
    }

    pub(crate) fn example(mut self) -> Example {
        if self.is_todo {
            self.example.status = Status::Pending;
        } else if let Some(named) = self.named {
            self.example.status = self.example.status.max(named);
        }
        let passed = self.example.status == Status::Passed;
        self.example.flaky = passed && self.is_flaky;
        let message = match self.message.trim() {
            "" if passed && !self.is_flaky => "",
            "" => self.earlier.trim(),
            message => message,
        };
        if !message.is_empty() {
            self.example.message = Some(message.to_owned());
        }
        self.example
    }
}

/// The meaning of the attributes `status` and `result` in the various dialects.
fn named_status(word: &str) -> Option<Status> {
    let mut word = word.trim().to_ascii_lowercase();
    word.retain(|c| c.is_ascii_alphanumeric());
    match word.as_str() {
        "run" | "completed" | "ok" | "pass" | "passed" | "success" | "successful" => {
            Some(Status::Passed)
        }
        "notrun" | "disabled" | "suppressed" | "skip" | "skipped" | "ignored" | "pending"
        | "todo" | "excluded" | "notexecuted" | "untested" | "blocked" | "inconclusive" => {
            Some(Status::Pending)
        }
        "fail" | "failed" | "failure" | "failing" | "ko" | "notok" => Some(Status::Failed),
        "error" | "errored" | "broken" | "aborted" | "crash" | "crashed" | "timeout"
        | "timedout" | "cancelled" | "canceled" | "interrupted" | "undefined" => {
            Some(Status::Error)
        }
        _ => None,
    }
}

/// Seconds with a point or a comma as the decimal separator, and possibly the other one as the
/// thousands separator.
fn seconds(text: &str) -> Option<f64> {
    let mut text: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '\'' | '_' | '\u{a0}' | '\u{202f}'))
        .collect();
    let (points, commas) = (text.matches('.').count(), text.matches(',').count());
    let last_is_comma = text.rfind(',') > text.rfind('.');
    if commas == 1 && (points == 0 || last_is_comma) {
        text = text.replace('.', "").replace(',', ".");
    } else if points > 1 {
        text = text.replace(['.', ','], "");
    } else {
        text = text.replace(',', "");
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn durations_are_parsed_in_several_locales() {
        for (text, expected) in [
            ("1.5", Some(1.5)),
            ("1,5", Some(1.5)),
            ("0,123", Some(0.123)),
            ("1,234.5", Some(1234.5)),
            ("1.234,5", Some(1234.5)),
            ("1,234,567.5", Some(1_234_567.5)),
            ("1.234.567,5", Some(1_234_567.5)),
            ("1,234,567", Some(1_234_567.0)),
            ("1\u{202f}234,5", Some(1234.5)),
            (" 3 ", Some(3.0)),
            ("1e-3", Some(0.001)),
            ("", None),
            ("soon", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
