//! Signed tasksets: a worker with --trust runs only tasksets signed with a trusted key, whoever can
//! write to Redis (FAULTS S1).
//!
//! The submitter signs, with Ed25519, everything that determines the commands of a worker, the
//! taskset's id, and an expiry time, so that a signature can neither be moved to another taskset
//! nor be reused later. The signed bytes are `rrr-taskset-1`, then for each of [`field::SIGNED`] its name,
//! the length of its value in bytes, and the value, each on a separate line.

mod ended;

pub(crate) use ended::EndedRuns;

use crate::process::exit::{Failure, usage};
use crate::process::regular_file::{self, Links};
use crate::process::text;
use crate::protocol::key::TasksetKey;
use crate::protocol::task::{DEFAULT_LEAST_SEC, DEFAULT_UNKNOWN_SEC};
use crate::protocol::taskset_field as field;
use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const SECRET: &str = "rrr-ed25519-secret";
const PUBLIC: &str = "rrr-ed25519-public";
/// Maximum difference between the clocks of a submitter and a worker, in seconds.
const SKEW: i64 = 300;

type Fields = HashMap<String, String>;

/// The digest of the task list: the spec files in order, each with its length.
pub fn digest<'a>(spec_files: impl Iterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for file in spec_files {
        hash.update((file.len() as u64).to_be_bytes());
        hash.update(file.as_bytes());
    }
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Maximum bytes of a file with keys.
const MOST: u64 = 1 << 20;
/// Maximum bytes of the file with the signed task list.
const MOST_SIGNED: u64 = 1 << 30;

fn signed_bytes(taskset: &TasksetKey, fields: &Fields) -> Vec<u8> {
    let mut bytes = b"rrr-taskset-1\n".to_vec();
    let mut add = |name: &str, value: &str| {
        bytes.extend_from_slice(format!("{name}\n{}\n{value}\n", value.len()).as_bytes());
    };
    add("taskset", taskset.as_str());
    for name in field::SIGNED {
        add(name, fields.get(name).map_or("", String::as_str));
    }
    for name in field::SIGNED_IF_SET {
        if let Some(value) = fields.get(name).filter(|text| !text.is_empty()) {
            add(name, value);
        }
    }
    bytes
}

/// Checks that the fields and the task list were signed with one of `keys`.
fn verify<'a>(
    keys: &[VerifyingKey],
    whose: &str,
    taskset: &TasksetKey,
    fields: &Fields,
    spec_files: impl Iterator<Item = &'a str>,
) -> Result<(), String> {
    let text = |name: &str| fields.get(name).map_or("", String::as_str);
    if text(field::SIGNATURE).is_empty() {
        return Err("it is not signed".into());
    }
    let signature = bytes_of::<64>(text(field::SIGNATURE)).ok_or("its signature is malformed")?;
    let signature = Signature::from_bytes(&signature);
    let bytes = signed_bytes(taskset, fields);
    let is_by = |key: &VerifyingKey| key.verify_strict(&bytes, &signature).is_ok();
    if !keys.iter().any(is_by) {
        return Err(format!(
            "it was changed after it was signed, or not signed by {whose}"
        ));
    }
    if text(field::TASKS_DIGEST) != digest(spec_files) {
        return Err("its list of tasks was changed after it was signed".into());
    }
    Ok(())
}

/// The identity of a signed run: equal only if everything signed is equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SignedRun {
    taskset: TasksetKey,
    /// Expiry of the signature.
    until: i64,
    digest: String,
}

/// The signer of tasksets.
pub struct Signer(SigningKey);

