//! What a test finds in its environment: the worker's, less our own settings and whatever holds the URL
//! of our Redis (FAULTS S8), and less what is not on the owner's list, if there is one. The suite may
//! have a Redis of its own: REDIS_URL is kept from it only if it is ours.

use std::ffi::OsString;
use std::process::Command;

/// Whether the variable is a setting of ours, or of the service manager.
fn is_ours(name: &str) -> bool {
    ["RRR_", "WATCHDOG_", "LISTEN_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || matches!(
            name,
            "NOTIFY_SOCKET" | "CREDENTIALS_DIRECTORY" | "INVOCATION_ID" | "JOURNAL_STREAM"
        )
}

/// Names of variables of this process that a test must not see; `redis` is the URL of our Redis.
pub(crate) fn secrets(redis: &str) -> Vec<OsString> {
    std::env::vars_os()
        .filter(|(name, value)| is_ours(&name.to_string_lossy()) || value == redis)
        .map(|(name, _)| name)
        .collect()
}

/// Takes from `command` every variable that is neither in `allowed` nor a setting of ours: these are
/// for our own processes, which keep them from the tests. PATH stays, since nothing runs without.
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
