//! The flags for connecting to Redis.

use crate::process::exit::{self, failure};
use crate::process::regular_file::{self, Links};
use crate::process::secret::Secret;
use crate::process::url::without_password;
use crate::process::{signals, stderr, systemd};
use crate::store::Store;
use crate::store::address::{self, Address, Tls};
use crate::store::observer::{self, Observer};
use anyhow::Context;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

/// The flags for connecting to Redis.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RedisArgs {
    /// redis://, rediss://, unix:// or redis+sentinel:// [$REDIS_URL, or redis://127.0.0.1:6379]
    #[arg(
        long = "redis",
        value_name = "URL",
        env = "RRR_REDIS_URL",
        hide_env_values = true
    )]
    url: Option<String>,
    /// File with the Redis password
    #[arg(
        long = "redis-password-file",
        value_name = "FILE",
        hide_short_help = true
    )]
    password_file: Option<PathBuf>,
    // Rarely used flags appear only in the man page, to keep --help on one screen.
    /// Certificate authorities for Redis, in PEM [default: the system's]
    #[arg(long = "redis-ca", value_name = "FILE", hide_short_help = true)]
    ca: Option<PathBuf>,
    /// Client certificate for Redis, in PEM
    #[arg(long = "redis-cert", value_name = "FILE", hide_short_help = true)]
    cert: Option<PathBuf>,
    /// Key of the client certificate, in PEM
    #[arg(long = "redis-key", value_name = "FILE", hide_short_help = true)]
    key: Option<PathBuf>,
    /// A password that is not in a file.
    #[arg(skip)]
    secret: Option<Secret>,
}

impl RedisArgs {
    /// Settings for the Redis at this URL.
    pub fn at(url: String) -> Self {
        Self {
            url: Some(url),
            ..Self::default()
        }
    }

    /// Settings with a password that is not in a file.
    pub(crate) fn with_secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// The URL: from the flag, `RRR_REDIS_URL`, `REDIS_URL` or the default.
    pub(crate) fn url(&self) -> String {
        self.url
            .clone()
            .filter(|url| !url.is_empty())
            .or_else(|| {
                std::env::var("REDIS_URL")
                    .ok()
                    .filter(|url| !url.is_empty())
            })
            .unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned())
    }

    /// Makes the process that `command` starts use the same Redis, from any folder. Returns the
    /// write end of its stdin, if the password is sent that way: any process of this user can read
    /// an environment.
    pub(crate) fn pass_on(&self, command: &mut Command) -> std::io::Result<Option<UnixStream>> {
        let url = self.url();
        let open = without_password(&url);
        if open != url {
            let same = std::env::vars_os().filter(|(_, value)| *value == *url);
            for (name, _) in same {
                command.env_remove(name);
            }
        }
        command.env("RRR_REDIS_URL", &open);
        for (name, file) in [
            ("RRR_REDIS_PASSWORD_FILE", &self.password_file),
            ("RRR_REDIS_CA", &self.ca),
            ("RRR_REDIS_CERT", &self.cert),
            ("RRR_REDIS_KEY", &self.key),
        ] {
            match file {
                Some(file) => command.env(name, address::absolute(file)),
                None => command.env_remove(name),
            };
        }
        let secret = match (&self.secret, self.password_in_url(&url, &open)?) {
            (None, None) => Secret::given()?,
            (None, Some(password)) => {
                command.env_remove("RRR_REDIS_PASSWORD_FILE");
                Some(Secret::new(password)?)
            }
            (known, _) => known.clone(),
        };
        match secret {
            Some(secret) => secret.pass_on(command).map(Some),
            None => {
                command.env_remove(Secret::VARIABLE);
                Ok(None)
            }
        }
    }

    /// The password in the `url`, if it is the effective one; `open` is the URL without it.
    pub(crate) fn password_in_url(&self, url: &str, open: &str) -> std::io::Result<Option<String>> {
        let by_other_means = self.password().map_err(std::io::Error::other)?;
        if by_other_means.is_some_and(|password| !password.is_empty()) {
            return Ok(None);
        }
        let read = |url: &str| {
            let address = Address::parse(url, None, self.tls());
            let password = |address: Address| address.password().map(str::to_owned);
            address
                .map(password)
                .map_err(|bad| std::io::Error::other(bad.message))
        };
        if read(open)?.is_some() {
            return Err(std::io::Error::other(
                "cannot find the password in the Redis URL; pass it with --redis-password-file",
            ));
        }
        read(url)
    }

    pub(crate) fn tls(&self) -> Tls {
        Tls {
            ca: self.ca.clone(),
            cert: self.cert.clone(),
            key: self.key.clone(),
        }
    }

    pub(crate) fn address(&self) -> anyhow::Result<Address> {
        Ok(Address::parse(&self.url(), self.password()?, self.tls())?)
    }

    /// The password in the file, if one is set.
    pub(crate) fn password(&self) -> anyhow::Result<Option<String>> {
        let Some(path) = &self.password_file else {
            let secret = match &self.secret {
                None => Secret::given().context("cannot read the Redis password from stdin")?,
                known => known.clone(),
            };
            return Ok(secret.map(Secret::into_text));
        };
        let text = regular_file::read_text(path, Links::Follow, 64 << 10).map_err(|error| {
            failure(
                exit::USAGE,
                format!(
                    "cannot read the password file '{}': {error}",
                    path.display()
                ),
            )
        })?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// Connects, and checks that this Redis does not evict or lose data.
    pub fn connect(&self) -> anyhow::Result<Store> {
        // Nothing has been done yet that would have to be completed.
        signals::end_at_once(true);
        let mut store = self.connect_quickly()?;
        store.check_server()?;
        signals::end_at_once(false);
        Ok(store)
    }

    /// Connects without checking the server, for processes that are started often.
    pub(crate) fn connect_quickly(&self) -> anyhow::Result<Store> {
        observer::install(&Reporter);
        Store::connect(self.address()?)
    }
}

/// Prints outages and notes on stderr, and feeds each answer to systemd's watchdog.
struct Reporter;

impl Observer for Reporter {
    fn answered(&self) {
        systemd::answered();
    }

    fn lost(&self, address: &str, why: &str) {
        stderr::line(&format!(
            "lost Redis at '{address}' ({why}): waiting for it"
        ));
    }

    fn back(&self, address: &str) {
        stderr::line(&format!("Redis at '{address}' is back"));
    }

    fn note(&self, message: &str) {
        stderr::line(message);
    }
}
