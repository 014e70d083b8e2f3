//! Transfers a tree with rsync: rrr-submit uploads it, rrr-worker downloads it. Always by argv,
//! never through a shell.

use crate::process::exit::{self, failure};
use crate::protocol::key;
use crate::store;
use crate::store::error::Refused;
use crate::store::{Store, read};
use crate::suite::tree_stamp;
use std::ffi::OsString;
use std::path::Path;

/// The location of the trees, and the rsync options.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    pub path: String,
    pub options: Vec<String>,
}

/// The action when the folder for trees does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    Refuse,
    Make,
}

/// Options to use where none are given.
pub(crate) const DEFAULT_OPTIONS: &str = "--archive --delete";

/// Options that `rsync_info` in Redis and a project file may contain: data about the files to copy.
/// An option is excluded if it runs a program, reads or writes a file elsewhere, or sends files
/// that links outside the tree point to (FAULTS S3, S4).
const ALLOWED: &[&str] = &[
    "--archive",
    "--recursive",
    "--links",
    "--safe-links",
    "--perms",
    "--times",
    "--omit-dir-times",
    "--group",
    "--owner",
    "--no-perms",
    "--no-times",
    "--no-group",
    "--no-owner",
    "--executability",
    "--chmod",
    "--hard-links",
    "--delete",
    "--delete-before",
    "--delete-during",
    "--delete-delay",
    "--delete-after",
    "--delete-excluded",
    "--force",
    "--checksum",
    "--compress",
    "--compress-level",
    "--whole-file",
    "--no-whole-file",
    "--inplace",
    "--partial",
    "--sparse",
    "--update",
    "--size-only",
    "--ignore-times",
    "--modify-window",
    "--max-size",
    "--min-size",
    "--exclude",
    "--include",
    "--cvs-exclude",
    "--prune-empty-dirs",
    "--one-file-system",
    "--bwlimit",
    "--timeout",
    "--contimeout",
    "--verbose",
    "--quiet",
    "--stats",
    "--itemize-changes",
    "--human-readable",
    "--numeric-ids",
    "--ipv4",
    "--ipv6",
    "--blocking-io",
    "--specials",
    "--devices",
    "--no-specials",
    "--no-devices",
];
/// Compares modification times to the nanosecond (rsync 3.1.3 and later). Without this option a
/// file that was edited within one second, to the same length, would not be sent, and an older tree
/// would run (F3).
const EXACT_TIMES: &str = "--modify-window=-1";

/// Short options of the same kind, which may be bundled. Not `n`: nothing would be sent.
const ALLOWED_LETTERS: &str = "arlptgoDzvqhucHSWxCIim46";

fn is_allowed(option: &str) -> bool {
    if option.starts_with("--") {
        let name = option.split('=').next().unwrap_or(option);
        ALLOWED.contains(&name)
    } else {
        option.strip_prefix('-').is_some_and(|letters| {
            !letters.is_empty() && letters.chars().all(|c| ALLOWED_LETTERS.contains(c))
        })
    }
}

fn split(options: &str) -> anyhow::Result<Vec<String>> {
    shlex::split(options).ok_or_else(|| {
        crate::process::exit::usage(format!("rsync options '{options}' have an unclosed quote"))
            .into()
    })
}

/// Refuses options that are not allowed from `place`: its authors must not be able to run a program
/// here.
pub fn check_options(options: &str, place: &str) -> anyhow::Result<()> {
    if let Some(bad) = split(options)?.iter().find(|option| !is_allowed(option)) {
        return Err(crate::process::exit::usage(format!(
            "{place} contains the option '{bad}', which is not allowed there"
        ))
        .hint("if it is intended, pass it with --rsync-options on this machine")
        .into());
    }
    Ok(())
}

/// The remote from the flags, completed from the cluster's `rsync_info`; `None` when neither sets a
/// path.
pub(crate) fn remote(
    store: &mut Store,
    path: Option<&str>,
    options: Option<&str>,
) -> anyhow::Result<Option<Remote>> {
    let (name, info) = (key::rsync_info(), read::hash(store, &key::rsync_info()));
    if path.is_none()
        && let Err(error) = &info
        && error.is::<Refused>()
    {
        return Err(
            exit::usage(format!("'{name}' in Redis is not a hash: {error}"))
                .hint(format!(
                    "set it again after redis-cli DEL {name}, or pass --rsync-remote-path P"
                ))
                .into(),
        );
    }
    // With a path from the flags, it is not needed.
    let info = store::unless_refused(name, info)?.unwrap_or_default();
    let known = |field: &str| info.get(field).filter(|text| !text.is_empty());
    let options = match (options, known("rsync_options")) {
        (Some(options), _) => split(options)?,
        (None, Some(options)) => {
            check_options(options, "rsync_info in Redis")?;
            split(options)?
        }
        (None, None) => split(DEFAULT_OPTIONS)?,
    };
    let path = path
        .map(str::to_owned)
        .or_else(|| known("rsync_remote_path").cloned());
    // ssh would interpret such a host name as an option, and ssh options can run programs.
    if let Some(path) = path.as_ref().filter(|path| path.starts_with('-')) {
        return Err(crate::process::exit::usage(format!(
            "the rsync path '{path}' begins with '-'"
        ))
        .hint("prefix the name of a folder with ./")
        .into());
    }
    Ok(path
        .filter(|path| !path.is_empty())
        .map(|path| Remote { path, options }))
}

