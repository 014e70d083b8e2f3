//! Regular files, read up to a maximum size. A pipe, a device or a link that a test, a tree or another
//! user has put in place of a file can neither block the reader nor lead it elsewhere.

use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Whether a symbolic link at the path's end is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// The user named the file: a link there is the user's own, as Kubernetes mounts secrets.
    Follow,
    /// Others can write to the folder.
    Refuse,
}

/// Opens the file at `path` for reading.
///
/// Errors: there is none, or it is not a regular file.
pub(crate) fn open(path: &Path, links: Links) -> io::Result<File> {
    opened(OpenOptions::new().read(true), path, links)
}

/// Opens the file at `path` for a lock, and makes it if need be. Its content is left alone.
pub(crate) fn open_or_create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    opened(&mut options, path, Links::Refuse)
}

/// Reads the file at `path`, which has at most `most` bytes.
pub(crate) fn read(path: &Path, links: Links, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, links)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it has more than {most} bytes")));
    }
    Ok(bytes)
}

/// Reads a text, as [`read`] reads bytes.
pub(crate) fn read_text(path: &Path, links: Links, most: u64) -> io::Result<String> {
    String::from_utf8(read(path, links, most)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

fn opened(options: &mut OpenOptions, path: &Path, links: Links) -> io::Result<File> {
    // The open of a pipe without this waits for its other end.
    let mut flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    if links == Links::Refuse {
        flags |= OFlags::NOFOLLOW;
    }
    options.custom_flags(flags.bits() as i32);
    let file = options
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => {
                io::Error::other("it is a symbolic link")
            }
            Some(code) if code == rustix::io::Errno::NXIO.raw_os_error() => not_regular(),
            _ => error,
        })?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(not_regular())
    }
}

fn not_regular() -> io::Error {
    io::Error::other("it is not a regular file")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::os::unix::fs::symlink;

    #[test]
    fn only_a_regular_file_within_the_bound_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "12345").unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for (link, to) in [
            ("link", "file"),
            ("to-pipe", "pipe"),
            ("to-void", "/dev/null"),
        ] {
            symlink(to, at(link)).unwrap();
        }
        let text = |name: &str, links| read_text(&at(name), links, 5);
        for links in [Links::Follow, Links::Refuse] {
            assert_eq!(text("file", links).unwrap(), "12345");
            for name in ["folder", "pipe", "socket", "to-pipe", "to-void", "absent"] {
                assert!(text(name, links).is_err(), "{name}, {links:?}");
            }
        }
        assert_eq!(text("link", Links::Follow).unwrap(), "12345");
        let refused = text("link", Links::Refuse).unwrap_err();
        assert_eq!(refused.to_string(), "it is a symbolic link");
        let refused = text("pipe", Links::Refuse).unwrap_err();
        assert_eq!(refused.to_string(), "it is not a regular file");
        let refused = read(&at("file"), Links::Refuse, 4).unwrap_err();
        assert_eq!(refused.to_string(), "it has more than 4 bytes");
        assert!(open_or_create(&at("pipe")).is_err());
        assert!(open_or_create(&at("link")).is_err());
        open_or_create(&at("new")).unwrap();
    }
}
