//! The list of tasks of a suite: named, read from a list, or listed by a test tool.

use crate::process::stderr::say;
use crate::process::{exit, stdout};
use crate::suite::args::{Suite, Task};
use crate::suite::names;
use crate::tool::{self, Per, Question, Source};
use serde::Deserialize;
use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonTask {
    spec_file: String,
    estimate_sec: Option<u64>,
}

/// Prints the tasks as JSON lines, in the form that --files-from accepts.
pub(crate) fn print(tasks: &[Task]) -> anyhow::Result<u8> {
    for (file, estimate) in tasks {
        let mut line = serde_json::json!({ "spec_file": file });
        if let Some(sec) = estimate {
            line["estimate_sec"] = (*sec).into();
        }
        stdout::json_line(&line)?;
    }
    Ok(stdout::exit_code(exit::OK))
}

impl Suite {
    /// Reads and checks the task list of the suite in `folder`. If `here`, files named as arguments
    /// must exist there.
    pub(crate) fn tasks(&self, folder: &Path, here: bool) -> anyhow::Result<Vec<Task>> {
        let (roots, files) = self.named(folder, here)?;
        let is_named = !files.is_empty() && roots.is_empty();
        let mut tasks: Vec<Task> = files.into_iter().map(|file| (file, None)).collect();
        match (self.from, &self.files_from) {
            (Some(source), list) if !source.has_files() || (list.is_none() && !is_named) => {
                let said = list.as_deref().map(read).transpose()?;
                tasks.extend(self.ask(source, folder, &roots, said)?);
            }
            (_, Some(list)) => tasks.extend(self.read_list(list, folder, here)?),
            (_, None) => {}
        }
        let mut seen = HashSet::new();
        for (file, _) in &tasks {
            names::check(file)?;
        }
        tasks.retain(|(file, _)| seen.insert(file.clone()));
        match tasks.is_empty() {
            true => Err(self.nothing().into()),
            false => Ok(tasks),
        }
    }

    /// The folders whose files a test tool will list, and the files, that are named as arguments.
    fn named(&self, folder: &Path, here: bool) -> anyhow::Result<(Vec<String>, Vec<String>)> {
        let here = here && !self.has_named_tests();
        let lists_files = self.from.is_some_and(Source::has_files);
        let (mut roots, mut files) = (Vec::new(), Vec::new());
        for name in self.expanded(folder)? {
            let name = names::normal(folder, &name);
            if lists_files && folder.join(&name).is_dir() {
                roots.push(name);
                continue;
            }
            if here {
                names::check_file(folder, &name)?;
            }
            files.push(name);
        }
        Ok((roots, files))
    }

    /// The arguments, with patterns replaced by the files that match, relative to the folder.
    fn expanded(&self, folder: &Path) -> Result<Vec<String>, exit::Failure> {
        let mut all = Vec::new();
        for name in &self.files {
            let name = names::from_here(folder, name);
            match names::is_pattern(folder, &name) {
                true => all.extend(names::matching(folder, &name)?),
                false => all.push(name),
            }
        }
        Ok(all)
    }

    /// Whether the slave command has an adapter whose tasks are not files.
    fn has_named_tests(&self) -> bool {
        let words = shlex::split(self.slave.as_deref().unwrap_or_default()).unwrap_or_default();
        let named = [Source::CargoTest, Source::Nextest].map(Source::name);
        tool::adapter(&words).is_some_and(|name| named.contains(&name))
    }

    /// Has the test tool list its tasks, or reads its list.
    fn ask(
        &self,
        source: Source,
        folder: &Path,
        roots: &[String],
        said: Option<Vec<u8>>,
    ) -> anyhow::Result<Vec<Task>> {
        self.check_from(source)?;
        let question = Question {
            source,
            per: self.per,
            words: &self.command,
            roots,
            folder,
            said,
        };
        let (listed, notes) = question.tasks()?;
        notes.iter().for_each(|note| say!("rrr: {note}"));
        Ok(listed.into_iter().map(|task| (task, None)).collect())
    }

    /// Refuses flags that do not go with the source.
    fn check_from(&self, source: Source) -> Result<(), exit::Failure> {
        let name = source.name();
        if !source.has_files() && !self.files.is_empty() {
            return Err(
                exit::usage(format!("files cannot be combined with --from {name}")).hint(
                    "omit the files; options after -- choose tests, for example: -- --test NAME",
                ),
            );
        }
        if source.has_files() && self.per == Per::Test {
            return Err(
                exit::usage(format!("--per test cannot be combined with --from {name}"))
                    .hint("each file is a task; --split-above splits slow ones"),
            );
        }
        Ok(())
    }

    /// The error for an empty list of tasks.
    fn nothing(&self) -> exit::Failure {
        let message = match self.from {
            Some(source) if source.has_files() => {
                format!("nothing to run: {} found no test files", source.name())
            }
            Some(source) => format!("nothing to run: {} lists no tests", source.name()),
            None => "nothing to run: no spec files given".to_owned(),
        };
        exit::failure(exit::NOTHING, message)
            .hint("name spec files, or pass --files-from FILE or --from SOURCE")
    }

    /// Reads the list `from`. It may name tasks that are not files; but if one of them is a file in
    /// the folder and `here`, all must be.
    fn read_list(&self, from: &Path, folder: &Path, here: bool) -> anyhow::Result<Vec<Task>> {
        let place = format!("'{}'", from.display());
        let mut tasks = parse_list(&read(from)?, self.null, &place)?;
        for (file, _) in &mut tasks {
            *file = names::normal(folder, file);
        }
        let is_file = |(file, _): &Task| folder.join(file).is_file();
        if here && tasks.iter().any(is_file) {
            for (file, _) in &tasks {
                names::check_file(folder, file)?;
            }
        }
        Ok(tasks)
    }
}

/// Parses a list of names or JSON tasks, which end with a line feed, or with NUL if `null`.
///
/// Errors: an entry is invalid; the message names its number and `place`, the list.
pub(crate) fn parse_list(bytes: &[u8], null: bool, place: &str) -> anyhow::Result<Vec<Task>> {
    let mut tasks = Vec::new();
    let end = if null { 0 } else { b'\n' };
    // Editors on other systems write a byte order mark.
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    for (number, line) in bytes.split(|byte| *byte == end).enumerate() {
        let place = || format!("{place}, entry {}", number + 1);
        let line = std::str::from_utf8(line)
            .map_err(|_| exit::usage(format!("{}: not valid UTF-8", place())))?;
        let line = if null {
            line
        } else {
            line.trim_end_matches('\r')
        };
        if line.trim().is_empty() {
            continue;
        }
        if line.starts_with('{') && !null {
            let task: JsonTask = serde_json::from_str(line).map_err(|error| {
                exit::usage(format!("{}: invalid JSON task: {error}", place()))
                    .hint("for example: {\"spec_file\": \"a.sh\", \"estimate_sec\": 3}")
            })?;
            tasks.push((task.spec_file, task.estimate_sec));
        } else {
            tasks.push((line.to_owned(), None));
        }
    }
    Ok(tasks)
}

/// The contents of a file, or of stdin if it is named `-`.
fn read(from: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = if from.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut bytes).map(|_| ())
    } else {
        std::fs::read(from).map(|content| bytes = content)
    };
    read.map_err(|error| {
        exit::usage(format!(
            "cannot read the list '{}': {error}",
            from.display()
        ))
        .hint("--files-from takes a file with one spec file per line; - is stdin")
    })?;
    Ok(bytes)
}
