//! The steps before a worker's slaves start: fetching the tree and running the setup command.

use super::heartbeat::Leaving;
use super::slaves::parent;
use super::trusted::NotTrusted;
use super::{CannotRun, Worker};
use crate::entity::taskset::Record;
use crate::entity::worker_log;
use crate::exec::adapter::GRACE;
use crate::exec::child::{End, Exit, Leftovers, Limits, environment};
use crate::process::stderr::say;
use crate::process::{exit, signals, state_dir, text};
use crate::protocol::key::TasksetKey;
use crate::protocol::name::rsync_name_error;
use crate::protocol::taskset_field as field;
use crate::suite::{rsync, tree_stamp};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::time::Duration;

/// Timeout of rsync and of the setup command.
const PREPARE_LIMIT: Duration = Duration::from_secs(3600);

impl Worker {
    /// Fetches the tree; returns its folder.
    pub(super) fn tree(
        &mut self,
        taskset: &TasksetKey,
        log: &str,
        record: &Record,
    ) -> anyhow::Result<PathBuf> {
        let stamp = record.get(field::TREE_STAMP);
        if let Some(folder) = &self.options.in_place {
            if stamp.is_some_and(|stamp| tree_stamp::place_of_unsent(stamp).is_none()) {
                unchecked("this worker uses the tree of --in-place");
            }
            return folder.canonicalize().map_err(|error| {
                let folder = folder.display();
                CannotRun(format!("cannot use the folder '{folder}': {error}")).into()
            });
        }
        let name = record.rsync_name();
        let folder = self.tree_folder(name)?;
        let remote = self.remote()?;
        let mut command = Command::new("rsync");
        command.args(remote.down(name, &folder));
        self.step("rsync", &mut command, taskset, log)?;
        if !self.must_leave() {
            check_stamp(stamp, &folder)?;
        }
        Ok(folder)
    }

    /// The folder for the tree of this rsync name, made if it is missing.
    fn tree_folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        if let Some(wrong) = rsync_name_error(name) {
            return Err(CannotRun(format!("rsync name '{}': {wrong}", name.escape_debug())).into());
        }
        let base = match &self.options.working_dir {
            Some(folder) => folder.clone(),
            None => state_dir::folder().join("work"),
        };
        let folder = base.join(name);
        let shown = folder.display();
        std::fs::create_dir_all(&folder)
            .map_err(|error| CannotRun(format!("cannot use the folder '{shown}': {error}")))?;
        let real = folder.canonicalize()?;
        // An earlier test may have left a link there, which rsync --delete would follow.
        if real.parent() != Some(base.canonicalize()?.as_path()) {
            let wrong = format!("'{shown}' leads out of the working folder");
            return Err(CannotRun(wrong).into());
        }
        Ok(real)
    }

    /// The location of trees.
    fn remote(&mut self) -> anyhow::Result<rsync::Remote> {
        let (path, flags) = (
            self.options.rsync_remote_path.as_deref(),
            self.options.rsync_options.as_deref(),
        );
        // The setting in Redis is not signed.
        let flags = flags.or(self.wary.as_ref().map(|_| rsync::DEFAULT_OPTIONS));
        let remote = rsync::remote(&mut self.store, path, flags).map_err(|error| {
            match error.downcast::<exit::Failure>() {
                Ok(bad) if bad.code == exit::USAGE => CannotRun(bad.message).into(),
                Ok(other) => other.into(),
                Err(other) => other,
            }
        })?;
        let missing = "no location for trees: pass --rsync-remote-path or --in-place";
        remote.ok_or_else(|| CannotRun(missing.into()).into())
    }

    /// Runs the setup command from a file, so that none of its commands can read the rest from
    /// stdin (F5). Background processes that it starts, such as a database, live until the worker
    /// leaves the taskset.
    pub(super) fn setup(
        &mut self,
        taskset: &TasksetKey,
        log: &str,
        folder: &Path,
        script: &str,
    ) -> anyhow::Result<()> {
        if script.trim().is_empty() {
            return Ok(());
        }
        let cannot = |error| CannotRun(format!("cannot write the setup script: {error}"));
        let mut file = self.scratch_file().map_err(cannot)?;
        file.write_all(script.as_bytes()).map_err(cannot)?;
        let mut command = Command::new("bash");
        command
            .arg("-ex")
            .arg(file.path())
            .current_dir(folder)
            .env("RRRSPEC_TASKSET_KEY", taskset.as_str())
            .env("RRRSPEC_WORKING_DIR", parent(folder))
            .env("NUM_SLAVES", self.card.slaves.to_string());
        if let Some(allowed) = &self.options.env_allow {
            environment::narrow(&mut command, allowed);
        }
        self.step("setup_command", &mut command, taskset, log)
    }

    /// Runs one step of the preparation, with its output in the worker log.
    fn step(
        &mut self,
        what: &str,
        command: &mut Command,
        taskset: &TasksetKey,
        log: &str,
    ) -> anyhow::Result<()> {
        for name in environment::secrets(&self.options.redis.url()) {
            command.env_remove(name);
        }
        let limits = Limits {
            soft: PREPARE_LIMIT,
            hard: PREPARE_LIMIT + Duration::from_secs(30),
            grace: GRACE,
            capture: worker_log::LOG_LIMIT / 2,
            memory: None,
            leftovers: Leftovers::Keep,
        };
        let mut watch = Leaving(self.pulse.clone());
        let outcome = self
            .supervisor
            .run(command, &limits, &mut watch)
            .map_err(|error| CannotRun(format!("cannot run {what}: {error}")))?;
        let mut output = outcome.stdout.bytes;
        output.extend_from_slice(&outcome.stderr.bytes);
        let log_key = format!("{log}:log");
        worker_log::append(&mut self.store, taskset, &log_key, &output)?;
        let last = text::last_words(&outcome.stderr.bytes);
        let ended = match (outcome.end, outcome.exit) {
            (End::Stopped(_), _) => return Ok(()),
            (End::Exited, Exit::Code(0)) => return Ok(()),
            (End::Exited, Exit::Code(code)) => format!("exit code {code}"),
            (End::Exited, Exit::Signal(signal)) => signals::name(signal),
            _ => "timed out after 1 h".to_owned(),
        };
        Err(CannotRun(format!("{what} failed ({ended}){last}")).into())
    }
}

/// Refuses a fetched tree that differs from the submitted one (F3).
fn check_stamp(stamp: Option<&str>, folder: &Path) -> anyhow::Result<()> {
    let Some(stamp) = stamp else {
        unchecked("the taskset has no digest of its tree");
        return Ok(());
    };
    if let Some(place) = tree_stamp::place_of_unsent(stamp) {
        // A tree that was never uploaded is not the fault of this machine.
        return Err(NotTrusted(format!(
            "the taskset was submitted with --no-rsync from '{place}', so the tree that rsync brings here is another \
             one: submit it without --no-rsync, or give rrr-worker the tree by --in-place"
        ))
        .into());
    }
    tree_stamp::check(stamp, folder).map_err(|why| CannotRun(why).into())
}

/// Warns, once, that the tree may differ from the submitted one.
fn unchecked(why: &str) {
    static SAID: Once = Once::new();
    SAID.call_once(|| say!("rrr-worker: {why}: cannot check that it is the submitted tree"));
}
