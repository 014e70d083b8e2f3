//! rrr-show: prints the record of a taskset, for people or for other programs.

use crate::archive::document::{Bytes, Document, Source, Task, Trial};
use crate::archive::{db, history};
use crate::cli::redis_args::RedisArgs;
use crate::inspect::lookup;
use crate::process::stderr::say;
use crate::process::text::{harmless, one_line};
use crate::process::{exit, stdout};
use crate::protocol::key::TrialKey;
use crate::protocol::taskset_ref::TasksetRef;
use crate::show::export::{self, Format};
use crate::show::view::summary::counted;
use crate::store::Store;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Shows the record of a taskset, or one part of it
#[derive(clap::Parser)]
#[command(name = "rrr-show", version)]
#[command(group = clap::ArgGroup::new("source").required(true))]
#[command(group = clap::ArgGroup::new("piece"))]
pub struct Options {
    /// The taskset to show, or its beginning; or last, last-failed
    #[arg(value_name = "KEY", group = "source")]
    taskset: Option<TasksetRef>,
    /// Output format [text]
    #[arg(long, value_name = "FORM", value_enum)]
    format: Option<Format>,
    /// Write to this file atomically
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Print the output of this spec file's last trial
    #[arg(long, value_name = "SPEC", group = "piece")]
    task: Option<String>,
    /// The trial of --task to print, 1 for the first [the last]
    #[arg(long, value_name = "N", requires = "task", value_parser = clap::value_parser!(u64).range(1..))]
    attempt: Option<u64>,
    /// Print the output of this trial
    #[arg(long, value_name = "KEY", groups = ["source", "piece"])]
    trial: Option<TrialKey>,
    /// Print the logs of the taskset, its workers and slaves
    #[arg(long, group = "piece")]
    log: bool,
    /// Keep terminal escapes as they are
    #[arg(long)]
    raw: bool,
    /// Read the document that rrr-persist wrote to FILE
    #[arg(long, value_name = "FILE", group = "source", hide_short_help = true)]
    document: Option<PathBuf>,
    #[command(flatten)]
    redis: RedisArgs,
    #[command(flatten)]
    db: db::DbArgs,
    /// Folder with the outputs that rrr-persist wrote
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    log_dir: Option<PathBuf>,
}

/// Runs the tool.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let mut store = None;
    let mut source = load(&options, &mut store)?;
    let shown = if options.log {
        logs(&mut source, options.raw)
    } else if let Some(trial) = find_trial(&options, &mut source)? {
        piece(&options, &trial)
    } else {
        record(&options, &mut source)
    };
    if stdout::is_closed() {
        return Ok(exit::PIPE_CLOSED);
    }
    shown.map(|()| exit::OK)
}

/// Writes the record to the given file, or to stdout.
fn record(options: &Options, source: &mut Source) -> anyhow::Result<()> {
    let format = options.format.unwrap_or(Format::Text);
    match &options.file {
        Some(path) => stdout::file_of(path, |file| export::write(format, source, file)),
        None => {
            let mut stdout = stdout::stream();
            export::write(format, source, &mut stdout)?;
            Ok(stdout.flush()?)
        }
    }
}

/// Loads the record; `store` keeps the connection through which it is read. Without Redis, the
/// record of a finished taskset is still in the database.
fn load<'a>(options: &Options, store: &'a mut Option<Store>) -> anyhow::Result<Source<'a>> {
    if let Some(path) = &options.document {
        return Ok(read(path)?.into());
    }
    let of_trial =
        (options.trial.as_ref()).map(|trial| TasksetRef::Named(trial.task().taskset().clone()));
    let wanted = options.taskset.clone().or(of_trial);
    let wanted = wanted.expect("clap asks for one");
    let class = lookup::class_of(Path::new("."));
    let (mut connection, unreachable) = match options.redis.connect() {
        Ok(store) => (Some(store), None),
        Err(error) => (None, Some(error)),
    };
    if let Some(store) = &mut connection {
        store.wait_briefly();
    }
    let found =
        lookup::find(connection.as_mut(), &options.db, class.as_deref(), &wanted).and_then(|key| {
            let in_redis = connection.map(|it| Source::open(store.insert(it), &key));
            let has_redis = in_redis.is_some();
            if let Some(source) = in_redis.transpose()?.flatten() {
                return Ok(source);
            }
            let found = history::find(&options.db, options.log_dir.as_deref(), &key)?;
            let (document, problem) = found
                .ok_or_else(|| lookup::missing(&options.db, &TasksetRef::Named(key), has_redis))?;
            if let Some(problem) = problem {
                say!("rrr-show: outputs and logs are missing: {problem}");
            }
            Ok(document.into())
        });
    // That Redis cannot be reached is the better message: the taskset may be there.
    found.map_err(|error| unreachable.unwrap_or(error))
}

