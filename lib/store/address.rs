//! The address of Redis: one server, or the master that Sentinels name; with or without TLS; and
//! the login.
//!
//! The wait for every reply is bounded, including those to the login and from a Sentinel. So
//! connections are opened without a login, which is then sent as an ordinary command.

use super::CONNECT_TIMEOUT;
use crate::process::exit::{self, Failure, failure};
use crate::process::regular_file::{self, Links};
use redis::{
    Client, ClientTlsConfig, Connection, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo, RedisConnectionInfo, RedisError, RedisResult, TlsCertificates,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Maximum size of a certificate file in bytes: the system's has a quarter of a million.
const LARGEST: u64 = 4 << 20;

/// The files of a TLS connection, in PEM. The server is always verified.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Authorities that may have signed the server's certificate; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// The client's certificate, with its chain.
    pub cert: Option<PathBuf>,
    /// The key of `cert`.
    pub key: Option<PathBuf>,
}

impl Tls {
    /// Reads the files again for each connection, so that a renewed certificate needs no restart.
    fn read(&self) -> Result<TlsCertificates, Failure> {
        let read = |path: &Option<PathBuf>| {
            path.as_ref()
                .map(|path| {
                    regular_file::read(path, Links::Follow, LARGEST).map_err(|error| {
                        failure(
                            exit::USAGE,
                            format!("cannot read '{}': {error}", path.display()),
                        )
                    })
                })
                .transpose()
        };
        let client_tls = match (read(&self.cert)?, read(&self.key)?) {
            (Some(client_cert), Some(client_key)) => Some(ClientTlsConfig {
                client_cert,
                client_key,
            }),
            (None, None) => None,
            _ => {
                return Err(failure(
                    exit::USAGE,
                    "a client certificate requires its key, and a key its certificate",
                )
                .hint("pass both --redis-cert and --redis-key"));
            }
        };
        Ok(TlsCertificates {
            client_tls,
            root_cert: read(&self.ca)?,
        })
    }

    fn is_named(&self) -> bool {
        self.ca.is_some() || self.cert.is_some() || self.key.is_some()
    }
}

#[derive(Clone)]
enum Route {
    Server(ConnectionAddr),
    Sentinels {
        nodes: Vec<ConnectionAddr>,
        master: String,
    },
}

/// A Redis to connect to.
#[derive(Clone)]
pub struct Address {
    route: Route,
    login: RedisConnectionInfo,
    tls: Tls,
    shown: String,
}

const FORMS: &str = "use redis://HOST:PORT, rediss://HOST:PORT, unix:///PATH or redis+sentinel://HOST:PORT,HOST:PORT/MASTER";

impl Address {
    /// Parses a URL; `password` replaces the one in it. Errors name the problem (exit code 2).
    pub fn parse(url: &str, password: Option<String>, tls: Tls) -> Result<Self, Failure> {
        let shown = crate::process::url::shown(url);
        let bad = |why: &dyn std::fmt::Display| {
            failure(exit::USAGE, format!("'{shown}' is not a Redis URL: {why}")).hint(FORMS)
        };
        if url.contains('#') {
            return Err(bad(&"it has a '#'; the server is always verified"));
        }
        let (route, mut login) = match url.split_once("+sentinel://") {
            Some((scheme @ ("redis" | "rediss"), rest)) => {
                sentinels(scheme, rest).map_err(|why| bad(&why))?
            }
            Some(_) => return Err(bad(&"unknown scheme")),
            None => {
                let info = url
                    .into_connection_info()
                    .map_err(|error| bad(&plain(&error)))?;
                (
                    Route::Server(info.addr().clone()),
                    info.redis_settings().clone(),
                )
            }
        };
        if let Some(password) = password.filter(|password| !password.is_empty()) {
            login = login.set_password(password);
        }
        let address = Self {
            route,
            login,
            tls,
            shown,
        };
        address.check_tls()?;
        Ok(address)
    }

    /// Refuses TLS files that are unusable or would not be used.
    fn check_tls(&self) -> Result<(), Failure> {
        let first = match &self.route {
            Route::Server(addr) => addr,
            Route::Sentinels { nodes, .. } => &nodes[0],
        };
        match first {
            ConnectionAddr::TcpTls { .. } => {
                let certificates = self.tls.read()?;
                Client::build_with_tls(first.clone(), certificates).map_err(|error| {
                    let files = [&self.tls.ca, &self.tls.cert, &self.tls.key];
                    let files: Vec<_> = files
                        .into_iter()
                        .flatten()
                        .map(|path| format!("'{}'", path.display()))
                        .collect();
                    failure(
                        exit::USAGE,
                        format!("cannot use the TLS files {}: {error}", files.join(", ")),
                    )
                    .hint("certificates and keys must be in PEM")
                })?;
                Ok(())
            }
            // Passing an authority asks for TLS, which must not silently become a plain connection.
            ConnectionAddr::Tcp(..) if self.tls.is_named() => Err(failure(
                exit::USAGE,
                format!("'{}' is not a TLS connection, but TLS files are given", self.shown),
            )
            .hint("use rediss:// instead of redis://, or omit --redis-ca, --redis-cert and --redis-key")),
            _ => Ok(()),
        }
    }

