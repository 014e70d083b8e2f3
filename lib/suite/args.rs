//! The flags for the tests to run, shared by rrr-submit and rrr-local.

use crate::entity::estimates;
use crate::process::exit;
use crate::process::stderr::say;
use crate::protocol::limits::{DEFAULT_MAX_TRIALS, DEFAULT_MAX_WORKERS};
use crate::protocol::policy::Policy;
use crate::protocol::request::Request;
use crate::protocol::task;
use crate::protocol::taskset_field as field;
use crate::store::Store;
use crate::suite::policy_args::PolicyArgs;
use crate::tool::{Per, Source, outline, split};
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
    /// Test tool that lists and runs the tests
    #[arg(long, value_name = "SOURCE", value_enum, conflicts_with = "null")]
    pub from: Option<Source>,
    /// Unit of a task of cargo-test or nextest
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
    /// Use the settings of [profile.NAME] in .rrr.toml
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    profile: Option<String>,
    /// Print the tasks as JSON lines, and run nothing
    #[arg(long, hide_short_help = true)]
    pub list: bool,
    /// Print each setting and its source, then exit
    #[arg(long, hide_short_help = true)]
    pub print_config: bool,
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
                .hint("end with '-- CMD', for example: -- sh {}; or name a test tool: --from rspec, pytest, cargo-test or nextest")
                .into()),
        }
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
