//! Sends the packaging folder up with rsync.

use super::Options;
use crate::store::Store;
use crate::taskset::Submission;
use crate::{cli, rsync, stop, taskset};
use std::time::{Duration, Instant};

/// Sends the tree up, holding the lock of its name, so that nobody's tree changes while it is read.
pub(super) fn send(
    store: &mut Store,
    options: &Options,
    submission: &Submission,
    name: &str,
) -> anyhow::Result<()> {
    let (path, flags) = (
        options.rsync_remote_path.as_deref(),
        options.rsync_options.as_deref(),
    );
    let Some(remote) = rsync::remote(store, path, flags)? else {
        return Err(cli::usage("nobody says where the tree should go")
            .hint("pass --rsync-remote-path P, or --no-rsync when the workers have the tree")
            .into());
    };
    if let Some(holder) = taskset::lock_rsync_name(store, submission, name)? {
        return Err(
            cli::usage(format!("the rsync name '{name}' is in use by '{holder}'"))
                .hint("wait for it, rrr-cancel it, or pass another --rsync-name")
                .into(),
        );
    }
    remote.make_folder(name)?;
    let handle = duct::cmd("rsync", remote.up(&options.packaging_dir, name))
        .stdin_null()
        .stdout_null()
        .stderr_capture()
        .unchecked()
        .start()
        .map_err(|error| rsync::not_started(&error))?;
    let mut renewed = Instant::now();
    let output = loop {
        if let Some(output) = handle.try_wait()? {
            break output;
        }
        if stop::requested() {
            handle.kill()?;
            return Err(crate::store::Stopped.into());
        }
        if renewed.elapsed() > Duration::from_secs(5) {
            taskset::lock_rsync_name(store, submission, name)?;
            renewed = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(cli::usage(format!(
            "rsync to '{}' failed ({}): {}",
            remote.path,
            output.status,
            said.trim()
        ))
        .hint("check --rsync-remote-path and --rsync-options; nothing was submitted")
        .into());
    }
    Ok(())
}
