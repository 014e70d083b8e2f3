//! Reports: what a test tool wrote about the examples it ran, in a format that others read too.
//!
//! A reader never guesses in favour of the test: what is cut short, contradicts itself or cannot be
//! read is an error, and so is a report of nothing.

mod go;
mod junit;
mod libtest;
mod libtest_json;
mod rspec;
mod tap;

use crate::example::{Example, Status};
use crate::trial;
use std::str::FromStr;

/// The formats that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// JUnit XML, from a file
    Junit,
    /// Test Anything Protocol, versions 12 to 14
    Tap,
    /// What rspec --format json writes
    RspecJson,
    /// What cargo test prints
    Libtest,
    /// What cargo test and cargo nextest write with --format json and libtest-json
    #[value(alias = "nextest")]
    LibtestJson,
    /// What go test -json writes
    GoJson,
    /// The one of these that it looks like
    Auto,
}

/// Where to find a report, and how to read it: `FORMAT[:PATH]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub format: Format,
    pub path: Option<String>,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (format, path) = match text.split_once(':') {
            Some((format, path)) => (format, Some(path.to_owned())),
            None => (text, None),
        };
        if path.as_deref() == Some("") {
            return Err("the path behind the ':' is empty".into());
        }
        let format = <Format as clap::ValueEnum>::from_str(format, false).map_err(|_| {
            format!(
                "no such format '{format}': junit, tap, rspec-json, libtest, libtest-json, go-json or auto"
            )
        })?;
        Ok(Self { format, path })
    }
}

/// What a report says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub examples: Vec<Example>,
    /// Errors outside of examples: a file that does not load, a hook that fails.
    pub outside: Vec<String>,
}

impl Report {
    /// How many examples ended like this.
    pub fn count(&self, status: Status) -> u64 {
        let same = |example: &&Example| example.status == status;
        self.examples.iter().filter(same).count() as u64
    }

    /// The verdict of it; none when it tells of nothing.
    pub fn verdict(&self) -> Option<trial::Status> {
        if !self.outside.is_empty() {
            Some(trial::Status::Error)
        } else if self.count(Status::Failed) + self.count(Status::Error) > 0 {
            Some(trial::Status::Failed)
        } else if self.count(Status::Passed) > 0 {
            Some(trial::Status::Passed)
        } else if self.count(Status::Pending) > 0 {
            Some(trial::Status::Pending)
        } else {
            None
        }
    }
}

/// Reads a report.
///
/// Errors: why it cannot be trusted.
pub fn parse(format: Format, bytes: &[u8]) -> Result<Report, String> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}');
    match format {
        Format::Junit => junit::parse(text),
        Format::Tap => tap::parse(text),
        Format::RspecJson => rspec::parse(text),
        Format::Libtest => libtest::parse(text),
        Format::LibtestJson => libtest_json::parse(text),
        Format::GoJson => go::parse(text),
        Format::Auto => match guess(text) {
            Some(format) => parse(format, bytes),
            None => Err("looks like none of the known formats".into()),
        },
    }
}

fn guess(text: &str) -> Option<Format> {
    if text.trim_start().starts_with('<') {
        return Some(Format::Junit);
    }
    text.lines().find_map(|line| {
        if line.starts_with('{') {
            if line.contains("\"examples\":") {
                return Some(Format::RspecJson);
            } else if line.contains("\"Action\":") {
                return Some(Format::GoJson);
            } else if line.contains("\"type\":") && line.contains("\"event\":") {
                return Some(Format::LibtestJson);
            }
        }
        if libtest::is_start(line) {
            return Some(Format::Libtest);
        }
        tap::is_start(line).then_some(Format::Tap)
    })
}

/// Seconds, as reports write durations, in whole milliseconds.
fn milliseconds(seconds: f64) -> Option<u64> {
    (seconds.is_finite() && seconds >= 0.0).then(|| (seconds * 1000.0).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_format_and_a_path() {
        let source: Source = "junit:out/a:b.xml".parse().unwrap();
        assert_eq!(source.format, Format::Junit);
        assert_eq!(source.path.as_deref(), Some("out/a:b.xml"));
        assert_eq!("nextest".parse::<Source>().unwrap().path, None);
        assert_eq!(
            "nextest".parse::<Source>().unwrap().format,
            Format::LibtestJson
        );
        for bad in ["", "xml", "junit:"] {
            assert!(bad.parse::<Source>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_format_is_known_by_its_look() {
        for (text, format) in [
            (
                "\u{feff}\n<?xml version=\"1.0\"?><testsuites/>",
                Format::Junit,
            ),
            ("noise\nTAP version 14\n1..1\nok 1\n", Format::Tap),
            ("1..2\nok\nnot ok\n", Format::Tap),
            ("\nrunning 1 test\n", Format::Libtest),
            (
                "noise\n{\"version\":\"3\",\"examples\":[]}\n",
                Format::RspecJson,
            ),
            ("{\"Action\":\"start\",\"Package\":\"p\"}\n", Format::GoJson),
            (
                "{ \"type\": \"suite\", \"event\": \"started\", \"test_count\": 1 }\n",
                Format::LibtestJson,
            ),
        ] {
            assert_eq!(
                guess(text.trim_start_matches('\u{feff}')),
                Some(format),
                "{text}"
            );
        }
        assert_eq!(guess("3 tests passed\n"), None);
    }

    #[test]
    fn no_reader_takes_nothing_or_nonsense_for_a_report() {
        for format in [
            Format::Junit,
            Format::Tap,
            Format::RspecJson,
            Format::Libtest,
            Format::LibtestJson,
            Format::GoJson,
            Format::Auto,
        ] {
            for bytes in [
                &b""[..],
                b"ok",
                b"\xff\xfe\0",
                b"{}",
                b"<a/>",
                b"[]",
                b"{\"type\":3}",
            ] {
                let verdict = parse(format, bytes).map(|report| report.verdict());
                assert!(
                    !matches!(
                        verdict,
                        Ok(Some(trial::Status::Passed | trial::Status::Pending))
                    ),
                    "{format:?} {bytes:?} {verdict:?}"
                );
            }
        }
    }
}
