//! Finds the project file of a folder inside a project.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The file's name.
pub(crate) const NAME: &str = ".rrr.toml";

/// The nearest folder above `start` with a project file, as `..` or `../..`, up to the root of the Git
/// work tree that contains `start`. None if `start` itself has a project file or no work tree
/// contains it: a file in /tmp must not decide what runs below it. A file of another user is not
/// used either, except one of root.
pub(crate) fn above(start: &Path) -> Option<PathBuf> {
    let here = start.canonicalize().ok()?;
    if here.join(NAME).symlink_metadata().is_ok() {
        return None;
    }
    let root = here
        .ancestors()
        .find(|folder| folder.join(".git").exists())?;
    let own = rustix::process::geteuid().as_raw();
    let is_trusted = |folder: &Path| {
        let file = folder.join(NAME).symlink_metadata();
        file.is_ok_and(|file| file.is_file() && [own, 0].contains(&file.uid()))
    };
    let candidates = here.ancestors().take_while(|it| it.starts_with(root));
    let levels = candidates.skip(1).position(is_trusted)?;
    let up = vec![".."; levels + 1].join("/");
    Some(match start == Path::new(".") {
        true => PathBuf::from(up),
        false => start.join(up),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_file_is_found_up_to_the_root_of_the_work_tree() {
        let tree = tempfile::tempdir().unwrap();
        let deep = tree.path().join("project/a/b");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(tree.path().join(NAME), "").unwrap();
        assert_eq!(above(&deep), None, "no work tree");
        std::fs::create_dir(tree.path().join("project/.git")).unwrap();
        assert_eq!(above(&deep), None, "outside of the work tree");
        std::fs::write(tree.path().join("project").join(NAME), "").unwrap();
        assert_eq!(above(&deep), Some(deep.join("../..")));
        std::fs::write(tree.path().join("project/a").join(NAME), "").unwrap();
        assert_eq!(above(&deep), Some(deep.join("..")));
        std::fs::write(deep.join(NAME), "").unwrap();
        assert_eq!(above(&deep), None, "its own");
    }
}
