//! The output of RSpec's JSON formatter: one object, surrounded by whatever the tests and their
//! plugins printed, even on the same line.

use super::content::{Names, Report};
use super::milliseconds;
use crate::protocol::example::{Example, Status};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

#[derive(Deserialize)]
struct Summary {
    example_count: u64,
    failure_count: u64,
    pending_count: Option<u64>,
    #[serde(default)]
    errors_outside_of_examples_count: u64,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    id: String,
    full_description: String,
    status: Status,
    file_path: Option<String>,
    line_number: Option<u64>,
    run_time: Option<f64>,
    pending_message: Option<String>,
    exception: Option<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    #[serde(default)]
    class: String,
    message: Option<String>,
    backtrace: Option<Vec<String>>,
}

/// An object that has the parts of a report, whatever their types.
#[derive(Deserialize)]
struct Outline {
    #[serde(rename = "examples")]
    _examples: Vec<IgnoredAny>,
    #[serde(rename = "summary")]
    _summary: OutlineOfSummary,
}

#[derive(Deserialize)]
struct OutlineOfSummary {
    #[serde(rename = "example_count")]
    _example_count: IgnoredAny,
}

/// Any JSON, not nested deeper than serde_json allows: [`IgnoredAny`] would read endless nesting to
/// the end, and would do so again from each of its braces.
struct Anything;

impl<'de> Deserialize<'de> for Anything {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Anything {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, Self>()?.is_some() {}
        Ok(self)
    }
}

/// Whether a report starts in the line.
pub(crate) fn is_start(line: &str) -> bool {
    line.split_once('{')
        .is_some_and(|(_, rest)| rest.contains("\"examples\":"))
}

/// Reads all reports in the text; for an example that is in several, the last one counts.
pub(crate) fn read(text: &str, report: &mut Report) -> Result<(), String> {
    let mut names = Names::default();
    let (mut place, mut found) = (0, 0);
    while let Some(start) = text[place..].find('{') {
        let rest = &text[place + start..];
        let mut objects = serde_json::Deserializer::from_str(rest).into_iter::<Anything>();
        let length = match objects.next() {
            Some(Ok(_)) => objects.byte_offset(),
            // The formatter starts like this: the rest is lost.
            _ if rest.starts_with("{\"version\":\"") && begins(rest) => {
                document(rest, report, &mut names)?;
                return Err("it ends too early".into());
            }
            _ => 1,
        };
        let object = &rest[..length];
        let has_parts = object.contains("\"examples\"") && object.contains("\"summary\"");
        if has_parts && serde_json::from_str::<Outline>(object).is_ok() {
            found += 1;
            document(object, report, &mut names)?;
        }
        place += start + length;
    }
    if found == 0 {
        return Err("it contains no RSpec JSON".into());
    }
    Ok(())
}

/// Whether a list of messages or examples directly follows the version.
fn begins(text: &str) -> bool {
    let start = super::content::clip(text, 100);
    start.contains("\"examples\":[") || start.contains("\"messages\":[")
}

fn document(text: &str, report: &mut Report, names: &mut Names) -> Result<(), String> {
    let mut told = [0; 4];
    let mut trouble = None;
    let document = Document {
        examples: Examples {
            report,
            names,
            told: &mut told,
            trouble: &mut trouble,
        },
    };
    let (summary, messages) = document
        .deserialize(&mut serde_json::Deserializer::from_str(text))
        .map_err(|error| format!("not RSpec JSON: {error}"))?;
    if let Some(trouble) = trouble {
        return Err(trouble);
    }
    let listed: u64 = told.iter().sum();
    let count = |status: Status| told[status as usize];
    let pending = summary.pending_count.unwrap_or(count(Status::Pending));
    if (listed, count(Status::Failed), count(Status::Pending))
        != (summary.example_count, summary.failure_count, pending)
    {
        return Err(format!(
            "its summary counts {} examples, {} failures and {pending} pending, its list {listed}, {} and {}",
            summary.example_count,
            summary.failure_count,
            count(Status::Failed),
            count(Status::Pending),
        ));
    }
    let errors = summary.errors_outside_of_examples_count;
    if errors > 0 {
        for message in messages {
            report.push_outside(message);
        }
        report.push_outside(format!("{errors} error(s) outside of examples"));
    }
    Ok(())
}

/// Reads the object and adds each example directly to the report: a list of them all may be too
/// long.
struct Document<'r> {
    examples: Examples<'r>,
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = (Summary, Vec<String>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = (Summary, Vec<String>);

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an RSpec report")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut examples = Some(self.examples);
        let (mut summary, mut messages) = (None, Vec::new());
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "examples" => match examples.take() {
                    Some(examples) => map.next_value_seed(examples)?,
                    None => return Err(serde::de::Error::duplicate_field("examples")),
                },
                "summary" => summary = Some(map.next_value()?),
                "messages" => messages = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let missing = serde::de::Error::missing_field;
        if examples.is_some() {
            return Err(missing("examples"));
        }
        Ok((summary.ok_or_else(|| missing("summary"))?, messages))
    }
}

