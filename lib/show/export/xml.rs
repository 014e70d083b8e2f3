//! XML 1.0 from arbitrary text.

use crate::process::text::harmless;
use quick_xml::Writer;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use quick_xml::name::QName;
use std::borrow::Cow;
use std::io::Write;

/// The text without colours, with characters that are invalid in XML or unsafe on a terminal made
/// visible. Tabs and line feeds stay.
pub(crate) fn clean(text: &str) -> String {
    let text = harmless(&console::strip_ansi_codes(text));
    match text.contains(['\u{fffe}', '\u{ffff}']) {
        true => text
            .replace('\u{fffe}', "\\u{fffe}")
            .replace('\u{ffff}', "\\u{ffff}"),
        false => text,
    }
}

/// Clean text, escaped as the content of an element.
fn content(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Clean text, escaped as the value of an attribute: readers turn bare tabs and line feeds into
/// spaces.
fn value(text: &str) -> String {
    content(text)
        .replace('"', "&quot;")
        .replace('\t', "&#9;")
        .replace('\n', "&#10;")
}

/// Maximum bytes of clean text in a document.
pub(crate) fn size(text: &str) -> usize {
    let longer = text.bytes().filter(|byte| b"<>&\"\t\n".contains(byte));
    text.len() + 5 * longer.count()
}

/// A start tag; attributes without a value are left out.
fn start<'a>(name: &'a str, attributes: &[(&'a str, Option<&str>)]) -> BytesStart<'a> {
    let mut tag = BytesStart::new(name);
    for (name, text) in attributes {
        if let Some(text) = text {
            tag.push_attribute(Attribute {
                key: QName(name),
                value: Cow::Owned(value(&clean(text))),
            });
        }
    }
    tag
}

/// A document in progress.
pub(crate) struct Xml<W: Write>(Writer<W>);

impl<W: Write> Xml<W> {
    pub(crate) fn new(out: W) -> Self {
        Self(Writer::new_with_indent(out, b' ', 2))
    }

    pub(crate) fn open(
        &mut self,
        name: &str,
        attributes: &[(&str, Option<&str>)],
    ) -> std::io::Result<()> {
        self.0.write_event(Event::Start(start(name, attributes)))
    }

    pub(crate) fn close(&mut self, name: &str) -> std::io::Result<()> {
        self.0.write_event(Event::End(BytesEnd::new(name)))
    }

    /// Writes an element with this text, or an empty one.
    pub(crate) fn element(
        &mut self,
        name: &str,
        attributes: &[(&str, Option<&str>)],
        text: Option<&str>,
    ) -> std::io::Result<()> {
        let Some(text) = text else {
            return self.0.write_event(Event::Empty(start(name, attributes)));
        };
        self.open(name, attributes)?;
        let text = BytesText::from_escaped(content(&clean(text)));
        self.0.write_event(Event::Text(text))?;
        self.close(name)
    }

    pub(crate) fn into_inner(self) -> W {
        self.0.into_inner()
    }
}

impl Xml<Vec<u8>> {
    /// Appends the contents of another document.
    pub(crate) fn append(&mut self, other: Xml<Vec<u8>>) {
        let inner = self.0.get_mut();
        inner.push(b'\n');
        inner.extend(other.into_inner());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_character_yields_well_formed_xml() {
        let all: String = (0..=0x1_1000).filter_map(char::from_u32).collect();
        let mut xml = Xml::new(Vec::new());
        xml.element("a", &[("b", Some(&all))], Some(&all)).unwrap();
        let text = String::from_utf8(xml.into_inner()).unwrap();
        let is_xml = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        assert!(text.chars().all(is_xml));
        assert!(
            !text
                .chars()
                .any(|c| c != '\t' && c != '\n' && crate::process::text::is_harmful(c))
        );
        let mut reader = quick_xml::Reader::from_str(&text);
        while !matches!(reader.read_event().unwrap(), Event::Eof) {}
    }

    #[test]
    fn tabs_and_line_feeds_survive_everywhere() {
        let mut xml = Xml::new(Vec::new());
        xml.element("a", &[("b", Some("x\ty\r\nz"))], Some("x\ty\r\nz"))
            .unwrap();
        let text = String::from_utf8(xml.into_inner()).unwrap();
        assert_eq!(text, "<a b=\"x&#9;y&#10;z\">x\ty\nz</a>");
    }
}