impl Remote {
    fn folder(&self, name: &str) -> String {
        format!("{}/{name}/", self.path.trim_end_matches('/'))
    }

    /// The rsync arguments that download the tree called `name` into `folder`.
    pub(crate) fn down(&self, name: &str, folder: &Path) -> Vec<OsString> {
        let mut target = folder.as_os_str().to_owned();
        target.push("/");
        self.arguments([self.folder(name).into()], target)
    }

    /// The rsync arguments that upload `folders`, merged, as the tree called `name`: where two have
    /// the same file, the first one wins.
    pub(crate) fn up(&self, folders: &[&Path], name: &str, missing: Missing) -> Vec<OsString> {
        let sources = folders.iter().map(|folder| {
            let mut source = folder.as_os_str().to_owned();
            // With --relative, the path after the dot is kept.
            source.push("/./");
            source
        });
        let mut arguments = self.arguments(sources, self.folder(name).into());
        if missing == Missing::Make {
            arguments.insert(0, "--mkpath".into());
        }
        arguments
    }

    /// Whether a tree can have a stamp: a list of files to send cannot include one.
    pub(crate) fn takes_stamp(&self) -> bool {
        !self
            .options
            .iter()
            .any(|option| option.starts_with("--files-from"))
    }

    /// Creates the folder of the tree called `name` when it is on this machine. Its parent must
    /// exist: with a mistyped path, the tree would go where no worker looks.
    pub(crate) fn make_folder(&self, name: &str, missing: Missing) -> anyhow::Result<()> {
        if self.path.contains(':') {
            return Ok(());
        }
        if missing == Missing::Refuse && !Path::new(&self.path).is_dir() {
            let message = format!("the folder '{}' for trees does not exist", self.path);
            return Err(crate::process::exit::usage(message)
                .hint("check --rsync-remote-path, or pass --mkpath to create it")
                .into());
        }
        let folder = self.folder(name);
        std::fs::create_dir_all(&folder).map_err(|error| {
            crate::process::exit::usage(format!("cannot create the folder '{folder}': {error}"))
                .into()
        })
    }

    fn arguments(&self, from: impl IntoIterator<Item = OsString>, to: OsString) -> Vec<OsString> {
        // The first rule that matches a file applies.
        let mut arguments: Vec<OsString> = vec![
            format!("--include=/{}", tree_stamp::NAME).into(),
            EXACT_TIMES.into(),
        ];
        arguments.extend(self.options.iter().map(OsString::from));
        arguments.extend(["--safe-links".into(), "--".into()]);
        arguments.extend(from);
        arguments.push(to);
        arguments
    }
}

/// The failure for an rsync that could not be started.
pub(crate) fn not_started(error: &std::io::Error) -> exit::Failure {
    let found = failure(exit::USAGE, format!("cannot run rsync: {error}"));
    match error.kind() {
        std::io::ErrorKind::NotFound => found.hint("install it: apt-get install rsync"),
        _ => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_options_that_run_programs_are_not_taken_from_redis() {
        for bad in [
            "-e",
            "--rsh=sh",
            "--rsync-path=x",
            "-M",
            "--log-file=/x",
            "--files-from=x",
            "-",
            "x",
            "--write-batch=x",
            "--copy-links",
            "--copy-unsafe-links",
            "--copy-dirlinks",
            "--keep-dirlinks",
            "-L",
            "-k",
            "-K",
            "-aL",
            "-avLz",
            "-ak",
            "-an",
        ] {
            assert!(!is_allowed(bad), "{bad}");
        }
        for good in ["-a", "-az", "--delete", "--exclude=.git"] {
            assert!(is_allowed(good), "{good}");
        }
    }

    #[test]
    fn s4_links_are_safe_and_paths_follow_the_end_of_options() {
        let remote = Remote {
            path: "-e/x/".into(),
            options: vec!["-a".into()],
        };
        let arguments = remote.down("me", Path::new("/tree"));
        assert_eq!(
            arguments,
            [
                "--include=/.rrr-stamp",
                "--modify-window=-1",
                "-a",
                "--safe-links",
                "--",
                "-e/x/me/",
                "/tree/"
            ]
        );
    }
}
