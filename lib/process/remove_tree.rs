//! Removal of folders that a test has filled, even with read-only folders or with more levels than
//! there are descriptors. Anything that cannot be removed is renamed and reported.

use rustix::fs::{AtFlags, Dir, Mode, OFlags, chmodat, openat, renameat, unlinkat};
use rustix::io::Errno;
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Maximum time for the files of one trial.
const ENDLESS: Duration = Duration::from_secs(60);

/// Removes the file or folder at `path` with everything below it; a link is removed, not followed.
///
/// Errors: the first entry that could not be removed.
pub(crate) fn all(path: &Path) -> io::Result<()> {
    let (folder, name) = split(path)?;
    let parent = match openat(
        rustix::fs::CWD,
        folder,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    loop {
        match take(&parent, &name)? {
            Taken::Gone => return Ok(()),
            Taken::Folder(top) => empty(&top)?,
        }
    }
}

/// Clears `path`: removes the file or folder there, or else renames it. Returns its new name and the
/// reason.
///
/// Errors: the path is still taken.
pub(crate) fn or_set_aside(path: &Path) -> io::Result<Option<(PathBuf, io::Error)>> {
    match all(path) {
        Ok(()) => Ok(None),
        Err(why) => set_aside(path).map(|aside| Some((aside, why))),
    }
}

/// Renames the file or folder at `path` within its folder; returns the new path.
pub(crate) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    let id = uuid::Uuid::new_v4().simple().to_string();
    name.push(format!(".left-{}", &id[..8]));
    let aside = PathBuf::from(name);
    std::fs::rename(path, &aside)?;
    Ok(aside)
}

fn split(path: &Path) -> io::Result<(&Path, CString)> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    let name = CString::new(std::os::unix::ffi::OsStrExt::as_bytes(name))?;
    Ok((folder.unwrap_or(Path::new(".")), name))
}

enum Taken {
    Gone,
    /// A folder that has entries.
    Folder(OwnedFd),
}

/// Removes one entry of a folder, unless the entry is a folder with entries.
fn take(parent: &OwnedFd, name: &CString) -> io::Result<Taken> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(Taken::Gone),
        // For a folder, Linux returns the first and POSIX the second.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    match unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => return Ok(Taken::Gone),
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || openat(parent, name, flags, Mode::empty());
    let folder = match open() {
        Err(Errno::ACCESS) => {
            chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            open()
        }
        opened => opened,
    }?;
    // The owner may always make it writable again.
    let _ = rustix::fs::fchmod(&folder, Mode::RWXU);
    Ok(Taken::Folder(folder))
}

/// Empties a folder. Its subfolders are moved up into it before they are emptied, so that any depth
/// needs only a few descriptors.
fn empty(top: &OwnedFd) -> io::Result<()> {
    let (began, mut number) = (Instant::now(), 0);
    loop {
        if began.elapsed() > ENDLESS {
            return Err(io::Error::other("it is filled again and again"));
        }
        let names = names(top)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            while let Taken::Folder(folder) = take(top, &name)? {
                raise_all(&folder, top, &mut number)?;
            }
        }
    }
}

/// Removes the files of a folder, and moves its subfolders up into `top`.
fn raise_all(folder: &OwnedFd, top: &OwnedFd, number: &mut u64) -> io::Result<()> {
    for below in names(folder)? {
        // Made writable while open: moving a folder modifies the folder itself.
        if let Taken::Folder(_writable) = take(folder, &below)? {
            raise(folder, &below, top, number)?;
        }
    }
    Ok(())
}

/// Moves a folder up into `top`, under an unused name.
fn raise(from: &OwnedFd, name: &CString, top: &OwnedFd, number: &mut u64) -> io::Result<()> {
    loop {
        *number += 1;
        let free = format!(".rrr-{number}");
        match renameat(from, name, top, &*free) {
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
            moved => return Ok(moved?),
        }
    }
}

fn names(folder: &impl AsFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes() != b"." && name.to_bytes() != b".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// The message about an entry that could not be removed.
pub(crate) fn complaint(tool: &str, path: &Path, aside: &Path, why: &io::Error) -> String {
    let mut line = OsString::from(format!("{tool}: cannot remove '"));
    line.push(path);
    line.push(format!("' ({why}): it is left as '{}'", aside.display()));
    line.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn folders_without_permissions_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (top, elsewhere) = (folder.path().join("top"), folder.path().join("elsewhere"));
        for name in ["a/b/c", "read-only/x/y", "closed/x", ".rrr-1/z"] {
            fs::create_dir_all(top.join(name)).unwrap();
            fs::write(top.join(name).join("file"), "").unwrap();
        }
        fs::write(&elsewhere, "stays").unwrap();
        symlink(&elsewhere, top.join("a/link")).unwrap();
        for (name, mode) in [("read-only/x", 0o555), ("read-only", 0o555), ("closed", 0)] {
            fs::set_permissions(top.join(name), Permissions::from_mode(mode)).unwrap();
        }
        all(&top).unwrap();
        assert!(!top.exists());
        assert_eq!(fs::read(&elsewhere).unwrap(), b"stays");
        all(&top).unwrap();
        all(&elsewhere).unwrap();
        assert!(!elsewhere.exists());
    }

    #[test]
    fn a_folder_deeper_than_path_max_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("top");
        fs::create_dir(&top).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |at: &OwnedFd| openat(at, "d", flags, Mode::empty()).unwrap();
        let mut at: OwnedFd = fs::File::open(&top).unwrap().into();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = open(&at);
        }
        all(&top).unwrap();
        assert!(!top.exists());
    }
}
