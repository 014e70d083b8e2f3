//! JUnit XML in the dialects that tools really write: suites in suites or none, attributes missing,
//! a testcase with several outcomes, of which the worst counts.

use super::{Report, milliseconds};
use crate::example::{Example, Status};
use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event};

/// Deeper nesting than any tool writes.
const DEPTH: usize = 200;

pub fn parse(text: &str) -> Result<Report, String> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut report = Report::default();
    let mut open: Vec<String> = Vec::new();
    let mut case: Option<Case> = None;
    let mut seen_root = false;
    loop {
        let event = reader.read_event().map_err(|error| {
            format!("not valid XML at byte {}: {error}", reader.error_position())
        })?;
        match event {
            Event::Start(tag) => {
                let name = tag.local_name().as_ref().to_owned();
                if open.is_empty() {
                    if !matches!(name.as_str(), "testsuites" | "testsuite" | "testrun") {
                        return Err(format!("the root is <{name}>, not <testsuites>"));
                    }
                    seen_root = true;
                }
                if open.len() >= DEPTH {
                    return Err(format!("nested more than {DEPTH} deep"));
                }
                match (name.as_str(), &mut case) {
                    ("testcase", None) => case = Some(Case::new(&tag)?),
                    (name, Some(case)) => case.start(name, &tag, open.last())?,
                    ("error" | "failure", None) => report.outside.push(
                        attribute(&tag, "message")?
                            .unwrap_or_else(|| format!("<{name}> of a suite")),
                    ),
                    _ => {}
                }
                open.push(name);
            }
            Event::End(_) => {
                let name = open.pop();
                if name.as_deref() == Some("testcase")
                    && !open.iter().any(|name| name == "testcase")
                    && let Some(case) = case.take()
                {
                    report.examples.push(case.example());
                }
            }
            Event::Text(text) => {
                if let Some(case) = &mut case {
                    case.text(&text.xml10_content(), &open);
                }
            }
            Event::CData(text) => {
                if let Some(case) = &mut case {
                    case.text(&text.xml10_content(), &open);
                }
            }
            Event::GeneralRef(reference) => {
                if let Some(case) = &mut case {
                    let name = reference.xml10_content();
                    let text = format!("&{name};");
                    let meant = unescape(&text).map_or(text.clone(), |meant| meant.into_owned());
                    case.text(&meant, &open);
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if !open.is_empty() || !seen_root {
        return Err("it ends in the middle".into());
    }
    Ok(report)
}

fn attribute(tag: &BytesStart, name: &str) -> Result<Option<String>, String> {
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| format!("bad attribute: {error}"))?;
        if attribute.key.as_ref() == name {
            let value = unescape(&attribute.value)
                .map_err(|error| format!("attribute '{name}': {error}"))?;
            return Ok(Some(value.into_owned()));
        }
    }
    Ok(None)
}

/// A testcase whose end has not been read.
struct Case {
    example: Example,
    message: String,
}

impl Case {
    fn new(tag: &BytesStart) -> Result<Self, String> {
        let name = attribute(tag, "name")?.unwrap_or_default();
        let class = attribute(tag, "classname")?.filter(|class| !class.is_empty());
        let mut example = Example::new(name, Status::Passed);
        if let Some(class) = class {
            example.id = format!("{class}::{}", example.name);
        }
        example.file = attribute(tag, "file")?;
        example.line = attribute(tag, "line")?.and_then(|line| line.parse().ok());
        // Some write thousands as 1,234.5.
        example.duration_ms = attribute(tag, "time")?
            .and_then(|time| time.replace(',', "").trim().parse().ok())
            .and_then(milliseconds);
        if let Some(status) = attribute(tag, "status")?
            && matches!(status.as_str(), "disabled" | "notrun")
        {
            example.status = Status::Pending;
        }
        Ok(Self {
            example,
            message: String::new(),
        })
    }

    fn start(
        &mut self,
        name: &str,
        tag: &BytesStart,
        inside: Option<&String>,
    ) -> Result<(), String> {
        if inside.map(String::as_str) != Some("testcase") {
            return Ok(());
        }
        let status = match name {
            "failure" => Status::Failed,
            "error" => Status::Error,
            "skipped" => Status::Pending,
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
        if let Some(message) = attribute(tag, "message")? {
            self.add(&message);
            self.add("\n");
        }
        Ok(())
    }

    fn text(&mut self, text: &str, open: &[String]) {
        if matches!(
            open.last().map(String::as_str),
            Some("failure" | "error" | "skipped")
        ) {
            self.add(text);
        }
    }

    fn add(&mut self, text: &str) {
        // More than is ever kept of a message.
        if self.message.len() < 64 << 10 {
            self.message.push_str(text);
        }
    }

    fn example(mut self) -> Example {
        let message = self.message.trim();
        if !message.is_empty() {
            self.example.message = Some(message.to_owned());
        }
        self.example
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses(text: &str) -> Vec<(String, Status)> {
        let report = parse(text).unwrap();
        let pair = |example: Example| (example.id, example.status);
        report.examples.into_iter().map(pair).collect()
    }

    #[test]
    fn nested_and_flat_suites_give_the_same_examples() {
        let cases = r#"<testcase classname="A" name="x" time="1,000.5"/><testcase name="y"><skipped/></testcase>"#;
        for text in [
            format!("<testsuite>{cases}</testsuite>"),
            format!(
                "<?xml version='1.0'?><testsuites><testsuite><testsuite>{cases}</testsuite></testsuite></testsuites>"
            ),
            format!("<testsuites>{cases}</testsuites>"),
        ] {
            let expected = [
                ("A::x".to_owned(), Status::Passed),
                ("y".to_owned(), Status::Pending),
            ];
            assert_eq!(statuses(&text), expected, "{text}");
            assert_eq!(
                parse(&text).unwrap().examples[0].duration_ms,
                Some(1_000_500)
            );
        }
    }

    #[test]
    fn the_worst_outcome_of_a_testcase_counts() {
        let text = r#"<testsuite><testcase name="a"><failure message="m &lt; n">b &amp; c
<![CDATA[<raw>]]></failure><skipped/></testcase><testcase name="b"><skipped/><error/></testcase>
<testcase name="c"><flakyFailure/><system-out>error</system-out></testcase></testsuite>"#;
        let report = parse(text).unwrap();
        assert_eq!(report.examples[0].status, Status::Failed);
        assert_eq!(
            report.examples[0].message.as_deref(),
            Some("m < n\nb & c\n<raw>")
        );
        assert_eq!(report.examples[1].status, Status::Error);
        assert_eq!(report.examples[2].status, Status::Passed);
    }

    #[test]
    fn a_failure_of_a_suite_is_an_error_outside_of_examples() {
        let report = parse(r#"<testsuite><error message="boom"/><testcase name="a"/></testsuite>"#);
        assert_eq!(report.unwrap().outside, ["boom"]);
    }

    #[test]
    fn a_cut_off_report_is_refused_wherever_it_ends() {
        let text = r#"<testsuites><testsuite name="s"><testcase name="a"><failure>no</failure></testcase></testsuite></testsuites>"#;
        for end in 0..text.len() {
            assert!(parse(&text[..end]).is_err(), "{}", &text[..end]);
        }
        assert!(parse(text).is_ok());
    }
}
