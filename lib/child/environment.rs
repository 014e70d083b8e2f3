//! What a test finds in its environment: the worker's, less its credentials and its own settings
//! (FAULTS S8), and less whatever is not on the owner's list, if there is one.

use std::ffi::OsString;
use std::process::Command;

/// Whether the variable is a credential or a setting of ours, or of the service manager.
fn is_secret(name: &str) -> bool {
    ["RRR_", "REDIS_", "WATCHDOG_", "LISTEN_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || matches!(
            name,
            "NOTIFY_SOCKET" | "CREDENTIALS_DIRECTORY" | "INVOCATION_ID" | "JOURNAL_STREAM"
        )
}

/// Names of variables of this process that a test must not see.
pub fn secrets() -> Vec<OsString> {
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| is_secret(&name.to_string_lossy()))
        .collect()
}

/// Takes from `command` every variable that is neither in `allowed` nor a secret: secrets are for
/// our own processes, which keep them from the tests. PATH stays, since nothing runs without.
pub fn narrow(command: &mut Command, allowed: &[String]) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let stays = text == "PATH" || is_secret(&text) || allowed.iter().any(|a| *a == text);
        if !stays {
            command.env_remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_credentials_are_secret_and_the_protocols_variables_are_not() {
        for name in [
            "RRR_REDIS_URL",
            "REDIS_URL",
            "NOTIFY_SOCKET",
            "WATCHDOG_USEC",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["RRRSPEC_TASKSET_KEY", "PATH", "HOME", "TEST_ENV_NUMBER"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
