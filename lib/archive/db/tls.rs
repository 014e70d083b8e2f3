//! TLS for PostgreSQL, as configured in the URL: `sslmode`, `sslrootcert`, `sslcert`, `sslkey`.
//!
//! The server and its name are always verified, so `require` means the same as `verify-full`.
//! Without `sslmode` the connection is not encrypted.

use crate::process::exit::{Failure, usage};
use percent_encoding::percent_decode_str;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::collections::BTreeMap;

const MODES: &str = "use sslmode=verify-full (require means the same here), or sslmode=disable";

/// The TLS parameters of a URL, and the URL without them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub url: String,
    /// The files by parameter; `None` for an unencrypted connection.
    files: Option<BTreeMap<String, String>>,
}

impl Wanted {
    /// Extracts the TLS parameters from a URL.
    pub(crate) fn read(url: &str) -> Result<Self, Failure> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut rest = Vec::new();
        let mut mode = None;
        let mut files = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            match name {
                "sslmode" => mode = Some(value),
                "sslrootcert" | "sslcert" | "sslkey" => {
                    files.insert(name.to_owned(), value);
                }
                _ => rest.push(pair),
            }
        }
        let mut url = base.to_owned();
        if !rest.is_empty() {
            url = format!("{base}?{}", rest.join("&"));
        }
        let files = match mode.as_deref() {
            Some("require" | "verify-full") => Some(files),
            Some("disable") | None if files.is_empty() => None,
            Some("disable") | None => {
                // A URL that names an authority asks for TLS, and must not get an unencrypted
                // connection instead.
                let names: Vec<_> = files.into_keys().collect();
                let message = format!(
                    "'{}' needs TLS, but sslmode does not enable it",
                    names.join("', '")
                );
                return Err(usage(message).hint(MODES));
            }
            Some(other) => {
                return Err(usage(format!("'sslmode={other}' is not supported")).hint(MODES));
            }
        };
        Ok(Self { url, files })
    }

    /// Reads the files: again for each connection, so that a renewed certificate does not need a
    /// restart.
    pub(crate) fn config(&self) -> Result<Option<ClientConfig>, Failure> {
        let Some(files) = &self.files else {
            return Ok(None);
        };
        let mut roots = RootCertStore::empty();
        match files.get("sslrootcert") {
            Some(path) => {
                for certificate in certificates(path)? {
                    roots
                        .add(certificate)
                        .map_err(|error| unusable(path, &error))?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
            }
        }
        let config = ClientConfig::builder().with_root_certificates(roots);
        let config = match (files.get("sslcert"), files.get("sslkey")) {
            (None, None) => config.with_no_client_auth(),
            (Some(chain), Some(key)) => {
                let secret =
                    PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
                config
                    .with_client_auth_cert(certificates(chain)?, secret)
                    .map_err(|error| unusable(chain, &error))?
            }
            _ => {
                return Err(
                    usage("a client certificate needs its key, and a key its certificate")
                        .hint("pass both sslcert=FILE and sslkey=FILE"),
                );
            }
        };
        Ok(Some(config))
    }
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let all = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(path, &error))?;
    let all: Result<Vec<_>, _> = all.collect();
    let all = all.map_err(|error| unreadable(path, &error))?;
    if all.is_empty() {
        return Err(
            usage(format!("'{path}' does not contain a certificate")).hint("it must be in PEM")
        );
    }
    Ok(all)
}

fn unreadable(path: &str, error: &pem::Error) -> Failure {
    usage(format!("cannot read '{path}': {error}")).hint("certificates and keys must be in PEM")
}

fn unusable(path: &str, error: &rustls::Error) -> Failure {
    usage(format!("cannot use '{path}': {error}"))
        .hint("certificates and keys must be in PEM, and belong together")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_parameters_are_removed_from_the_url() {
        let url = "postgres://u@h/d?a=1&sslmode=require&sslrootcert=%2Fa%20b.crt&c=2";
        let wanted = Wanted::read(url).unwrap();
        assert_eq!(wanted.url, "postgres://u@h/d?a=1&c=2");
        assert_eq!(wanted.files.unwrap()["sslrootcert"], "/a b.crt");
        for plain in ["postgres://h/d", "postgres://h/d?sslmode=disable"] {
            let wanted = Wanted::read(plain).unwrap();
            assert_eq!(wanted.url, "postgres://h/d");
            assert!(wanted.files.is_none() && wanted.config().unwrap().is_none());
        }
    }

    #[test]
    fn no_connection_looks_safer_than_it_is() {
        for url in [
            "postgres://h/d?sslmode=prefer",
            "postgres://h/d?sslmode=allow",
            "postgres://h/d?sslmode=verify-ca",
            "postgres://h/d?sslrootcert=/ca.crt",
            "postgres://h/d?sslmode=disable&sslkey=/k",
        ] {
            assert!(Wanted::read(url).is_err(), "{url}");
        }
        for url in [
            "postgres://h/d?sslmode=require&sslrootcert=/no/such",
            "postgres://h/d?sslmode=require&sslcert=/etc/hostname",
        ] {
            assert!(Wanted::read(url).unwrap().config().is_err(), "{url}");
        }
    }
}