    /// The password used for the login.
    pub(crate) fn password(&self) -> Option<&str> {
        self.login.password()
    }

    /// Whether the master is found through Sentinels.
    pub(crate) fn has_sentinels(&self) -> bool {
        matches!(self.route, Route::Sentinels { .. })
    }

    /// The URL without its password, for messages.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Opens a connection and logs in; each reply on it takes at most `answer`.
    pub(crate) fn open(&self, answer: Duration) -> RedisResult<Connection> {
        match &self.route {
            Route::Server(addr) => self.dial(addr.clone(), &self.login, answer),
            Route::Sentinels { nodes, master } => {
                let mut last = RedisError::from(not_now("no Sentinel given".to_owned()));
                for node in nodes {
                    match self.master(node, master, answer) {
                        Ok(connection) => return Ok(connection),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    /// Connects to the master that this Sentinel names. The role is checked, since writes to a
    /// master that has just been demoted would be lost.
    fn master(
        &self,
        node: &ConnectionAddr,
        name: &str,
        limit: Duration,
    ) -> RedisResult<Connection> {
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        let none = RedisConnectionInfo::default();
        let mut answer: RedisResult<Option<(String, u16)>> = self
            .dial(node.clone(), &none, limit)
            .and_then(|mut c| ask.query(&mut c));
        // A Sentinel that requires a login gets the same one.
        if answer
            .as_ref()
            .is_err_and(|error| error.code() == Some("NOAUTH"))
        {
            let login = self.login.clone().set_db(0);
            answer = self
                .dial(node.clone(), &login, limit)
                .and_then(|mut c| ask.query(&mut c));
        }
        let Some((host, port)) = answer? else {
            return Err(not_now(format!(
                "the Sentinel at {node} does not know a master '{name}'"
            ))
            .into());
        };
        let addr = match node {
            ConnectionAddr::TcpTls { .. } => secure(host, port),
            _ => ConnectionAddr::Tcp(host, port),
        };
        let mut connection = self.dial(addr.clone(), &self.login, limit)?;
        let role: Vec<redis::Value> = redis::cmd("ROLE").query(&mut connection)?;
        match role
            .into_iter()
            .next()
            .map(redis::from_redis_value::<String>)
        {
            Some(Ok(role)) if role == "master" => Ok(connection),
            _ => Err(not_now(format!("the Redis at {addr} is no longer a master")).into()),
        }
    }

    fn dial(
        &self,
        addr: ConnectionAddr,
        login: &RedisConnectionInfo,
        answer: Duration,
    ) -> RedisResult<Connection> {
        let bare = RedisConnectionInfo::default().set_skip_set_lib_name();
        let info: ConnectionInfo = addr.into_connection_info()?.set_redis_settings(bare);
        let encrypted = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        let client = if encrypted {
            let files = self.tls.read().map_err(|bad| not_now(bad.message))?;
            Client::build_with_tls(info, files).map_err(|error| not_now(error.to_string()))?
        } else {
            Client::open(info)?
        };
        // A certificate that was renewed half-way does not match its key for a moment.
        let mut connection = client
            .get_connection_with_timeout(CONNECT_TIMEOUT)
            .map_err(|error| match error.kind() {
                ErrorKind::InvalidClientConfig => not_now(error.to_string()).into(),
                _ => error,
            })?;
        connection.set_read_timeout(Some(answer))?;
        connection.set_write_timeout(Some(answer))?;
        if let Some(password) = login.password() {
            let mut auth = redis::cmd("AUTH");
            if let Some(user) = login.username() {
                auth.arg(user);
            }
            auth.arg(password).exec(&mut connection)?;
        }
        if login.db() != 0 {
            redis::cmd("SELECT").arg(login.db()).exec(&mut connection)?;
        } else if encrypted {
            // The handshake happens with the first command: a ping here, so that its failure is
            // reported as one to connect.
            redis::cmd("PING").exec(&mut connection)?;
        }
        Ok(connection)
    }
}

/// The library's reason why a URL is invalid, without the library's own words.
fn plain(error: &RedisError) -> String {
    let text = error.to_string();
    let text = text.split(" - ").next().unwrap_or_default();
    match text {
        "Redis URL did not parse" => "its host, port or database is invalid".to_owned(),
        other => other.to_lowercase(),
    }
}

/// A failure that a retry may resolve.
fn not_now(why: String) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::NotConnected, why)
}

fn secure(host: String, port: u16) -> ConnectionAddr {
    ConnectionAddr::TcpTls {
        host,
        port,
        insecure: false,
        tls_params: None,
    }
}

/// Reads `[USER[:PASSWORD]@]HOST[:PORT],…/MASTER[/DB]`.
fn sentinels(scheme: &str, rest: &str) -> Result<(Route, RedisConnectionInfo), String> {
    let (place, path) = rest.split_once('/').ok_or("no master given")?;
    let (login, hosts) = match place.rsplit_once('@') {
        Some((login, hosts)) => (format!("{login}@"), hosts),
        None => (String::new(), place),
    };
    let (master, db) = path.split_once('/').unwrap_or((path, ""));
    if master.is_empty() {
        return Err("no master given".to_owned());
    }
    let read = |url: String| {
        url.into_connection_info()
            .map_err(|error| error.to_string())
    };
    let login = read(format!("redis://{login}host/{db}"))?;
    let mut nodes = Vec::new();
    for host in hosts.split(',') {
        // A colon inside brackets belongs to an IPv6 address.
        let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
        let port = if has_port { "" } else { ":26379" };
        nodes.push(read(format!("{scheme}://{host}{port}"))?.addr().clone());
    }
    let master = master.to_owned();
    Ok((
        Route::Sentinels { nodes, master },
        login.redis_settings().clone(),
    ))
}

/// The hint for a connection that failed in this way.
pub(crate) fn hint(error: &RedisError) -> &'static str {
    let text = error.to_string();
    if super::error::is_forbidden(error) {
        "check the password: redis://USER:PASSWORD@HOST, or --redis-password-file"
    } else if text.contains("CertificateRequired") {
        "pass this client's certificate: --redis-cert FILE --redis-key FILE"
    } else if text.contains("certificate") {
        "pass the authority of the server's certificate by --redis-ca FILE, and the host name in it by --redis"
    } else if text.contains("Sentinel") || text.contains("master") {
        "redis+sentinel://HOST:PORT,HOST:PORT/MASTER, with the master's name as the Sentinels know it"
    } else {
        "start redis-server, or pass --redis URL"
    }
}

/// The absolute path, for a process with another working directory.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, Failure> {
        Address::parse(url, None, Tls::default())
    }