fn read(path: &Path) -> anyhow::Result<Document> {
    let shown = path.display();
    let bytes = std::fs::read(path)
        .map_err(|error| exit::usage(format!("cannot read the document '{shown}': {error}")))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        exit::usage(format!("'{shown}' is not the record of a taskset: {error}")).into()
    })
}

/// Finds the requested trial by its key or its spec file, if one was requested.
fn find_trial(options: &Options, source: &mut Source) -> anyhow::Result<Option<Trial>> {
    let rest = &mut source.rest;
    if let Some(key) = &options.trial {
        let mut found = None;
        rest.tasks(|task| {
            let trial = task.trials.iter().find(|trial| trial.key == *key);
            found = found.take().or_else(|| trial.cloned());
            Ok(())
        })?;
        let missing = || exit::usage(format!("trial '{key}' does not exist"));
        return Ok(Some(found.ok_or_else(missing)?));
    }
    let Some(spec_file) = &options.task else {
        return Ok(None);
    };
    let (mut found, mut known) = (None, Vec::new());
    rest.tasks(|task| {
        if found.is_none() && task.spec_file() == spec_file {
            found = Some(match options.attempt {
                None => task.trials.last().cloned(),
                Some(number) => Some(attempt(task, number)?.clone()),
            });
            known = Vec::new();
        } else if found.is_none() {
            known.push(task.spec_file().to_owned());
        }
        Ok(())
    })?;
    let last = found.ok_or_else(|| {
        let refusal = exit::usage(format!("the taskset has no spec file '{spec_file}'"));
        match crate::cli::nearest::nearest(spec_file, known.iter().map(String::as_str)) {
            Some(nearest) => refusal.hint(format!("did you mean '{nearest}'?")),
            None => refusal,
        }
    })?;
    let untried = || {
        exit::usage(format!("'{spec_file}' has no trial yet")).hint("rrr-watch shows the progress")
    };
    Ok(Some(last.ok_or_else(untried)?))
}

/// The trial with this number, 1 for the first.
fn attempt(task: &Task, number: u64) -> Result<&Trial, exit::Failure> {
    let place = usize::try_from(number - 1).unwrap_or(usize::MAX);
    task.trials.get(place).ok_or_else(|| {
        let trials = counted(task.trials.len() as u64, "trial");
        exit::usage(format!(
            "'{}' has {trials}, not {number}",
            one_line(task.spec_file())
        ))
    })
}

/// Prints the output of a trial, each stream to its counterpart.
fn piece(options: &Options, trial: &Trial) -> anyhow::Result<()> {
    match options.format {
        None => {
            print(&trial.stdout, options.raw);
            let text = shown(&trial.stderr, options.raw);
            // A closed stderr is not a problem.
            let _ = std::io::stderr().write_all(&text);
            Ok(())
        }
        Some(Format::Json | Format::Jsonl) => json(trial),
        Some(_) => Err(
            exit::usage("a trial can only be shown as plain output or JSON")
                .hint("omit --format, or pass --format json")
                .into(),
        ),
    }
}

fn json(value: &impl Serialize) -> anyhow::Result<()> {
    stdout::json_line(value)
}

fn shown(bytes: &Bytes, raw: bool) -> Vec<u8> {
    if raw {
        bytes.0.clone()
    } else {
        harmless(&bytes.text()).into_bytes()
    }
}

fn print(bytes: &Bytes, raw: bool) {
    stdout::bytes(&shown(bytes, raw));
}

/// Prints every log that is not empty, under its key.
fn logs(source: &mut Source, raw: bool) -> anyhow::Result<()> {
    let show = |key: &str, log: &Bytes| {
        if !log.0.is_empty() {
            stdout::line(&format!("--- {}", one_line(key)));
            print(log, raw);
            if !log.0.ends_with(b"\n") {
                stdout::line("");
            }
        }
        Ok(())
    };
    show(source.head.key.as_str(), &source.head.log)?;
    source.rest.worker_logs(|log| show(&log.key, &log.log))?;
    source
        .rest
        .slaves(|slave| show(slave.key.as_str(), &slave.log))
}
