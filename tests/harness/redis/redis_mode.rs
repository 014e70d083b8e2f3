//! Other ways for the tools to reach the test's Redis, chosen for a whole run of the tests by
//! `RRR_TEST_REDIS`, so that the usual suite proves them too:
//!
//! - `acl`: each tool as its own user of `scripts/redis/users.acl`; the test fails when one was
//!   refused something;
//! - `tls`: over TLS, with the certificates of `scripts/redis/make-certificates` on both sides;
//! - `trust`: as usual, but submitters sign and workers run only what is signed.
//!
//! The test's own connections stay what they are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// How tools connect.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Guise {
    Plain,
    Acl,
    Tls,
    Trust,
}

/// That of this run.
pub fn guise() -> Guise {
    match std::env::var("RRR_TEST_REDIS").as_deref() {
        Err(_) | Ok("") => Guise::Plain,
        Ok("acl") => Guise::Acl,
        Ok("tls") => Guise::Tls,
        Ok("trust") => Guise::Trust,
        Ok(other) => panic!("RRR_TEST_REDIS={other}: it is none of acl, tls, trust"),
    }
}

/// What belongs to the guise: made once for a test process, by the scripts that users run.
pub static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| match guise() {
    Guise::Plain => unreachable!("nothing belongs to no guise"),
    Guise::Acl => users(),
    Guise::Tls => certificates(&["127.0.0.1", "localhost"]),
    Guise::Trust => keys(),
});

/// A folder with `users.acl` and the passwords. The user `default`, which is the test itself,
/// needs none.
pub fn users() -> PathBuf {
    users_and_workers(&[])
}

/// The same, and a user for each of these workers.
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

/// A folder with an authority, a certificate of the server for `hosts`, and one of the roles.
pub fn certificates(hosts: &[&str]) -> PathBuf {
    let folder = temporary("rrr-certificates.");
    script("make-certificates", &folder, hosts);
    folder
}

/// A folder with a key to sign with, `key`, and what trusts it, `key.pub`.
fn keys() -> PathBuf {
    let folder = temporary("rrr-keys.");
    rrr::suite::signing::generate(&folder.join("key")).expect("a key");
    folder
}

/// The settings of a server with TLS on `port`, which asks clients for a certificate.
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

/// The user as whom a tool comes.
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

/// The variables that make the tool `name` come in this guise to the server with that URL. A
/// program that is none of ours, such as a shell that starts several, comes as the test itself.
pub fn variables(name: &str, url: &str) -> Vec<(&'static str, String)> {
    let file = |name: &str| FOLDER.join(name).display().to_string();
    let mut variables = vec![("RRR_REDIS_URL", url.to_owned())];
    match guise() {
        Guise::Acl if name.starts_with("rrr") && url.starts_with("unix:") && !url.contains('?') => {
            let user = user_of(name);
            variables[0].1 = format!("{url}?user={user}");
            let password = file(&format!("{user}.password"));
            variables.push(("RRR_REDIS_PASSWORD_FILE", password));
        }
        Guise::Tls if url.starts_with("rediss:") => {
            variables.push(("RRR_REDIS_CA", file("ca.crt")));
            variables.push(("RRR_REDIS_CERT", file("rrr.crt")));
            variables.push(("RRR_REDIS_KEY", file("rrr.key")));
        }
        Guise::Trust => match name {
            "rrr-submit" => variables.push(("RRR_SIGN_KEY", file("key"))),
            "rrr-worker" => variables.push(("RRR_TRUST", file("key.pub"))),
            _ => {}
        },
        _ => {}
    }
    variables
}

/// What Redis refused to the users, each as the change of `scripts/redis/users.acl` that would
/// allow it; refused logins are left out.
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
    // Statics are not dropped: below target/ a left folder is in nobody's way.
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