impl Signer {
    /// Reads a secret key, whose file other users must not be able to read.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let bad = |why: String| usage(format!("cannot sign with '{}': {why}", path.display()));
        let text = regular_file::read_text(path, Links::Follow, MOST)
            .map_err(|error| bad(error.to_string()))?;
        if text.starts_with(PUBLIC) {
            return Err(bad("it is a public key".into())
                .hint("pass the secret key: the file of the same name without .pub"));
        }
        let mode = std::fs::metadata(path).map_err(|error| bad(error.to_string()))?;
        if text.starts_with(SECRET) && mode.mode() & 0o077 != 0 {
            let word = text::shell_word(&path.display().to_string());
            return Err(bad("others can read it".into()).hint(format!("chmod 600 {word}")));
        }
        let mut words = text.split_whitespace();
        match (words.next(), words.next().and_then(bytes_of::<32>)) {
            (Some(SECRET), Some(secret)) => Ok(Self(SigningKey::from_bytes(&secret))),
            _ => Err(bad("it is not a secret key".into()).hint("rrr-keygen FILE creates one")),
        }
    }

    /// Checks that this key has signed a taskset, at any time.
    pub(crate) fn has_signed<'a>(
        &self,
        taskset: &TasksetKey,
        fields: &Fields,
        spec_files: impl Iterator<Item = &'a str>,
    ) -> Result<(), String> {
        let key = self.0.verifying_key();
        verify(&[key], "this key", taskset, fields, spec_files)
    }

    /// Adds a signature to the fields of a taskset; it expires `seconds` after `now`.
    pub fn sign(&self, taskset: &TasksetKey, fields: &mut Fields, now: i64, seconds: u64) {
        let until = now.saturating_add_unsigned(seconds);
        fields.insert(field::SIGNED_AT.into(), now.to_string());
        fields.insert(field::SIGNED_UNTIL.into(), until.to_string());
        let signature = self.0.sign(&signed_bytes(taskset, fields));
        fields.insert(
            field::SIGNATURE.into(),
            BASE64_STANDARD.encode(signature.to_bytes()),
        );
    }
}

/// The keys that a worker trusts.
pub struct Trust {
    path: PathBuf,
    keys: Vec<VerifyingKey>,
}

impl Trust {
    /// Reads public keys, one per line; `#` begins a comment.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let text = read_guarded(path)
            .map_err(|error| usage(format!("cannot read the keys in '{shown}': {error}")))?;
        let text = text.map_err(|why| {
            usage(format!("cannot trust '{shown}': {why}")).hint(format!(
                "make it owned by root or yourself and not writable by others: ls -ld '{shown}'"
            ))
        })?;
        let mut keys = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let mut words = line
                .split('#')
                .next()
                .unwrap_or_default()
                .split_whitespace();
            let Some(kind) = words.next() else { continue };
            let key = words
                .next()
                .and_then(bytes_of::<32>)
                .and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok())
                .filter(|key| kind == PUBLIC && !key.is_weak());
            keys.push(key.ok_or_else(|| {
                usage(format!("'{shown}', line {}: not a public key", number + 1))
                    .hint("copy the lines that rrr-keygen writes to FILE.pub")
            })?);
        }
        if keys.is_empty() {
            return Err(usage(format!("'{shown}' contains no keys")));
        }
        Ok(Self {
            path: path.to_owned(),
            keys,
        })
    }

    /// Checks a taskset as it is in Redis, with the spec files of its tasks; returns the identity
    /// of the run. Errors give the reason for refusing it.
    pub fn check<'a>(
        &self,
        taskset: &TasksetKey,
        fields: &Fields,
        spec_files: impl Iterator<Item = &'a str>,
        now: i64,
    ) -> Result<SignedRun, String> {
        let whose = format!("a key in '{}'", self.path.display());
        verify(&self.keys, &whose, taskset, fields, spec_files)?;
        let text = |name: &str| fields.get(name).map_or("", String::as_str);
        // From here on the fields are those that the signer wrote.
        let time = |name: &str| {
            text(name)
                .parse::<i64>()
                .map_err(|_| format!("{name} is not a time"))
        };
        if time(field::SIGNED_AT)? > now.saturating_add(SKEW) {
            return Err("it was signed in the future: compare the clocks".into());
        }
        let until = time(field::SIGNED_UNTIL)?;
        if until < now {
            return Err(
                "its signature has expired (rrr-submit --sign-for sets the validity)".into(),
            );
        }
        Ok(SignedRun {
            taskset: taskset.clone(),
            until,
            digest: hex(&Sha256::digest(signed_bytes(taskset, fields))),
        })
    }
}

/// Reads a file of trusted keys, unless other users can change it or replace it at its path. The
/// inner error gives the reason.
fn read_guarded(path: &Path) -> std::io::Result<Result<String, String>> {
    let path = path.canonicalize()?;
    let file = regular_file::open(&path, Links::Refuse)?;
    let owners = [0, rustix::process::geteuid().as_raw()];
    let known = file.metadata()?;
    let folder = path.parent().unwrap_or(&path);
    for (known, place) in [(&known, &*path), (&folder.metadata()?, folder)] {
        if !owners.contains(&known.uid()) {
            let place = place.display();
            return Ok(Err(format!("'{place}' belongs to another user")));
        }
    }
    if known.mode() & 0o022 != 0 {
        return Ok(Err("others can write to it".into()));
    }
    for folder in folder.ancestors() {
        // In a sticky folder such as /tmp, users cannot replace each other's files.
        let mode = folder.metadata()?.mode();
        if mode & 0o022 != 0 && mode & 0o1000 == 0 {
            let folder = folder.display();
            return Ok(Err(format!("others can write to the folder '{folder}'")));
        }
    }
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text)?;
    Ok(Ok(text))
}

