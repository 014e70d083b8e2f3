//! The record of a taskset in the forms that people and other programs read.
//!
//! [`run`] says what the record means (verdicts, flaky files, the trial that decided); each other
//! module writes one form of it.

mod github;
mod junit;
mod lines;
mod markdown;
mod otlp;
pub mod run;
mod tap;
mod text;
mod timeline;
mod trace;

use crate::record::Document;
use run::Run;
use std::io::Write;

/// A form of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
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

/// Writes the record in this form.
pub fn write(format: Format, document: &Document, out: &mut dyn Write) -> anyhow::Result<()> {
    let run = Run::of(document);
    match format {
        Format::Text => out.write_all(text::text(&run).as_bytes())?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, document).map_err(std::io::Error::from)?;
            out.write_all(b"\n")?;
        }
        Format::Jsonl => lines::write(&run, out)?,
        Format::Junit => junit::report(&run).serialize(out)?,
        Format::Tap => out.write_all(tap::tap(&run).as_bytes())?,
        Format::Markdown => out.write_all(markdown::markdown(&run, usize::MAX).as_bytes())?,
        Format::Github => github::write(&run, out)?,
        Format::OtlpJson => otlp::write(document, out)?,
        Format::Trace => trace::write(document, out)?,
    }
    Ok(())
}
