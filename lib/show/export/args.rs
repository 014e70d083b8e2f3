//! The flag that exports a record at the end of a run.

use super::{Format, write};
use crate::archive::document::Source;
use crate::process::exit::{Failure, usage};
use crate::process::stdout;
use clap::ValueEnum;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A file to export a record to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Export {
    format: Format,
    path: PathBuf,
}

impl FromStr for Export {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let formats = || {
            let names = Format::value_variants().iter();
            let names = names.filter_map(|it| Some(it.to_possible_value()?.get_name().to_owned()));
            names.collect::<Vec<_>>().join(", ")
        };
        let (format, path) = (text.split_once('='))
            .filter(|(_, path)| !path.is_empty())
            .ok_or("use FORMAT=FILE, for example junit=junit.xml")?;
        let format = Format::from_str(format, false)
            .map_err(|_| format!("unknown format '{format}'; use one of {}", formats()))?;
        Ok(Self {
            format,
            path: path.into(),
        })
    }
}

impl Export {
    /// Refuses a file whose folder does not exist, before anything is run for it.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let folder = self.path.parent().filter(|it| !it.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        if folder.is_dir() && !self.path.is_dir() {
            return Ok(());
        }
        Err(usage(format!("cannot write '{}'", self.path.display()))
            .hint("--export FORMAT=FILE takes a file in an existing folder"))
    }

    /// Writes the record to the file atomically.
    pub(crate) fn write(&self, source: &mut Source) -> anyhow::Result<()> {
        stdout::file_of(&self.path, |file| write(self.format, source, file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_and_a_file_are_required() {
        let export: Export = "otlp-json=a=b.json".parse().unwrap();
        assert_eq!(
            (export.format, export.path),
            (Format::OtlpJson, "a=b.json".into())
        );
        for wrong in ["junit", "junit=", "xml=a"] {
            assert!(wrong.parse::<Export>().is_err(), "{wrong}");
        }
    }
}
