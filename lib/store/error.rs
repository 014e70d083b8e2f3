//! Errors of Redis: which are temporary, which are refusals, and their wording.

use redis::ErrorKind;
use redis::RedisError;

/// Error codes of a Redis that is not ready at the moment.
const PASSING: [&str; 10] = [
    "BUSY",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "NOSCRIPT",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "UNBLOCKED",
];

/// The meaning of an error for the call that got it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Temporary: a retry may succeed.
    Passing,
    /// Redis requires another password or user.
    Forbidden,
    /// Final: Redis will refuse every retry.
    Refused,
}

/// Classifies an error.
pub(crate) fn classify(error: &RedisError) -> Trouble {
    if is_passing(error) {
        Trouble::Passing
    } else if is_forbidden(error) {
        Trouble::Forbidden
    } else {
        Trouble::Refused
    }
}

/// Whether a later retry may succeed.
fn is_passing(error: &RedisError) -> bool {
    // A pipeline has one error per refused command.
    let refusals = error.clone().into_server_errors();
    error.is_io_error()
        || error.is_connection_dropped()
        || error.is_timeout()
        || error.kind() == ErrorKind::Parse
        // The code is ERR, as for a mistaken command.
        || error.to_string().contains("max number of clients")
        || refusals.is_some_and(|all| all.iter().all(|(_, one)| PASSING.contains(&one.code())))
}

/// Whether a signal to this process ended the wait for a reply.
pub(crate) fn is_interrupted(error: &RedisError) -> bool {
    type Shared = std::sync::Arc<dyn std::error::Error + Send + Sync>;
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<Shared>());
    cause
        .and_then(|cause| cause.downcast_ref::<std::io::Error>())
        .is_some_and(|io| io.kind() == std::io::ErrorKind::Interrupted)
}

/// Whether Redis requires another password or user. A pipeline wraps the error of its command, so
/// that only the text still names it.
pub(crate) fn is_forbidden(error: &RedisError) -> bool {
    let text = error.to_string();
    matches!(error.kind(), ErrorKind::AuthenticationFailed)
        || ["NOAUTH", "WRONGPASS", "NOPERM"]
            .iter()
            .any(|code| text.contains(code))
}

/// The error's text. A timeout's own text would be "resource temporarily unavailable".
pub(crate) fn why(error: &RedisError) -> String {
    if error.is_timeout() {
        "no reply".to_owned()
    } else {
        error.to_string()
    }
}

/// A refusal: Redis replied and will not run the command however often it is sent, for example
/// because a key is of the wrong type. A wrong password or a missing right is not one of these.
#[derive(Debug)]
pub struct Refused(pub(crate) String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

impl Refused {
    /// The refusal of one command of a pipeline.
    pub(crate) fn of(error: &redis::ServerError) -> Self {
        Self(format!("Redis refused: {error}"))
    }
}

/// The process was asked to stop while it waited for Redis.
#[derive(Debug)]
pub(crate) struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped while waiting for Redis")
    }
}

impl std::error::Error for Stopped {}