    #[test]
    fn a_sentinel_url_names_nodes_master_login_and_database() {
        let address = parse("redis+sentinel://me:s%2Fx@a,b:7,[::1]:8,[::2]/tests/3")
            .unwrap_or_else(|e| panic!("{e}"));
        let Route::Sentinels { nodes, master } = &address.route else {
            panic!("not Sentinels");
        };
        let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        assert_eq!(nodes, ["a:26379", "b:7", "::1:8", "::2:26379"]);
        assert_eq!(master, "tests");
        let login = &address.login;
        assert_eq!(
            (login.username(), login.password()),
            (Some("me"), Some("s/x"))
        );
        assert_eq!(login.db(), 3);
        assert_eq!(
            address.shown(),
            "redis+sentinel://a,b:7,[::1]:8,[::2]/tests/3"
        );
    }

    #[test]
    fn meaningless_urls_are_refused() {
        for (url, says) in [
            ("bogus", "not a Redis URL"),
            ("http://h", "not a Redis URL"),
            ("redis+sentinel://h", "no master"),
            ("redis+sentinel://h/", "no master"),
            ("redis+sentinel://h/m/x", "database"),
            ("redis+sentinel://,/m", "not a Redis URL"),
            ("unix+sentinel://h/m", "scheme"),
            ("rediss://h#insecure", "always verified"),
            ("rediss+sentinel://h/m#insecure", "always verified"),
        ] {
            let refused = parse(url)
                .err()
                .unwrap_or_else(|| panic!("{url} was taken"));
            assert_eq!(refused.code, exit::USAGE);
            let message = refused.message.to_lowercase();
            assert!(message.contains(&says.to_lowercase()), "{url}: {message}");
        }
    }

    #[test]
    fn an_authority_for_a_plain_connection_is_refused() {
        let tls = Tls {
            ca: Some("/etc/ca.pem".into()),
            ..Tls::default()
        };
        for url in ["redis://h", "redis+sentinel://h/m"] {
            assert!(Address::parse(url, None, tls.clone()).is_err(), "{url}");
        }
        // With a private server, the TLS files of a shared one are ignored.
        assert!(Address::parse("unix:///s", None, tls).is_ok());
    }

    #[test]
    fn a_password_is_not_shown() {
        for url in ["redis://u:secret@h", "unix:///s?user=u&pass=secret"] {
            let address = parse(url).unwrap_or_else(|e| panic!("{e}"));
            assert!(!address.shown().contains("secret"), "{}", address.shown());
        }
    }
}
