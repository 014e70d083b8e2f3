//! Reports: the results that a test tool wrote about its examples, in a widely read format.
//!
//! A reader never guesses in favour of the test: a report that is truncated, contradictory,
//! unreadable or empty is an error.

mod content;
mod go;
mod junit;
mod libtest;
mod libtest_json;
mod rspec;
mod tap;

pub(crate) use content::Report;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use std::borrow::Cow;
use std::str::FromStr;

/// The supported formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ReportFormat {
    /// JUnit XML, from a file
    Junit,
    /// Test Anything Protocol, versions 12 to 14
    Tap,
    /// The output of rspec --format json
    RspecJson,
    /// The output of cargo test
    Libtest,
    /// The output of cargo test --format json and cargo nextest libtest-json
    #[value(alias = "nextest")]
    LibtestJson,
    /// The output of go test -json
    GoJson,
    /// Detected from the content
    Auto,
}

/// The location of a report and its format: `FORMAT[:PATH]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReportSource {
    pub format: ReportFormat,
    pub path: Option<String>,
}

impl FromStr for ReportSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (format, path) = match text.split_once(':') {
            Some((format, path)) => (format, Some(path.to_owned())),
            None => (text, None),
        };
        if path.as_deref() == Some("") {
            return Err("the path after the ':' is empty".into());
        }
        let format = <ReportFormat as clap::ValueEnum>::from_str(format, false).map_err(|_| {
            format!(
                "unknown format '{format}': expected junit, tap, rspec-json, libtest, libtest-json, go-json or auto"
            )
        })?;
        Ok(Self { format, path })
    }
}

/// Reads a report. One that cannot be trusted is marked as broken and keeps its readable part.
pub(crate) fn parse(format: ReportFormat, bytes: &[u8]) -> Report {
    let mut report = Report::default();
    let read = decode(bytes).and_then(|text| read(format, &text, &mut report));
    report.broken = read.err();
    report.settle();
    report
}

fn read(format: ReportFormat, text: &str, report: &mut Report) -> Result<(), String> {
    match format {
        ReportFormat::Junit => junit::read(text, report),
        ReportFormat::Tap => tap::read(text, report),
        ReportFormat::RspecJson => rspec::read(text, report),
        ReportFormat::Libtest => libtest::read(text, report),
        ReportFormat::LibtestJson => libtest_json::read(text, report),
        ReportFormat::GoJson => go::read(text, report),
        ReportFormat::Auto => match guess(text) {
            Some(format) => read(format, text, report),
            None => Err("the format is not recognised".into()),
        },
    }
}

/// Maximum bytes of a report in another encoding than UTF-8: its text is a second copy, up to three
/// times as long.
const TRANSCODED: usize = 12 << 20;

/// The text of a report, decoded from the encoding in its byte order mark or XML declaration.
fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    let (encoding, mark) = match Encoding::for_bom(bytes) {
        Some((encoding, mark)) => (encoding, mark),
        None => (declared(bytes)?, 0),
    };
    let bytes = &bytes[mark..];
    if encoding == UTF_8
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return Ok(text.into());
    }
    if bytes.len() > TRANSCODED {
        return Err(format!(
            "it is not UTF-8 and larger than {TRANSCODED} bytes"
        ));
    }
    Ok(encoding.decode_without_bom_handling(bytes).0)
}

/// The encoding in the XML declaration; UTF-8 without one.
fn declared(bytes: &[u8]) -> Result<&'static Encoding, String> {
    if bytes.starts_with(b"<\0?\0") {
        return Ok(UTF_16LE);
    } else if bytes.starts_with(b"\0<\0?") {
        return Ok(UTF_16BE);
    }
    let head = bytes.trim_ascii_start();
    let end = head.windows(2).take(200).position(|pair| pair == b"?>");
    let declaration = match end {
        Some(end) if head.starts_with(b"<?xml") => String::from_utf8_lossy(&head[..end]),
        _ => return Ok(UTF_8),
    };
    let Some((_, value)) = declaration.split_once("encoding") else {
        return Ok(UTF_8);
    };
    let mut parts = value.split(['"', '\'']);
    let name = parts.nth(1).unwrap_or_default();
    match Encoding::for_label(name.as_bytes()) {
        // The declaration was read byte by byte, so the text does not use two bytes per character.
        Some(encoding) if [UTF_16LE, UTF_16BE].contains(&encoding) => Ok(UTF_8),
        Some(encoding) => Ok(encoding),
        None => Err(format!("unknown encoding '{name}'")),
    }
}

