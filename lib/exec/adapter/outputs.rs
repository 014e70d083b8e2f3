//! What tests leave on purpose: a folder for each trial, kept when there is something in it.

use crate::process::{exit, remove_tree, stderr};
use crate::protocol::key::{TasksetKey, TrialKey};
use rustix::fs::Mode;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use uuid::Uuid;

/// Bazel's name for the folder, which tests know.
pub(crate) const VARIABLE: &str = "TEST_UNDECLARED_OUTPUTS_DIR";

/// Where they are kept.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Outputs {
    /// Where to keep what tests leave on purpose
    ///
    /// Each trial finds a folder of its own below DIR in TEST_UNDECLARED_OUTPUTS_DIR. What is in it
    /// stays, and the trial tells where; an empty one is removed after the trial.
    #[arg(long = "outputs", value_name = "DIR", hide_short_help = true)]
    folder: Option<PathBuf>,
}

impl Outputs {
    /// Makes the folder if need be; from now on it is the same wherever this process, or one that
    /// it starts, is.
    ///
    /// Errors: nothing can be kept there.
    pub(crate) fn settle(&mut self) -> anyhow::Result<()> {
        let Some(folder) = &mut self.folder else {
            return Ok(());
        };
        let make = |folder: &Path| -> io::Result<PathBuf> {
            std::fs::create_dir_all(folder)?;
            // Whether more can be made in it is known only when it has been.
            drop(tempfile::tempdir_in(folder)?);
            let folder = folder.canonicalize()?;
            // It goes to runners as JSON, and into records.
            let text = folder.to_str().map(PathBuf::from);
            text.ok_or_else(|| io::Error::other("its name is not UTF-8"))
        };
        *folder = make(folder).map_err(|error| {
            let folder = folder.display();
            exit::usage(format!("cannot keep outputs in '{folder}': {error}"))
                .hint("give --outputs a folder that can be written, with room in it")
        })?;
        Ok(())
    }

    /// Has a process that `command` starts keep them in the same place.
    pub(crate) fn pass_on(&self, command: &mut Command) {
        const FLAG: &str = "RRR_OUTPUTS";
        match &self.folder {
            Some(folder) => command.env(FLAG, folder),
            None => command.env_remove(FLAG),
        };
    }

    /// Where the trials of a taskset leave theirs, if they are kept.
    pub(crate) fn of(&self, taskset: &TasksetKey) -> Option<Shelf> {
        let folder = self.folder.as_ref()?;
        let name = name(taskset.id(), taskset.as_str());
        Some(Shelf(folder.join(name.to_string())))
    }
}

/// The name of a folder: the id if it is a UUID, as that of a taskset of ours is; else one made of the
/// key, since an id that somebody else chose might lead elsewhere (FAULTS S5).
fn name(id: &str, key: &str) -> Uuid {
    Uuid::parse_str(id).unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_URL, key.as_bytes()))
}

/// The folder of a taskset, made when it is needed; dropped, it goes if nothing was left in it.
pub(crate) struct Shelf(PathBuf);

impl Shelf {
    /// Makes the folder of a trial.
    ///
    /// Errors: it cannot be made; says which and why.
    pub(crate) fn begin(&self, trial: &TrialKey) -> Result<String, String> {
        let path = self.of(trial);
        let make = || std::fs::create_dir(&path);
        let made = make().or_else(|_| {
            // It is the first, another slave that ended has just removed that of the taskset, or a
            // test has put something else in the place of either.
            for folder in [self.0.as_path(), &path] {
                settle(folder)?;
            }
            Ok(())
        });
        made.map_err(|error: io::Error| {
            let path = path.display();
            format!("cannot keep outputs in '{path}': {error}")
        })?;
        Ok(path.to_string_lossy().into_owned())
    }

    /// Removes the folder of a trial if it is empty, else tells where it is. What a test has put in its
    /// place might lead anywhere, and is removed.
    pub(crate) fn end(&self, trial: &TrialKey) -> Option<String> {
        let path = self.of(trial);
        if std::fs::remove_dir(&path).is_ok() {
            return None;
        }
        match path.symlink_metadata() {
            Ok(found) if found.is_dir() => Some(path.to_string_lossy().into_owned()),
            Ok(_) => {
                let _ = std::fs::remove_file(&path);
                None
            }
            Err(_) => None,
        }
    }

    fn of(&self, trial: &TrialKey) -> PathBuf {
        let key = trial.as_str();
        let (_, id) = key.rsplit_once(':').unwrap_or(("", key));
        self.0.join(name(id, key).simple().to_string())
    }
}

/// Makes the folder, unless it is there; what else is there gets another name.
fn settle(folder: &Path) -> io::Result<()> {
    match folder.symlink_metadata() {
        Ok(found) if found.is_dir() => {
            if found.mode() & 0o700 != 0o700 {
                rustix::fs::chmod(folder, Mode::from_bits_retain(found.mode() | 0o700))?;
            }
            return Ok(());
        }
        Ok(_) => {
            let aside = remove_tree::set_aside(folder)?;
            let why = io::Error::other("it is not a folder");
            stderr::line(&remove_tree::complaint("rrr-slave", folder, &aside, &why));
        }
        Err(_) => {}
    }
    match std::fs::create_dir_all(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => std::fs::create_dir_all(folder),
        made => made,
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        // Not empty, or needed by others: then it stays.
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nonempty_outputs_are_kept_and_ids_cannot_escape() {
        let folder = tempfile::tempdir().unwrap();
        let outputs = Outputs {
            folder: Some(folder.path().join("out")),
        };
        for id in ["..", "a/../../b", "17e4b6a8-1f43-4ba0-a7a9-9b2c8b7f9f10"] {
            let taskset: TasksetKey = format!("rrrspec:taskset:{id}").parse().unwrap();
            let trial = |id: &str| -> TrialKey {
                let key = format!("{}:trial:{id}", taskset.task("a.rb"));
                serde_json::from_value(key.into()).unwrap()
            };
            let shelf = outputs.of(&taskset).unwrap();
            let (empty, full) = (trial("../../x"), trial("a"));
            shelf.begin(&empty).unwrap();
            let kept = shelf.begin(&full).unwrap();
            let path = Path::new(&kept);
            assert_eq!(path.ancestors().nth(2), Some(&*folder.path().join("out")));
            std::fs::write(path.join("kept"), "").unwrap();
            assert_eq!(shelf.end(&empty), None);
            assert_eq!(shelf.end(&full), Some(kept.clone()));
            drop(shelf);
            assert!(path.join("kept").exists());
            std::fs::remove_dir_all(path).unwrap();
            drop(outputs.of(&taskset));
        }
        let left: Vec<_> = std::fs::read_dir(folder.path().join("out"))
            .unwrap()
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
