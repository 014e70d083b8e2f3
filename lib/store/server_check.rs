//! The check of a Redis server before it is used: its version and its eviction policy.

use super::Store;
use crate::process::exit::{self, failure};

/// The oldest version that has all the commands used by the scripts.
const OLDEST: (u32, u32) = (6, 2);

impl Store {
    /// Refuses a Redis that is too old, or that would evict keys when memory is short: a test
    /// runner that loses keys reports wrong results (F1).
    pub(crate) fn check_server(&mut self) -> anyhow::Result<()> {
        let info: String = self.first_call(|c, _| {
            redis::pipe()
                .cmd("INFO")
                .arg("server")
                .cmd("INFO")
                .arg("memory")
                .query::<(String, String)>(c)
                .map(|(server, memory)| server + &memory)
        })?;
        match check(&info) {
            Ok(()) => Ok(()),
            Err((what, hint)) => {
                let message = format!("Redis at '{}' {what}", self.address.shown());
                Err(failure(exit::USAGE, message).hint(hint).into())
            }
        }
    }
}

/// Checks the reply to INFO. Errors: the problem with the server, and the remedy.
fn check(info: &str) -> Result<(), (String, &'static str)> {
    let field = |name: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(|value| value.trim().to_owned())
    };
    if let Some(policy) = field("maxmemory_policy")
        && policy != "noeviction"
    {
        return Err((
            format!("has maxmemory-policy '{policy}' and may drop keys"),
            "run: redis-cli config set maxmemory-policy noeviction",
        ));
    }
    let version = field("redis_version").unwrap_or_default();
    let mut parts = version
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let known = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if known.0 > 0 && known < OLDEST {
        return Err((
            format!("is version {version}; 6.2 or later is needed"),
            "upgrade it, or pass --redis with the URL of another",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_server_and_one_that_evicts_are_refused() {
        assert!(check("redis_version:7.2.4\r\nmaxmemory_policy:noeviction\r\n").is_ok());
        assert!(check("redis_version:6.2.0\r\n").is_ok());
        // A service that does not show its version is accepted.
        assert!(check("").is_ok());
        assert!(check("redis_version:6.0.16\r\n").is_err());
        let evicting = check("redis_version:7.0.0\r\nmaxmemory_policy:allkeys-lru\r\n");
        assert!(evicting.unwrap_err().0.contains("allkeys-lru"));
    }
}
