//! The environment of a test: the worker's, without rrr's own settings, without every variable that
//! holds the URL of rrr's Redis (FAULTS S8), and without those missing from the owner's list, if
//! there is one. The suite may have its own Redis: REDIS_URL is hidden from it only if it is rrr's.

use std::ffi::OsString;
use std::process::Command;

/// Whether the variable is a setting of rrr or of the service manager.
fn is_ours(name: &str) -> bool {
    ["RRR_", "WATCHDOG_", "LISTEN_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || matches!(
            name,
            "NOTIFY_SOCKET" | "CREDENTIALS_DIRECTORY" | "INVOCATION_ID" | "JOURNAL_STREAM"
        )
}

/// Names of this process's variables that a test must not see; `redis` is the URL of rrr's Redis.
pub(crate) fn secrets(redis: &str) -> Vec<OsString> {
    std::env::vars_os()
        .filter(|(name, value)| is_ours(&name.to_string_lossy()) || value == redis)
        .map(|(name, _)| name)
        .collect()
}

/// Removes from `command` every variable that is neither in `allowed` nor a setting of rrr. The
/// settings are for rrr's own processes, which hide them from the tests. PATH is kept, since
/// nothing runs without it.
pub(crate) fn narrow(command: &mut Command, allowed: &[String]) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let stays = text == "PATH" || is_ours(&text) || allowed.iter().any(|a| *a == text);
        if !stays {
            command.env_remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rrr_settings_are_private_and_suite_variables_are_not() {
        for name in ["RRR_REDIS_URL", "NOTIFY_SOCKET", "WATCHDOG_USEC"] {
            assert!(is_ours(name), "{name}");
        }
        for name in [
            "RRRSPEC_TASKSET_KEY",
            "PATH",
            "TEST_ENV_NUMBER",
            "REDIS_URL",
        ] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
