//! The stamp of a tree: a small file that rrr-submit sends with a tree, and whose digest is a field
//! of the taskset. A worker compares the two, so that a taskset never runs on a tree from another
//! or an earlier submission (FAULTS F3).

use crate::process::regular_file::{self, Links};
use crate::process::temp_dir::{self, TempDir};
use crate::protocol::key::TasksetKey;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The file's name, at the top of the tree.
pub(crate) const NAME: &str = ".rrr-stamp";

/// The start of the field if no tree was sent.
const NOT_SENT: &str = "not sent: ";

/// Maximum bytes read from the file.
const LONGEST: u64 = 4096;

/// A new stamp in a separate folder: rsync sends that folder merged with the tree, so the
/// submitter's tree is never written to.
pub(crate) struct Stamp {
    _folder: TempDir,
    path: PathBuf,
    digest: String,
}

impl Stamp {
    /// Creates a stamp for the tree in `folder`.
    pub(crate) fn new(taskset: &TasksetKey, folder: &Path) -> std::io::Result<Self> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        // The length is random, since rsync --size-only skips files of equal length.
        let length = usize::from_str_radix(&id[..3], 16).unwrap_or(0) % 2048;
        let line = format!("{taskset} {id} {}", shown(folder));
        let line: String = line.chars().take(1000).collect();
        let text = format!("{line}\n{}\n", "-".repeat(length));
        temp_dir::clean_up();
        let made = TempDir::new("submit")?;
        let path = made.path().join("stamp");
        std::fs::create_dir(&path)?;
        let file = path.join(NAME);
        std::fs::write(&file, &text)?;
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644))?;
        // rsync merges both folders, with the attributes of the first.
        let tree = std::fs::metadata(folder)?;
        std::fs::set_permissions(&path, tree.permissions())?;
        File::open(&path)?.set_modified(tree.modified()?)?;
        Ok(Self {
            _folder: made,
            path,
            digest: digest(text.as_bytes()),
        })
    }

    /// The folder that contains only the stamp.
    pub(crate) fn folder(&self) -> &Path {
        &self.path
    }

    /// The value of the taskset's field.
    pub(crate) fn field(&self) -> String {
        self.digest.clone()
    }
}

impl Drop for Stamp {
    fn drop(&mut self) {
        // A tree may be read-only.
        let _ = std::fs::set_permissions(&self.path, PermissionsExt::from_mode(0o700));
    }
}

/// The value of the taskset's field if the tree in `folder` was not sent.
pub(crate) fn not_sent(folder: &Path) -> String {
    format!("{NOT_SENT}{}", shown(folder))
}

/// The place of submission, if the taskset's `field` shows that no tree was sent.
pub(crate) fn place_of_unsent(field: &str) -> Option<&str> {
    field.strip_prefix(NOT_SENT)
}

/// Compares the taskset's `field` with the stamp of the tree in `folder`.
///
/// Errors: how they differ.
pub(crate) fn check(field: &str, folder: &Path) -> Result<(), String> {
    let found = regular_file::read(&folder.join(NAME), Links::Refuse, LONGEST);
    let (found, line) = match &found {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            let line = text.lines().next().unwrap_or_default().escape_debug();
            (digest(bytes), format!(" ({line})"))
        }
        Err(error) => (format!("missing ({error})"), String::new()),
    };
    if found == field {
        return Ok(());
    }
    Err(format!(
        "the tree here is not the one that was submitted: its stamp is {found}{line}, the taskset's is {field}; \
         compare --rsync-remote-path and --rsync-options of rrr-submit and of this rrr-worker"
    ))
}

/// A folder with the name of this machine, for people.
fn shown(folder: &Path) -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    format!("{host}:{}", folder.to_string_lossy().escape_debug())
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_identified_by_its_stamp() {
        let tree = tempfile::tempdir().unwrap();
        let taskset: TasksetKey = "rrrspec:taskset:a".parse().unwrap();
        let stamps = [(); 2].map(|()| Stamp::new(&taskset, tree.path()).unwrap());
        let why = check(&stamps[0].field(), tree.path()).unwrap_err();
        assert!(
            why.contains("missing") && why.contains(&stamps[0].field()),
            "{why}"
        );
        assert!(std::fs::read_dir(tree.path()).unwrap().next().is_none());
        std::fs::copy(stamps[0].folder().join(NAME), tree.path().join(NAME)).unwrap();
        assert_eq!(check(&stamps[0].field(), tree.path()), Ok(()));
        let why = check(&stamps[1].field(), tree.path()).unwrap_err();
        assert!(
            stamps.iter().all(|stamp| why.contains(&stamp.field())),
            "{why}"
        );
        assert_eq!(place_of_unsent(&stamps[0].field()), None);
        assert!(place_of_unsent(&not_sent(tree.path())).is_some());
    }

    #[test]
    fn only_a_regular_file_is_a_stamp() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join(NAME);
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        assert!(check("x", tree.path()).unwrap_err().contains("missing"));
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        assert!(check("x", tree.path()).unwrap_err().contains("missing"));
    }
}
