//! Exports the record of a taskset in formats for people and other programs.
//!
//! [`run`] interprets the record (verdicts, flaky files, the deciding trial); each other module
//! writes one format.

pub(crate) mod args;
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

/// An export format.
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

/// Writes the record in this format while it is read. Only the timeline formats keep the whole
/// timeline in memory.
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