fn guess(text: &str) -> Option<ReportFormat> {
    if text.trim_start().starts_with('<') {
        return Some(ReportFormat::Junit);
    }
    text.lines().find_map(|line| {
        if rspec::is_start(line) {
            return Some(ReportFormat::RspecJson);
        }
        if line.starts_with('{') {
            if line.contains("\"Action\":") {
                return Some(ReportFormat::GoJson);
            } else if line.contains("\"type\":") && line.contains("\"event\":") {
                return Some(ReportFormat::LibtestJson);
            }
        }
        if libtest::is_start(line) {
            return Some(ReportFormat::Libtest);
        }
        tap::is_start(line).then_some(ReportFormat::Tap)
    })
}

/// Converts seconds, as reports write durations, to whole milliseconds.
fn milliseconds(seconds: f64) -> Option<u64> {
    (seconds.is_finite() && seconds >= 0.0).then(|| (seconds * 1000.0).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::status::TrialStatus;

    #[test]
    fn a_source_is_a_format_and_a_path() {
        let source: ReportSource = "junit:out/a:b.xml".parse().unwrap();
        assert_eq!(source.format, ReportFormat::Junit);
        assert_eq!(source.path.as_deref(), Some("out/a:b.xml"));
        assert_eq!("nextest".parse::<ReportSource>().unwrap().path, None);
        assert_eq!(
            "nextest".parse::<ReportSource>().unwrap().format,
            ReportFormat::LibtestJson
        );
        for bad in ["", "xml", "junit:"] {
            assert!(bad.parse::<ReportSource>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_format_is_detected_from_its_content() {
        for (text, format) in [
            (
                "\u{feff}\n<?xml version=\"1.0\"?><testsuites/>",
                ReportFormat::Junit,
            ),
            ("noise\nTAP version 14\n1..1\nok 1\n", ReportFormat::Tap),
            ("1..2\nok\nnot ok\n", ReportFormat::Tap),
            ("\nrunning 1 test\n", ReportFormat::Libtest),
            (
                "noise\n{\"version\":\"3\",\"examples\":[]}\n",
                ReportFormat::RspecJson,
            ),
            (
                "{\"Action\":\"start\",\"Package\":\"p\"}\n",
                ReportFormat::GoJson,
            ),
            (
                "{ \"type\": \"suite\", \"event\": \"started\", \"test_count\": 1 }\n",
                ReportFormat::LibtestJson,
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
    fn no_reader_accepts_empty_or_invalid_input() {
        for format in [
            ReportFormat::Junit,
            ReportFormat::Tap,
            ReportFormat::RspecJson,
            ReportFormat::Libtest,
            ReportFormat::LibtestJson,
            ReportFormat::GoJson,
            ReportFormat::Auto,
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
                let verdict = parse(format, bytes).verdict();
                assert!(
                    !matches!(verdict, Some(TrialStatus::Passed | TrialStatus::Pending)),
                    "{format:?} {bytes:?} {verdict:?}"
                );
            }
        }
    }

    #[test]
    fn a_report_is_read_in_its_declared_encoding() {
        let xml = |encoding: &str| {
            format!(
                "<?xml version='1.0' encoding='{encoding}'?><testsuite><testcase name='größer'/></testsuite>"
            )
        };
        let utf16 = |bytes: fn(u16) -> [u8; 2], mark: &str| -> Vec<u8> {
            let text = format!("{mark}{}", xml("UTF-16"));
            text.encode_utf16().flat_map(bytes).collect()
        };
        let single =
            |encoding: &str| -> Vec<u8> { xml(encoding).chars().map(|c| c as u32 as u8).collect() };
        for bytes in [
            xml("UTF-8").into_bytes(),
            xml("utf-16").into_bytes(),
            format!("\u{feff}{}", xml("utf-8")).into_bytes(),
            single("ISO-8859-1"),
            single("windows-1252"),
            single("latin1"),
            utf16(u16::to_le_bytes, "\u{feff}"),
            utf16(u16::to_be_bytes, "\u{feff}"),
            utf16(u16::to_le_bytes, ""),
        ] {
            for format in [ReportFormat::Junit, ReportFormat::Auto] {
                let report = parse(format, &bytes);
                assert_eq!(report.broken, None, "{bytes:?}");
                assert_eq!(report.examples[0].name, "größer");
            }
        }
        assert!(
            parse(ReportFormat::Junit, &single("x-unknown"))
                .broken
                .is_some()
        );
    }
}
