//! What all tools share on the command line.

use crate::exit::{self, Failure, failure};
use crate::store::Store;
use anyhow::Context;
use std::path::PathBuf;
use std::process::ExitCode;

/// How to reach Redis.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Redis {
    /// Redis to use: redis://, rediss:// or unix:// [default: $REDIS_URL, redis://127.0.0.1:6379]
    #[arg(
        long = "redis",
        value_name = "URL",
        env = "RRR_REDIS_URL",
        hide_env_values = true
    )]
    url: Option<String>,
    /// File with the password of Redis
    #[arg(
        long = "redis-password-file",
        value_name = "FILE",
        env = "RRR_REDIS_PASSWORD_FILE"
    )]
    password_file: Option<PathBuf>,
}

impl Redis {
    /// Settings to reach the Redis of this URL.
    pub fn at(url: String) -> Self {
        Self {
            url: Some(url),
            password_file: None,
        }
    }

    /// The URL, by flag, `RRR_REDIS_URL`, `REDIS_URL` or the default.
    pub fn url(&self) -> String {
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

    /// The file with the password, if any.
    pub fn password_file(&self) -> Option<&PathBuf> {
        self.password_file.as_ref()
    }

    /// The password in the file, if one was named.
    pub fn password(&self) -> anyhow::Result<Option<String>> {
        let Some(path) = &self.password_file else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(path).map_err(|error| {
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

    /// Connects, and checks that this Redis keeps what it is given.
    pub fn connect(&self) -> anyhow::Result<Store> {
        let mut store = Store::connect(&self.url(), self.password()?)?;
        store.check_server()?;
        Ok(store)
    }

    /// Connects without a look at the server: for processes that are started often.
    pub fn connect_quickly(&self) -> anyhow::Result<Store> {
        Store::connect(&self.url(), self.password()?)
    }
}

/// Parses the flags of `tool`, runs it, and maps what comes of it to an exit code.
pub fn main<O: clap::Parser>(tool: &'static str, run: fn(O) -> anyhow::Result<u8>) -> ExitCode {
    let options = match O::try_parse() {
        Ok(options) => options,
        Err(error) => {
            let code = if error.use_stderr() {
                exit::USAGE
            } else {
                exit::OK
            };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let code = crate::stop::listen()
        .context("cannot listen for signals")
        .and_then(|()| run(options))
        .unwrap_or_else(
            |error| match error.downcast_ref::<crate::store::Stopped>() {
                Some(_) => crate::stop::signal_code(),
                None => exit::report(tool, &error),
            },
        );
    ExitCode::from(code)
}

/// A refusal of bad input.
pub fn usage(message: impl Into<String>) -> Failure {
    failure(exit::USAGE, message)
}
