//! The record of a taskset in the forms that people and other programs read.
//!
//! [`run`] says what the record means (verdicts, flaky files, the trial that decided); each other
//! module writes one form of it.

mod github;
mod json;
mod junit;
mod lines;
mod markdown;
mod otlp;
pub(crate) mod run;
mod spool;
mod tap;
mod text;
mod timeline;
mod trace;
mod xml;

use crate::archive::document::Source;
use std::io::Write;

/// A form of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
    Jsonl,
    Junit,
    Tap,
    Markdown,
    Github,
    OtlpJson,
    Trace,
}

/// Writes the record in this form, while it is read: only what a timeline is made of is in memory as
/// a whole, for those forms that are one.
pub(crate) fn write(
    format: Format,
    source: &mut Source,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let (head, rest) = (&source.head, &mut source.rest);
    match format {
        Format::Text => text::write(head, rest, out),
        Format::Json => json::write(head, rest, out),
        Format::Jsonl => lines::write(head, rest, out),
        Format::Junit => junit::write(head, rest, out),
        Format::Tap => tap::write(head, rest, out),
        Format::Markdown => markdown::write(head, rest, out),
        Format::Github => github::write(head, rest, out),
        Format::OtlpJson => otlp::write(&source.outline()?, out),
        Format::Trace => trace::write(&source.outline()?, out),
    }
}