/// Reads the examples into a report.
struct Examples<'r> {
    report: &'r mut Report,
    names: &'r mut Names,
    told: &'r mut [u64; 4],
    trouble: &'r mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Examples<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Examples<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of examples")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(entry) = list.next_element::<Entry>()? {
            let example = example(entry);
            self.told[example.status as usize] += 1;
            let name = example.id.clone();
            let place = match self.names.get(&name) {
                // The example ran again, in another RSpec run.
                Some(earlier) if !name.is_empty() => {
                    let later = self.report.push(example);
                    if earlier.status >= Status::Failed {
                        self.report.replace(earlier, later);
                    } else {
                        self.report.take_back(earlier);
                    }
                    later
                }
                _ => self.report.push(example),
            };
            if let Err(why) = self.names.set(&name, place) {
                self.trouble.get_or_insert(why);
            }
        }
        Ok(())
    }
}

fn example(entry: Entry) -> Example {
    let failure = entry.exception.map(|exception| {
        let mut lines = vec![format!(
            "{}: {}",
            exception.class,
            exception.message.unwrap_or_default()
        )];
        lines.extend(exception.backtrace.unwrap_or_default().into_iter().take(10));
        lines.join("\n")
    });
    Example {
        id: entry.id,
        name: entry.full_description,
        file: entry.file_path,
        line: entry.line_number,
        status: entry.status,
        duration_ms: entry.run_time.and_then(milliseconds),
        message: failure.or(entry.pending_message),
        flaky: false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ReportFormat, parse};
    use super::*;
    use crate::protocol::status::TrialStatus;

    fn one(id: &str, status: &str) -> String {
        format!(
            r#"{{"id":"./a_spec.rb[1:{id}]","description":"x","full_description":"A {id}","status":"{status}","file_path":"./a_spec.rb","line_number":3,"run_time":0.0125,"pending_message":null}}"#
        )
    }

    fn document(examples: &[String], summary: &str) -> String {
        let examples = examples.join(",");
        format!(
            r#"{{"version":"3.12.0","messages":["boom"],"examples":[{examples}],"summary":{{{summary}}},"summary_line":""}}"#
        )
    }

    fn sums(examples: u32, failures: u32) -> String {
        format!(r#""example_count":{examples},"failure_count":{failures}"#)
    }

    fn report(text: &str) -> Report {
        parse(ReportFormat::RspecJson, text.as_bytes())
    }

    #[test]
    fn the_report_is_found_amid_other_output() {
        let json = document(&[one("1", "passed")], &sums(1, 0));
        let log = r#"{"level":"info","examples":3,"summary":"ok","nested":{"a":[1,2]}}"#;
        for text in [
            format!("{{ hello\n{json}\nbye\n"),
            format!("partial{json}Coverage report generated: 1 / 1 LOC (100.0%) covered.\n"),
            format!("{log}\n{json}{log}\n"),
            format!("{{}}{{\"a\":\"}}{json} {{\"cut\":"),
            format!("#{{interpolated}} {{{{ {json} }}}}"),
            json.replace("\"examples\"", "\n \"examples\""),
        ] {
            for format in [ReportFormat::RspecJson, ReportFormat::Auto] {
                if format == ReportFormat::Auto && text.contains("\n \"") {
                    continue;
                }
                let report = parse(format, text.as_bytes());
                assert_eq!(report.verdict(), Some(TrialStatus::Passed), "{text}");
                assert_eq!(report.examples[0].duration_ms, Some(13));
                assert_eq!(report.total(), 1);
            }
        }
        for text in [log, "{}", "{{{{", &"{\"a\":".repeat(20_000)] {
            assert!(report(text).broken.is_some());
        }
    }

    #[test]
    fn two_reports_are_merged_and_the_last_attempt_counts() {
        let first = document(&[one("1", "passed"), one("2", "failed")], &sums(2, 1));
        let other = document(&[one("3", "passed")], &sums(1, 0));
        let again = document(&[one("2", "passed")], &sums(1, 0));
        let read = report(&format!("{first}\n{other}"));
        assert_eq!(read.verdict(), Some(TrialStatus::Failed));
        assert_eq!((read.count(Status::Passed), read.bad()), (2, 1));
        let read = report(&format!("{first}{again}"));
        assert_eq!((read.count(Status::Passed), read.bad()), (2, 0));
        assert!(read.examples[1].flaky);
        let read = report(&format!("{first}{first}"));
        assert_eq!((read.count(Status::Passed), read.bad()), (1, 1));
    }

    #[test]
    fn a_truncated_or_miscounted_report_keeps_its_examples() {
        let examples = [one("1", "passed"), one("2", "failed")];
        let json = document(&examples, &sums(2, 1));
        for end in 1..json.len() {
            let report = report(&json[..end]);
            assert!(report.broken.is_some(), "{}", &json[..end]);
            let listed = json[..end].matches("\"pending_message\":null}").count();
            assert_eq!(report.total(), listed as u64, "{}", &json[..end]);
        }
        for summary in [sums(3, 1), sums(2, 0), sums(2, 1) + r#","pending_count":1"#] {
            let report = report(&document(&examples, &summary));
            assert!(report.broken.is_some(), "{summary}");
            assert_eq!(report.total(), 2);
        }
        let outside = sums(2, 1) + r#","errors_outside_of_examples_count":1"#;
        let report = report(&document(&examples, &outside));
        assert_eq!(report.verdict(), Some(TrialStatus::Error));
        assert_eq!(report.outside[0], "boom");
    }
}
