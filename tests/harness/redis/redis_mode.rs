//! Alternative ways for the tools to connect to the test's Redis. `RRR_TEST_REDIS` selects one for
//! a whole test run, so that the usual suite covers them too:
//!
//! - `acl`: each tool as its own user of `scripts/redis/users.acl`; the test fails if Redis refuses
//!   one a command, key or channel;
//! - `tls`: over TLS, with the certificates of `scripts/redis/make-certificates` on both sides;
//! - `trust`: submitters sign, and workers run only signed tasksets.
//!
//! The test's own connections are not affected.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// How tools connect.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RedisMode {
    Plain,
    Acl,
    Tls,
    Trust,
}

/// The mode of this run.
pub fn current() -> RedisMode {
    match std::env::var("RRR_TEST_REDIS").as_deref() {
        Err(_) | Ok("") => RedisMode::Plain,
        Ok("acl") => RedisMode::Acl,
        Ok("tls") => RedisMode::Tls,
        Ok("trust") => RedisMode::Trust,
        Ok(other) => panic!("RRR_TEST_REDIS={other}: expected acl, tls or trust"),
    }
}

/// The files of the mode, made once per test process by the scripts that users run.
pub static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| match current() {
    RedisMode::Plain => unreachable!("the plain mode has no files"),
    RedisMode::Acl => users(),
    RedisMode::Tls => certificates(&["127.0.0.1", "localhost"]),
    RedisMode::Trust => keys(),
});

/// A folder with `users.acl` and the passwords. The test itself is the user `default`, without a
/// password.
pub fn users() -> PathBuf {
    users_and_workers(&[])
}

/// As [`users`], with a user for each of these workers.
pub fn users_and_workers(ids: &[&str]) -> PathBuf {
    let folder = temporary("rrr-users.");
    script("make-users", &folder, ids);
    let file = folder.join("users.acl");
    let text = std::fs::read_to_string(&file).expect("the ACL file");
    let others = text
        .lines()
        .filter(|line| !line.starts_with("user default "));
    let text: String = others.map(|line| format!("{line}\n")).collect();
    std::fs::write(&file, text + "user default on nopass ~* &* +@all\n").expect("the ACL file");
    folder
}

/// A folder with an authority, a server certificate for `hosts`, and a client certificate.
pub fn certificates(hosts: &[&str]) -> PathBuf {
    let folder = temporary("rrr-certificates.");
    script("make-certificates", &folder, hosts);
    folder
}

/// A folder with a signing key, `key`, and its public key, `key.pub`.
fn keys() -> PathBuf {
    let folder = temporary("rrr-keys.");
    rrr::suite::signing::generate(&folder.join("key")).expect("a key");
    folder
}

/// The settings of a server with TLS on `port` that requires client certificates.
pub fn tls_settings(folder: &Path, port: u16) -> Vec<(String, String)> {
    let file = |name: &str| folder.join(name).display().to_string();
    [
        ("tls-port", port.to_string()),
        ("tls-cert-file", file("redis.crt")),
        ("tls-key-file", file("redis.key")),
        ("tls-ca-cert-file", file("ca.crt")),
        ("tls-auth-clients", "yes".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// The Redis user of a tool.
pub fn user_of(tool: &str) -> &'static str {
    match tool {
        "rrr-arbiter" => "rrr-arbiter",
        "rrr-dispatch" => "rrr-dispatch",
        "rrr-persist" => "rrr-persist",
        "rrr-worker" | "rrr-slave" => "rrr-worker",
        "rrr-submit" | "rrr-cancel" | "rrr" => "rrr-submit",
        _ => "rrr-watch",
    }
}

/// The variables that make the tool `name` connect to `url` in the current mode. Other programs,
/// such as a shell that starts several tools, connect as the test itself.
pub fn variables(name: &str, url: &str) -> Vec<(&'static str, String)> {
    let file = |name: &str| FOLDER.join(name).display().to_string();
    let mut variables = vec![("RRR_REDIS_URL", url.to_owned())];
    match current() {
        RedisMode::Acl
            if name.starts_with("rrr") && url.starts_with("unix:") && !url.contains('?') =>
        {
            let user = user_of(name);
            variables[0].1 = format!("{url}?user={user}");
            let password = file(&format!("{user}.password"));
            variables.push(("RRR_REDIS_PASSWORD_FILE", password));
        }
        RedisMode::Tls if url.starts_with("rediss:") => {
            variables.push(("RRR_REDIS_CA", file("ca.crt")));
            variables.push(("RRR_REDIS_CERT", file("rrr.crt")));
            variables.push(("RRR_REDIS_KEY", file("rrr.key")));
        }
        RedisMode::Trust => match name {
            "rrr-submit" => variables.push(("RRR_SIGN_KEY", file("key"))),
            "rrr-worker" => variables.push(("RRR_TRUST", file("key.pub"))),
            _ => {}
        },
        _ => {}
    }
    variables
}

/// The requests that Redis refused, each as the change of `scripts/redis/users.acl` that would
/// allow it. Refused logins are omitted.
pub fn refusals(conn: &mut redis::Connection) -> Vec<String> {
    let log: Vec<std::collections::HashMap<String, redis::Value>> = redis::cmd("ACL")
        .arg("LOG")
        .arg(128)
        .query(conn)
        .expect("the ACL log");
    let mut refused = Vec::new();
    for entry in log {
        let field = |name: &str| {
            let value = entry.get(name).cloned().unwrap_or(redis::Value::Nil);
            redis::from_redis_value::<String>(value).unwrap_or_default()
        };
        let (user, what, object) = (field("username"), field("reason"), field("object"));
        let missing = match what.as_str() {
            "auth" => continue,
            "key" => format!("~{object} (or %R~ if it only reads it)"),
            "channel" => format!("&{object}"),
            _ => format!("+{object}"),
        };
        refused.push(format!(
            "scripts/redis/users.acl: the line 'user {user}' lacks {missing}"
        ));
    }
    refused
}

fn temporary(prefix: &str) -> PathBuf {
    // Statics are not dropped: a leftover folder below target/ does no harm.
    let folder = tempfile::Builder::new()
        .prefix(prefix)
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"));
    folder.expect("a temporary folder").keep()
}

fn script(name: &str, folder: &Path, args: &[&str]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scripts/redis")
        .join(name);
    let output = Command::new(&path).arg(folder).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(output.status.success(), "{name}: {output:?}");
}