/// The signed values that a slave uses instead of those in Redis, which may have changed: the
/// worker that has checked the signature passes them on in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signed {
    /// Seconds for a task without an estimate.
    pub unknown_sec: u64,
    /// Minimum seconds for any task.
    pub least_sec: u64,
    /// The only tasks that may run.
    pub spec_files: HashSet<String>,
}

impl Signed {
    /// The variable that names the file.
    pub(crate) const VARIABLE: &str = "RRR_SIGNED";

    /// The signed values of a taskset that was [checked](Trust::check).
    pub(crate) fn of<'a>(fields: &Fields, spec_files: impl Iterator<Item = &'a str>) -> Self {
        let number = |name: &str| fields.get(name).and_then(|text| text.parse().ok());
        Self {
            unknown_sec: number(field::UNKNOWN_SPEC_TIMEOUT_SEC).unwrap_or(DEFAULT_UNKNOWN_SEC),
            least_sec: number(field::LEAST_TIMEOUT_SEC).unwrap_or(DEFAULT_LEAST_SEC),
            spec_files: spec_files.map(str::to_owned).collect(),
        }
    }

    /// Writes the limits, then one spec file per line, since spec files contain no line breaks.
    pub(crate) fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(out, "{} {}", self.unknown_sec, self.least_sec)?;
        let mut files = self.spec_files.iter();
        files.try_for_each(|file| writeln!(out, "{file}"))
    }

    /// Reads the file set by the worker; `None` if the worker runs without --trust.
    pub(crate) fn load() -> anyhow::Result<Option<Self>> {
        let Some(path) = std::env::var_os(Self::VARIABLE) else {
            return Ok(None);
        };
        let text = regular_file::read_text(Path::new(&path), Links::Refuse, MOST_SIGNED)?;
        let read = Self::read(&text).context("the file with the signed task list is damaged")?;
        Ok(Some(read))
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (unknown, least) = lines.next()?.split_once(' ')?;
        Some(Self {
            unknown_sec: unknown.parse().ok()?,
            least_sec: least.parse().ok()?,
            spec_files: lines.map(str::to_owned).collect(),
        })
    }
}

/// Generates a key pair: the secret key in `path`, readable only by its owner, and the public key
/// in `path.pub`. Neither file may exist.
pub fn generate(path: &Path) -> anyhow::Result<String> {
    let mut secret = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut secret)?;
    let key = SigningKey::from_bytes(&secret);
    let write = |path: &Path, mode: u32, text: &str| {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        let written = options.open(path).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        written.map_err(|error| usage(format!("cannot write '{}': {error}", path.display())))
    };
    let mut public_path = path.as_os_str().to_owned();
    public_path.push(".pub");
    let public = format!(
        "{PUBLIC} {}",
        BASE64_STANDARD.encode(key.verifying_key().to_bytes())
    );
    write(Path::new(&public_path), 0o644, &format!("{public}\n"))?;
    write(
        path,
        0o600,
        &format!("{SECRET} {}\n", BASE64_STANDARD.encode(secret)),
    )?;
    Ok(public)
}

fn bytes_of<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64_STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_data_round_trips_unchanged() {
        let fields = [
            ("unknown_spec_timeout_sec", "7"),
            ("least_timeout_sec", "3"),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let signed = Signed::of(&fields.into(), ["a b.sh", "ü: {}"].into_iter());
        let mut text = Vec::new();
        signed.write(&mut text).unwrap();
        let read = Signed::read(std::str::from_utf8(&text).unwrap());
        assert_eq!(read.as_ref(), Some(&signed));
        assert_eq!((signed.unknown_sec, signed.least_sec), (7, 3));
        for damaged in ["", "7", "7 x\na", "a b.sh\n"] {
            assert_eq!(Signed::read(damaged), None, "{damaged:?}");
        }
    }
}
