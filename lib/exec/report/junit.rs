//! JUnit XML in the dialects that real tools write: suites with or without a root, missing
//! attributes, and a testcase with several outcomes, of which the worst counts, or one testcase per
//! attempt.

mod case;
mod suite;

use super::content::{Report, clip};
use case::Case;
use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event};
use suite::Suite;

/// Deeper nesting than any tool writes.
const DEPTH: usize = 200;
/// Bytes of an attribute or text that are examined: more than is kept.
const TEXT: usize = 64 << 10;

/// The kinds of elements that matter.
#[derive(Clone, Copy, PartialEq)]
enum Element {
    Suite,
    Case,
    Failure,
    Error,
    Skipped,
    /// The failure of an attempt that a later attempt replaced.
    Flaky,
    /// The failure of an attempt that later attempts did not repair.
    Rerun,
    Other,
}

impl Element {
    fn of(tag: &BytesStart) -> Self {
        match tag.local_name().as_ref() {
            "testsuites" | "testsuite" | "testrun" => Self::Suite,
            "testcase" => Self::Case,
            "failure" => Self::Failure,
            "error" => Self::Error,
            "skipped" => Self::Skipped,
            "flakyFailure" | "flakyError" => Self::Flaky,
            "rerunFailure" | "rerunError" => Self::Rerun,
            _ => Self::Other,
        }
    }

    /// Whether the element's text explains why a test did not pass.
    fn explains(self) -> bool {
        !matches!(self, Self::Suite | Self::Case | Self::Other)
    }
}

pub(crate) fn read(text: &str, report: &mut Report) -> Result<(), String> {
    let mut xml = Reader::from_str(text);
    xml.config_mut().expand_empty_elements = true;
    let mut document = Document {
        report,
        open: Vec::new(),
        suites: Vec::new(),
        case: None,
        has_root: false,
        trouble: None,
    };
    loop {
        let event = xml
            .read_event()
            .map_err(|error| format!("not valid XML at byte {}: {error}", xml.error_position()))?;
        match event {
            Event::Start(tag) => document.start(&tag)?,
            Event::End(_) => document.end()?,
            Event::Text(text) if document.explains() => {
                let end = clip(&text, TEXT).len();
                document.text(&text[..end].replace("\r\n", "\n"));
            }
            Event::Text(text) if document.open.is_empty() && !text.trim().is_empty() => {
                return Err("text outside of the root element".into());
            }
            Event::CData(text) if document.explains() => {
                let end = clip(&text, TEXT).len();
                document.text(&text[..end].replace("\r\n", "\n"));
            }
            Event::GeneralRef(reference) if document.explains() => {
                let text = format!("&{};", clip(&reference, 100));
                let meant = unescape(&text).map_or(text.clone(), |meant| meant.into_owned());
                document.text(&meant);
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if !document.open.is_empty() || !document.has_root {
        return Err("it ends too early".into());
    }
    document.trouble.map_or(Ok(()), Err)
}

/// The state between two events.
struct Document<'r> {
    report: &'r mut Report,
    open: Vec<Element>,
    suites: Vec<Suite>,
    case: Option<Case>,
    has_root: bool,
    /// The first contradiction in the document.
    trouble: Option<String>,
}

impl Document<'_> {
    fn explains(&self) -> bool {
        self.case.is_some() && self.open.last().is_some_and(|element| element.explains())
    }

    fn text(&mut self, text: &str) {
        if let (Some(case), Some(element)) = (&mut self.case, self.open.last()) {
            case.explain(*element, text);
        }
    }

    fn start(&mut self, tag: &BytesStart) -> Result<(), String> {
        let element = Element::of(tag);
        if self.open.is_empty() {
            if element != Element::Suite {
                let name = tag.local_name();
                let name = clip(name.as_ref(), 100);
                return Err(format!("the root is <{name}>, not <testsuites>"));
            }
            self.has_root = true;
        }
        if self.open.len() >= DEPTH {
            return Err(format!("nested more than {DEPTH} deep"));
        }
        match (element, &mut self.case) {
            (Element::Suite, None) => {
                let parent = self.suites.last();
                let suite = Suite::new(tag, parent)?;
                self.suites.push(suite);
            }
            (Element::Case, None) => self.case = Some(Case::new(tag)?),
            (Element::Failure | Element::Error, None) => {
                let message = attribute(tag, "message")?;
                let what = || format!("<{}> of a suite", tag.local_name().as_ref());
                self.report.push_outside(message.unwrap_or_else(what));
                if let Some(suite) = self.suites.last_mut() {
                    suite.add_outcome(element);
                }
            }
            (element, Some(case)) if self.open.last() == Some(&Element::Case) => {
                case.add(element, tag)?;
                if let Some(suite) = self.suites.last_mut() {
                    suite.add_outcome(element);
                }
            }
            _ => {}
        }
        self.open.push(element);
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let element = self.open.pop();
        if element == Some(Element::Case)
            && !self.open.contains(&Element::Case)
            && let (Some(case), Some(suite)) = (self.case.take(), self.suites.last_mut())
        {
            suite.add_case(case, self.report)?;
        }
        if element == Some(Element::Suite)
            && self.case.is_none()
            && let Some(suite) = self.suites.pop()
        {
            let sums = suite.end(self.report).unwrap_or_else(|(sums, why)| {
                self.trouble.get_or_insert(why);
                sums
            });
            if let Some(parent) = self.suites.last_mut() {
                parent.add_sums(&sums);
            }
        }
        Ok(())
    }
}

fn attribute(tag: &BytesStart, name: &str) -> Result<Option<String>, String> {
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| format!("bad attribute: {error}"))?;
        if attribute.key.local_name().as_ref() == name {
            let raw = clip(&attribute.value, TEXT);
            // An entity that only a DTD declares is kept as written.
            let value = unescape(raw).map_or_else(|_| raw.to_owned(), |value| value.into_owned());
            return Ok(Some(value));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
