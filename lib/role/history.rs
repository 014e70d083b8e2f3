//! rrr-history: statistics on finished tasksets and spec files from the database.

use crate::archive::db::{self, Database};
use crate::archive::history::{self, Candidate, File, Files, Filter, PastRun, sparkline};
use crate::archive::log_dir::LogDir;
use crate::process::stderr::say;
use crate::process::table::{self, Row};
use crate::process::text::duration;
use crate::process::{exit, state_dir, stdout};
use crate::protocol::key::TasksetKey;
use crate::protocol::time;
use std::collections::VecDeque;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Shows the history of finished tasksets and spec files: JSON lines, or a table on a terminal
#[derive(clap::Parser)]
#[command(name = "rrr-history", version, args_conflicts_with_subcommands = true)]
pub struct Options {
    #[command(subcommand)]
    question: Option<Question>,
    #[command(flatten)]
    ask: Ask,
}

#[derive(clap::Subcommand)]
enum Question {
    /// Finished tasksets, newest first
    Tasksets(Ask),
    /// Spec files by mean run time, slowest first
    Slowest(Ask),
    /// Spec files that passed only after a retry, most often first
    Flaky(Ask),
    /// Failed tasks, newest first
    Failures(Ask),
    /// The runs of one spec file, newest first
    File {
        /// Name of the file, as submitted
        path: String,
        #[command(flatten)]
        ask: Ask,
    },
    /// Remove old tasksets and their outputs
    Prune(Prune),
}

#[derive(clap::Args)]
struct Ask {
    #[command(flatten)]
    db: db::DbArgs,
    /// Only tasksets of this class
    #[arg(long = "class", value_name = "CLASS")]
    class: Option<String>,
    /// How far to look back: 90m, 12h, 30d, 8w
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = time::span)]
    since: i64,
    /// Maximum number of lines
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Output format [text on a terminal, else jsonl]
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<HistoryFormat>,
}

#[derive(clap::Args)]
struct Prune {
    #[command(flatten)]
    db: db::DbArgs,
    /// Remove tasksets that finished longer ago than this: 12h, 30d, 8w
    #[arg(long, value_name = "TIME", value_parser = time::span)]
    keep: i64,
    /// Only list the tasksets that would be removed
    #[arg(long)]
    dry_run: bool,
    /// Folder with outputs and logs [default: ~/.local/state/rrr/log]
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum HistoryFormat {
    Jsonl,
    Text,
}

impl Ask {
    fn filter(&self, spec_file: Option<&str>) -> Filter {
        Filter {
            class: self.class.clone(),
            since_ms: time::unix_ms() - self.since,
            spec_file: spec_file.map(str::to_owned),
        }
    }

    fn print(&self, columns: &[&str], rows: impl IntoIterator<Item = Row>) {
        let rows: Vec<Row> = rows.into_iter().take(self.limit).collect();
        match self.is_table() {
            false => table::json(&rows),
            true => table::table(columns, &rows),
        }
    }

    fn is_table(&self) -> bool {
        self.format.map_or_else(
            || std::io::stdout().is_terminal(),
            |format| format == HistoryFormat::Text,
        )
    }

