//! Files that outlive the tool that created them.

use std::path::PathBuf;

/// The state folder: `$XDG_STATE_HOME/rrr`, or `~/.local/state/rrr`.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .unwrap_or_else(|| {
            let home = std::env::home_dir().unwrap_or_default();
            home.join(".local/state")
        })
        .join("rrr")
}
