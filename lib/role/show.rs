//! rrr-show: the record of a taskset, in a form for people or for another program.

use crate::format::{self, Format};
use crate::key::{TasksetKey, TrialKey};
use crate::plain::{harmless, one_line};
use crate::record::{self, Bytes, Document, Task, Trial};
use crate::say::say;
use crate::{cli, db, exit, history, out};
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Shows the record of a taskset, or one thing of it
#[derive(clap::Parser)]
#[command(name = "rrr-show", version)]
#[command(group = clap::ArgGroup::new("source").required(true))]
#[command(group = clap::ArgGroup::new("piece"))]
pub struct Options {
    /// The taskset to show
    #[arg(value_name = "KEY", group = "source")]
    taskset: Option<TasksetKey>,
    /// In this form [text]
    #[arg(long, value_name = "FORM", value_enum)]
    format: Option<Format>,
    /// Write to this file, whole or not at all
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Print what this spec file's last trial printed
    #[arg(long, value_name = "SPEC", group = "piece")]
    task: Option<String>,
    /// Print what this trial printed
    #[arg(long, value_name = "KEY", groups = ["source", "piece"])]
    trial: Option<TrialKey>,
    /// Print the logs of the taskset, its workers and slaves
    #[arg(long, group = "piece")]
    log: bool,
    /// Leave terminal escapes as they are
    #[arg(long)]
    raw: bool,
    /// Read the document that rrr-persist wrote to FILE
    #[arg(long, value_name = "FILE", group = "source", hide_short_help = true)]
    document: Option<PathBuf>,
    #[command(flatten)]
    redis: cli::Redis,
    #[command(flatten)]
    db: db::Place,
    /// Folder of the outputs that rrr-persist wrote
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    log_dir: Option<PathBuf>,
}

/// Runs the tool.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let document = load(&options)?;
    if options.log {
        logs(&document, options.raw);
    } else if let Some(trial) = find_trial(&options, &document)? {
        piece(&options, trial)?;
    } else {
        let mut text = Vec::new();
        format::write(options.format.unwrap_or(Format::Text), &document, &mut text)?;
        match &options.file {
            Some(path) => out::file(path, &text)?,
            None => out::bytes(&text),
        }
    }
    Ok(if out::is_closed() {
        exit::PIPE_CLOSED
    } else {
        exit::OK
    })
}

fn load(options: &Options) -> anyhow::Result<Document> {
    if let Some(path) = &options.document {
        return read(path);
    }
    let of_trial = options.trial.as_ref().map(|trial| trial.task().taskset());
    let taskset = options
        .taskset
        .clone()
        .or(of_trial)
        .expect("clap asks for one");
    let mut store = options.redis.connect()?;
    store.wait_briefly();
    if let Some(document) = record::gather(&mut store, &taskset)? {
        return Ok(document);
    }
    persisted(options, &taskset)?.ok_or_else(|| {
        let url = options
            .db
            .url()
            .map_or_else(|_| String::new(), |url| url.shown());
        cli::usage(format!("there is no taskset '{taskset}' in Redis"))
            .hint(format!(
                "nor is it in the database '{url}'; pass --db URL for another"
            ))
            .into()
    })
}

/// The record in the database, once its keys have gone from Redis.
fn persisted(options: &Options, taskset: &TasksetKey) -> anyhow::Result<Option<Document>> {
    let found = history::find(&options.db, options.log_dir.as_deref(), taskset)?;
    Ok(found.map(|(document, problem)| {
        if let Some(problem) = problem {
            say!("rrr-show: outputs and logs are left out: {problem}");
        }
        document
    }))
}

fn read(path: &Path) -> anyhow::Result<Document> {
    let shown = path.display();
    let bytes = std::fs::read(path)
        .map_err(|error| cli::usage(format!("cannot read the document '{shown}': {error}")))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| cli::usage(format!("'{shown}' is no record of a taskset: {error}")).into())
}

/// The trial that is asked for by its key or by its spec file, if any is.
fn find_trial<'a>(options: &Options, document: &'a Document) -> anyhow::Result<Option<&'a Trial>> {
    let mut tasks = document.tasks.iter();
    if let Some(key) = &options.trial {
        let found = tasks
            .flat_map(|task| &task.trials)
            .find(|trial| trial.key == *key);
        let missing = || cli::usage(format!("there is no trial '{key}'"));
        return Ok(Some(found.ok_or_else(missing)?));
    }
    let Some(spec_file) = &options.task else {
        return Ok(None);
    };
    let task = tasks
        .find(|task| task.spec_file() == spec_file)
        .ok_or_else(|| {
            let refusal = cli::usage(format!("the taskset has no spec file '{spec_file}'"));
            match nearest(spec_file, &document.tasks) {
                Some(nearest) => refusal.hint(format!("the nearest is '{nearest}'")),
                None => refusal,
            }
        })?;
    let trial = task.trials.last().ok_or_else(|| {
        cli::usage(format!("'{spec_file}' has not been tried yet"))
            .hint("rrr-watch shows what goes on")
    })?;
    Ok(Some(trial))
}

fn nearest<'a>(name: &str, tasks: &'a [Task]) -> Option<&'a str> {
    crate::name::nearest(name, tasks.iter().map(Task::spec_file))
}

/// Prints what a trial printed, each stream to the one of its name.
fn piece(options: &Options, trial: &Trial) -> anyhow::Result<()> {
    match options.format {
        None => {
            print(&trial.stdout, options.raw);
            let text = shown(&trial.stderr, options.raw);
            // A closed stderr is nobody's loss.
            let _ = std::io::stderr().write_all(&text);
            Ok(())
        }
        Some(Format::Json | Format::Jsonl) => json(trial),
        Some(_) => Err(cli::usage("one trial is shown as it is, or as JSON")
            .hint("leave --format out, or pass --format json")
            .into()),
    }
}

fn json(value: &impl Serialize) -> anyhow::Result<()> {
    out::json_line(value)
}

fn shown(bytes: &Bytes, raw: bool) -> Vec<u8> {
    if raw {
        bytes.0.clone()
    } else {
        harmless(&bytes.text()).into_bytes()
    }
}

fn print(bytes: &Bytes, raw: bool) {
    out::bytes(&shown(bytes, raw));
}

/// Prints every log that has something in it, under its key.
fn logs(document: &Document, raw: bool) {
    let taskset = [(document.key.to_string(), &document.log)];
    let workers = document
        .worker_logs
        .iter()
        .map(|log| (log.key.clone(), &log.log));
    let slaves = document
        .slaves
        .iter()
        .map(|slave| (slave.key.to_string(), &slave.log));
    for (key, log) in taskset.into_iter().chain(workers).chain(slaves) {
        if !log.0.is_empty() {
            out::line(&format!("--- {}", one_line(&key)));
            print(log, raw);
            if !log.0.ends_with(b"\n") {
                out::line("");
            }
        }
    }
}