    /// The newest runs that `wanted` accepts, up to the limit, newest first.
    fn newest(
        &self,
        db: &mut Database,
        spec_file: Option<&str>,
        wanted: fn(&PastRun) -> bool,
    ) -> anyhow::Result<VecDeque<PastRun>> {
        let mut newest = VecDeque::new();
        history::runs(db, &self.filter(spec_file), |run| {
            if wanted(&run) {
                newest.push_front(run);
                newest.truncate(self.limit);
            }
        })?;
        Ok(newest)
    }
}

/// Runs the tool.
pub fn run(options: Options) -> anyhow::Result<u8> {
    let Some(question) = &options.question else {
        return with(&options.ask.db, |db| tasksets(db, &options.ask))
            .map(|()| stdout::exit_code(exit::OK));
    };
    match question {
        Question::Tasksets(ask) => with(&ask.db, |db| tasksets(db, ask)),
        Question::Slowest(ask) => with(&ask.db, |db| slowest(db, ask)),
        Question::Flaky(ask) => with(&ask.db, |db| flaky(db, ask)),
        Question::Failures(ask) => with(&ask.db, |db| failures(db, ask)),
        Question::File { path, ask } => with(&ask.db, |db| file(db, ask, path)),
        Question::Prune(options) => with(&options.db, |db| prune(db, options)),
    }?;
    Ok(stdout::exit_code(exit::OK))
}

/// Calls `work` with the database, unless nothing was ever persisted.
fn with(
    options: &db::DbArgs,
    work: impl FnOnce(&mut Database) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let url = options.url()?;
    match url.open_existing()? {
        Some(mut db) => work(&mut db),
        None => {
            say!("rrr-history: '{}' contains no tasksets yet", url.shown());
            Ok(())
        }
    }
}

fn tasksets(db: &mut Database, ask: &Ask) -> anyhow::Result<()> {
    let limit = i64::try_from(ask.limit).unwrap_or(i64::MAX);
    let found = history::tasksets(db, &ask.filter(None), limit)?;
    let rows = found.into_iter().map(|object| {
        let members = object.as_object().cloned().unwrap_or_default();
        let row = Row::new();
        let key = members
            .get("taskset")
            .and_then(|key| key.as_str())
            .unwrap_or_default();
        let short = key.parse::<TasksetKey>().map(|key| key.short().to_owned());
        let took = members.get("elapsed_ms").and_then(|ms| ms.as_i64());
        let row = row
            .only_in_table("taskset", short.unwrap_or_else(|_| key.to_owned()))
            .only_in_table("took", took.map_or_else(String::new, spoken));
        members
            .into_iter()
            .fold(row, |row, (name, value)| row.with(&name, value))
    });
    let columns = [
        "finished_at",
        "status",
        "took",
        "tasks",
        "succeeded",
        "failed",
        "flaky",
        "taskset",
        "class",
    ];
    ask.print(&columns, rows);
    Ok(())
}

fn files(db: &mut Database, ask: &Ask) -> anyhow::Result<Files> {
    let mut files = Files::default();
    history::runs(db, &ask.filter(None), |run| files.add(&run))?;
    Ok(files)
}

fn spoken(ms: i64) -> String {
    duration(u64::try_from(ms).unwrap_or(0))
}

fn slowest(db: &mut Database, ask: &Ask) -> anyhow::Result<()> {
    let row = |file: File| {
        let mean = file.mean_ms().unwrap_or(0);
        let last = file.recent_ms.last().copied().unwrap_or(0);
        Row::new()
            .with("spec_file", file.spec_file.as_str())
            .with("runs", file.runs)
            .with("mean_ms", mean)
            .with("max_ms", file.longest_ms)
            .with("last_ms", last)
            .with("recent_ms", file.recent_ms.clone())
            .only_in_table("mean", spoken(mean))
            .only_in_table("longest", spoken(file.longest_ms))
            .only_in_table("last", spoken(last))
            .only_in_table("recent", sparkline(&file.recent_ms))
    };
    let columns = ["mean", "last", "longest", "runs", "recent", "spec_file"];
    ask.print(&columns, files(db, ask)?.slowest().into_iter().map(row));
    Ok(())
}

fn flaky(db: &mut Database, ask: &Ask) -> anyhow::Result<()> {
    let row = |file: File| {
        let bars: Vec<i64> = file.recent_flaky.iter().map(|f| i64::from(*f)).collect();
        let hosts: Vec<&str> = file.hosts.iter().map(String::as_str).collect();
        Row::new()
            .with("spec_file", file.spec_file.as_str())
            .with("rate", (file.flaky_rate() * 10_000.0).round() / 10_000.0)
            .with("flaky", file.flaky)
            .with("runs", file.runs)
            .with("failed", file.failed)
            .with("first_seen", file.first_flaky_ms.map(time::rfc3339))
            .with("last_seen", file.last_flaky_ms.map(time::rfc3339))
            .with("hosts", hosts)
            .only_in_table("rate", format!("{:.1}%", file.flaky_rate() * 100.0))
            .only_in_table("recent", sparkline(&bars))
    };
    let columns = [
        "rate",
        "flaky",
        "runs",
        "recent",
        "last_seen",
        "hosts",
        "spec_file",
    ];
    ask.print(&columns, files(db, ask)?.flaky().into_iter().map(row));
    Ok(())
}

/// The fields that every row about one run has.
fn run_row(run: &PastRun) -> Row {
    let statuses: Vec<&str> = run.tries.iter().map(|t| t.status.as_str()).collect();
    let hosts: Vec<&str> = run.tries.iter().map(|t| t.host.as_str()).collect();
    let took = run.duration_ms();
    Row::new()
        .with("time", time::rfc3339(run.finished_ms))
        .with("taskset", run.taskset.as_str())
        .with("spec_file", run.spec_file.as_str())
        .with("status", run.status.as_deref())
        .with("flaky", run.is_flaky())
        .with("duration_ms", took)
        .with("trials", statuses)
        .with("hosts", hosts)
        .only_in_table("took", took.map_or_else(String::new, spoken))
}

fn failures(db: &mut Database, ask: &Ask) -> anyhow::Result<()> {
    let failed = |run: &PastRun| run.status.as_deref() == Some("failed");
    let mut rows = Vec::new();
    for run in ask.newest(db, None, failed)? {
        let examples = history::failed_examples(db, run.taskset_id, run.position)?;
        rows.push(run_row(&run).with("examples", examples));
    }
    ask.print(&["time", "trials", "hosts", "spec_file"], rows);
    Ok(())
}

fn file(db: &mut Database, ask: &Ask, path: &str) -> anyhow::Result<()> {
    let runs = ask.newest(db, Some(path), |_| true)?;
    let rows = runs.iter().map(run_row);
    ask.print(
        &["time", "status", "took", "trials", "hosts", "taskset"],
        rows,
    );
    if ask.is_table() {
        let times = runs.iter().rev().filter_map(PastRun::duration_ms);
        stdout::line(&sparkline(&times.collect::<Vec<_>>()));
    }
    Ok(())
}

fn prune(db: &mut Database, options: &Prune) -> anyhow::Result<()> {
    let path = (options.log_dir.clone()).unwrap_or_else(|| state_dir::folder().join("log"));
    let folder = LogDir::at(path.clone());
    if !options.dry_run && !path.is_dir() {
        return Err(exit::usage(format!("'{}' is not a folder", path.display()))
            .hint("pass the --log-dir of rrr-persist, so that outputs are removed with their rows")
            .into());
    }
    let before = time::unix_ms() - options.keep;
    let tell = |old: &Candidate| {
        Row::new()
            .with("taskset", old.taskset.as_str())
            .with("time", time::rfc3339(old.finished_ms))
            .with("size", old.size)
            .with("removed", !options.dry_run)
    };
    for old in history::candidates(db, before)? {
        if !options.dry_run {
            history::remove(db, &folder, &old)?;
        }
        table::json(&[tell(&old)]);
    }
    if !options.dry_run {
        // Files of a persister that gave up are at least a day old.
        history::sweep(db, &folder, time::unix_ms() - 86_400_000)?;
    }
    Ok(())
}
