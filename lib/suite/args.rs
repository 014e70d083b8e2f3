//! The flags for the tests to run, shared by rrr-submit and rrr-local, and the list of tasks.

use crate::entity::estimates;
use crate::process::exit;
use crate::process::stderr::say;
use crate::protocol::limits::{DEFAULT_MAX_TRIALS, DEFAULT_MAX_WORKERS};
use crate::protocol::policy::Policy;
use crate::protocol::request::Request;
use crate::protocol::task;
use crate::protocol::taskset_field as field;
use crate::store::Store;
use crate::suite::names;
use crate::suite::policy_args::PolicyArgs;
use crate::tool::{Per, Question, Source, outline, split};
use serde::Deserialize;
use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The flags for the tests to run, shared by rrr-submit and rrr-local.
#[derive(Clone, clap::Args)]
pub(crate) struct Suite {
    /// Spec files, relative to the packaging folder
    #[arg(value_name = "FILE")]
    pub files: Vec<String>,
    /// Command, {} is the file; or SOURCE options
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<String>,
    /// Names or JSON tasks, one per line; - is stdin
    #[arg(long, value_name = "F")]
    pub files_from: Option<PathBuf>,
    /// Names in --files-from end with NUL
    #[arg(short = '0', long, hide_short_help = true)]
    pub null: bool,
    /// List the tests with cargo
    #[arg(long, value_name = "SOURCE", value_enum, conflicts_with_all = ["files", "null"])]
    pub from: Option<Source>,
    /// Unit of a task
    #[arg(long, value_enum, default_value_t = Per::Binary, requires = "from", hide_short_help = true)]
    pub per: Per,
    /// Split spec files with longer estimates
    #[arg(long, value_name = "SEC|%", hide_short_help = true)]
    pub split_above: Option<split::Above>,
    /// Script each worker runs before its slaves
    #[arg(
        long,
        value_name = "CMD",
        default_value = "",
        hide_default_value = true
    )]
    pub setup: String,
    /// Shell command that starts a slave
    #[arg(long, value_name = "CMD", conflicts_with = "command")]
    pub slave: Option<String>,
    /// Maximum trials per task
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_TRIALS, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_trials: u32,
    /// Type of workers to run on
    #[arg(
        long,
        value_name = "T",
        default_value = field::DEFAULT,
        hide_short_help = true
    )]
    pub worker_type: String,
    /// Maximum number of workers
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_WORKERS, hide_short_help = true, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_workers: u32,
    /// Class of run times to use and update
    #[arg(
        long,
        value_name = "C",
        default_value = field::DEFAULT,
        hide_short_help = true
    )]
    pub taskset_class: String,
    /// Timeout for files without an estimate
    #[arg(long, value_name = "SEC", default_value_t = task::DEFAULT_UNKNOWN_SEC, hide_short_help = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub unknown_spec_timeout: u64,
    /// Minimum timeout per spec file
    #[arg(long, value_name = "SEC", default_value_t = task::DEFAULT_LEAST_SEC, hide_short_help = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub least_timeout: u64,
    #[command(flatten)]
    policy: PolicyArgs,
    /// Print each setting and its source, then exit
    #[arg(long, hide_short_help = true)]
    pub print_config: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonTask {
    spec_file: String,
    estimate_sec: Option<u64>,
}

pub(crate) use split::Task;

impl Suite {
    /// The command that starts a slave.
    pub(crate) fn slave_command(&self) -> anyhow::Result<String> {
        let words = shlex::try_join(self.command.iter().map(String::as_str))
            .map_err(|_| exit::usage("the command contains a NUL byte"))?;
        match (&self.slave, self.from) {
            (Some(slave), _) => Ok(slave.clone()),
            (None, Some(source)) => {
                let slave = format!("rrr-slave --adapter {}", source.name());
                let options = if words.is_empty() { "" } else { " -- " };
                Ok(slave + options + &words)
            }
            (None, None) if !words.is_empty() => Ok(format!("rrr-slave -- {words}")),
            (None, None) => Err(exit::usage("no command given")
                .hint("end with '-- CMD', for example: -- sh {}")
                .into()),
        }
    }

    /// Reads and checks the task list of the suite in `folder`. If `here`, files named as arguments
    /// must exist there.
    pub(crate) fn tasks(&self, folder: &Path, here: bool) -> anyhow::Result<Vec<Task>> {
        let mut tasks: Vec<Task> = Vec::new();
        for file in &self.files {
            let file = names::normal(folder, file);
            if here {
                names::check_file(folder, &file)?;
            }
            tasks.push((file, None));
        }
        match (self.from, &self.files_from) {
            (Some(source), list) => {
                let question = Question {
                    source,
                    per: self.per,
                    words: &self.command,
                    folder,
                    said: list.as_deref().map(read).transpose()?,
                };
                let (listed, notes) = question.tasks()?;
                notes.iter().for_each(|note| say!("rrr: {note}"));
                tasks.extend(listed.into_iter().map(|task| (task, None)));
            }
            (None, Some(list)) => tasks.extend(self.read_list(list, folder, here)?),
            (None, None) => {}
        }
        let mut seen = HashSet::new();
        for (file, _) in &tasks {
            names::check(file)?;
        }
        tasks.retain(|(file, _)| seen.insert(file.clone()));
        if tasks.is_empty() {
            return Err(exit::failure(
                exit::NOTHING,
                match self.from {
                    Some(source) => {
                        format!("nothing to run: {} lists no tests", source.name())
                    }
                    None => "nothing to run: no spec files given".to_owned(),
                },
            )
            .hint("name spec files, or pass --files-from FILE or --from SOURCE")
            .into());
        }
        Ok(tasks)
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

    /// Splits the slow `tasks`, if requested; warns about those that cannot be split, as `tool`.
    pub(crate) fn split(
        &self,
        store: &mut Store,
        request: &Request,
        mut tasks: Vec<Task>,
        folder: &Path,
        tool: &str,
    ) -> anyhow::Result<Vec<Task>> {
        let Some(above) = self.split_above else {
            return Ok(tasks);
        };
        let known = estimates::estimates(store, &request.taskset_class)?;
        for (file, estimate) in &mut tasks {
            *estimate = estimate.or_else(|| known.get(file.as_str()).copied());
        }
        let list = |file: &str| outline::of(folder, &request.slave_command, file);
        let (tasks, notes) = split::split(tasks, above, &known, list);
        notes.iter().for_each(|note| say!("{tool}: {note}"));
        Ok(tasks)
    }

    /// The policy of the flags.
    pub(crate) fn policy(&self) -> Policy {
        self.policy.policy()
    }

    /// The request, under this rsync name.
    pub(crate) fn request(&self, rsync_name: &str) -> anyhow::Result<Request> {
        Ok(Request {
            rsync_name: rsync_name.to_owned(),
            setup_command: self.setup.clone(),
            slave_command: self.slave_command()?,
            worker_type: self.worker_type.clone(),
            max_workers: self.max_workers,
            max_trials: self.max_trials,
            taskset_class: self.taskset_class.clone(),
            unknown_spec_timeout_sec: self.unknown_spec_timeout,
            least_timeout_sec: self.least_timeout,
            tree_stamp: String::new(),
            policy: self.policy(),
        })
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
