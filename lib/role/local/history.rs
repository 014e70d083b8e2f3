//! The history of rrr-local's runs: the knowledge from earlier runs of the folder, and the record of
//! this one.
//!
//! It is a help, not a condition: whatever fails here is one warning, and the run goes on.

use crate::archive::db::{Database, DbArgs, Durability};
use crate::archive::estimate;
use crate::archive::history::{self, Limits};
use crate::archive::log_dir::LogDir;
use crate::inspect::lookup;
use crate::process::state_dir;
use crate::process::stderr::say;
use crate::protocol::key::TasksetKey;
use crate::protocol::taskset_field as field;
use crate::protocol::time;
use crate::store::Store;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Runs of rrr-local that are kept.
const KEPT: Limits = Limits {
    age_ms: 90 * 86_400_000,
    bytes: 1 << 30,
};

/// The flags for the history.
#[derive(Clone, clap::Args)]
pub(super) struct HistoryArgs {
    /// Neither use nor record the history of this folder
    ///
    /// Without this flag, rrr-local records each run, and orders the next one by it: the files that
    /// failed first, then new files, then the longest. Runs older than 90 days, or beyond 1 GiB of
    /// outputs, are removed.
    #[arg(long)]
    no_history: bool,
    #[command(flatten)]
    db: DbArgs,
    /// Folder with the outputs of recorded runs
    ///
    /// One JSON document per run; by default ~/.local/state/rrr/log.
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    log_dir: Option<PathBuf>,
}

impl HistoryArgs {
    /// The database with the history.
    pub(super) fn db(&self) -> &DbArgs {
        &self.db
    }

    /// The folder with the outputs, if one was given.
    pub(super) fn log_dir(&self) -> Option<&Path> {
        self.log_dir.as_deref()
    }
}

/// The class of the runs in `folder`: its path, unless the user named one.
pub(super) fn class(given: &str, folder: &Path) -> String {
    match lookup::class_of(folder) {
        Some(class) if given == field::DEFAULT => class,
        _ => given.to_owned(),
    }
}

/// The knowledge from earlier runs of the class.
#[derive(Debug, Default)]
pub(super) struct Lessons {
    /// The spec files that failed in the last run.
    pub failed: HashSet<String>,
    /// The durations of earlier runs with as many tasks, in milliseconds, newest first.
    pub durations_ms: Vec<u64>,
}

/// The open history; nothing if the user does not want one, or after an error.
pub(super) struct History(Option<(Database, LogDir)>);

impl History {
    /// Whether the run will be recorded, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Opens the history. A database that the user named must be usable.
    pub(super) fn open(options: &HistoryArgs) -> anyhow::Result<Self> {
        if options.no_history {
            return Ok(Self(None));
        }
        let url = options.db.url()?;
        let open = || {
            let db = url.open_with(Durability::Eventual)?;
            let folder = options.log_dir.clone();
            let folder = folder.unwrap_or_else(|| state_dir::folder().join("log"));
            anyhow::Ok((db, LogDir::open(folder)?.unsynced()))
        };
        match open() {
            Ok(open) => Ok(Self(Some(open))),
            Err(error) => {
                warn("not used", &error);
                Ok(Self(None))
            }
        }
    }

    /// Publishes the estimates of `class` to Redis, and returns what else earlier runs with as many
    /// tasks know.
    pub(super) fn teach(&mut self, store: &mut Store, class: &str, tasks: usize) -> Lessons {
        let Some((db, _)) = &mut self.0 else {
            return Lessons::default();
        };
        let mut learn = || {
            estimate::publish_class(store, db, class)?;
            anyhow::Ok(Lessons {
                failed: history::failed_last(db, class)?,
                durations_ms: history::durations_ms(db, class, tasks)?,
            })
        };
        learn().unwrap_or_else(|error| {
            warn("not used", &error);
            Lessons::default()
        })
    }

    /// Records the finished `taskset`, and removes old runs.
    pub(super) fn record(self, store: &mut Store, taskset: &TasksetKey) {
        let Some((mut db, folder)) = self.0 else {
            return;
        };
        let mut save = || {
            history::save(store, &mut db, &folder, taskset, &mut || Ok(()))?;
            history::trim(&mut db, &folder, time::unix_ms(), &KEPT)
        };
        if let Err(error) = save() {
            warn("not recorded", &error);
        }
    }
}

fn warn(what: &str, error: &anyhow::Error) {
    say!("rrr-local: history {what}: {error:#} (--no-history turns it off)");
}
