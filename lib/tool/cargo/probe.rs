//! Determines how cargo test would start its test binaries: cargo starts a script instead of them,
//! which prints its arguments, its folder and its environment. This includes everything that cargo
//! derives from `[env]`, build scripts, manifests and its own wrapper.

use super::{Binary, words};
use crate::tool::{Ask, halves};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The runner that replaces the binaries. It prints the environment with which it was started,
/// without the shell's additions.
const SCRIPT: &str = r#"printf '\0%s\0' rrr-probe "$(pwd -P)" "$#" "$@"
cat "/proc/$$/environ"
printf 'rrr-probe-end\0'
"#;
const BEGIN: &[u8] = b"rrr-probe";
const END: &[u8] = b"rrr-probe-end";

/// The way a binary is started.
#[derive(Debug, PartialEq)]
struct Seen {
    /// Including the binary as the first.
    args: Vec<OsString>,
    folder: PathBuf,
    env: Vec<(OsString, OsString)>,
}

/// Completes the `binaries` with how cargo test with these `words` would start them.
///
/// Errors: cargo fails, or would run something else too.
pub(crate) fn complete(
    binaries: &mut [Binary],
    words: &[String],
    place: &Path,
    ask: &mut Ask,
) -> anyhow::Result<()> {
    let folder = folder(place)?;
    let seen = see(binaries, words, folder.path(), ask)?;
    let runners = runners(binaries, words, folder.path(), ask)?;
    for seen in &seen {
        let path = seen.args.first();
        if !binaries
            .iter()
            .any(|binary| Some(binary.path.as_os_str()) == path.map(|p| &**p))
        {
            let path = path.map(|path| path.to_string_lossy().into_owned());
            let path = path.unwrap_or_default();
            anyhow::bail!("cargo test would run '{path}' too, which it did not report as built");
        }
    }
    for binary in binaries {
        let mine = |seen: &&Seen| seen.args.first().map(|p| &**p) == Some(binary.path.as_os_str());
        if let Some(seen) = seen.iter().find(mine) {
            let text = |arg: &OsString| arg.to_string_lossy().into_owned();
            binary.start.args = seen.args[1..].iter().map(text).collect();
            binary.start.folder = seen.folder.clone();
            binary.start.env = seen.env.clone();
        }
        if let Some(runner) = runners.get(&binary.path) {
            binary.start.runner = runner.clone();
        }
    }
    Ok(())
}

/// A folder in `place`, if cargo parses its path as one word.
fn folder(place: &Path) -> std::io::Result<tempfile::TempDir> {
    let has_space = place.to_string_lossy().contains(char::is_whitespace);
    let parent = if has_space { Path::new("/tmp") } else { place };
    tempfile::Builder::new()
        .prefix("rrr-probe-")
        .tempdir_in(parent)
}

/// Runs cargo with its stderr redirected to `said`, which is shown only if cargo fails.
fn cargo(said: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "\"$@\" 2>\"$0\" || { code=$?; cat \"$0\" >&2; exit $code; }",
        ])
        .arg(said)
        .args(["cargo", "test"]);
    command
}

/// Has cargo start the script for each binary.
fn see(
    binaries: &[Binary],
    words: &[String],
    folder: &Path,
    ask: &mut Ask,
) -> anyhow::Result<Vec<Seen>> {
    let script = folder.join("run");
    std::fs::write(&script, SCRIPT)?;
    let (for_cargo, for_binaries) = halves(words);
    let triples = triples(binaries, for_cargo, ask);
    let variables: Vec<String> = triples.iter().map(|triple| variable(triple)).collect();
    let runner = ["/bin/sh", &script.to_string_lossy()].map(str::to_owned);
    let call = |over: &[String]| {
        let mut command = cargo(&folder.join("said"));
        command
            .args(words::of_cargo(for_cargo))
            .arg("--no-fail-fast");
        if !words::choose_targets(for_cargo) {
            // The same binaries, without doctests.
            command.arg("--tests");
        }
        command.args(over).arg("--").args(for_binaries);
        for name in &variables {
            command.env(name, runner.join(" "));
        }
        command
    };
    let printed = if for_cargo.iter().any(|word| words::is(word, "--config")) {
        // The option may set a runner, which can only be replaced by one of the same type, a list
        // or a string.
        let quoted = serde_json::Value::from(runner.to_vec()).to_string();
        let text = serde_json::Value::from(runner.join(" ")).to_string();
        let over = |value: &str| -> Vec<String> {
            let set = |triple| ["--config".into(), format!("target.{triple}.runner={value}")];
            triples.iter().flat_map(set).collect()
        };
        match ask(&mut call(&over(&quoted))) {
            Ok(printed) => printed,
            Err(_) => ask(&mut call(&over(&text)))?,
        }
    } else {
        ask(&mut call(&[]))?
    };
    let mut seen = parse(&printed);
    for one in &mut seen {
        one.env.retain(|(name, value)| {
            let ours = variables.iter().any(|variable| **name == **variable);
            !ours && std::env::var_os(name).as_ref() != Some(value)
        });
    }
    Ok(seen)
}

/// The possible target platforms of the binaries.
fn triples(binaries: &[Binary], for_cargo: &[String], ask: &mut Ask) -> Vec<String> {
    let mut triples: Vec<String> = Vec::new();
    let mut add = |triple: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if triple.matches('-').count() >= 2 && triple.chars().all(plain) {
            let triple = triple.trim_end_matches(".json").to_owned();
            if !triples.contains(&triple) {
                triples.push(triple);
            }
        }
    };
    let rustc = ask(Command::new("rustc").arg("-vV")).unwrap_or_default();
    let rustc = String::from_utf8_lossy(&rustc);
    rustc
        .lines()
        .filter_map(|line| line.strip_prefix("host: "))
        .for_each(&mut add);
    for word in for_cargo {
        add(word.trim_start_matches("--target="));
    }
    for binary in binaries {
        // TARGET_DIR/TRIPLE/PROFILE/deps/NAME
        let folder = binary.path.ancestors().nth(3).and_then(Path::file_name);
        add(&folder.unwrap_or(OsStr::new("")).to_string_lossy());
    }
    triples
}

fn variable(triple: &str) -> String {
    let name = triple.to_uppercase().replace(['-', '.'], "_");
    format!("CARGO_TARGET_{name}_RUNNER")
}

/// Parses the output of the script, which may be mixed with other output.
fn parse(printed: &[u8]) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut words = printed.split(|byte| *byte == 0);
    while let Some(word) = words.next() {
        if word == BEGIN {
            seen.extend(one(&mut words));
        }
    }
    seen
}

fn one<'a>(words: &mut impl Iterator<Item = &'a [u8]>) -> Option<Seen> {
    // Each word from printf has a NUL on both sides.
    let mut next = || -> Option<&[u8]> {
        words.next()?;
        words.next()
    };
    let folder = PathBuf::from(OsStr::from_bytes(next()?));
    let count: usize = std::str::from_utf8(next()?).ok()?.parse().ok()?;
    let args = (0..count).map(|_| Some(OsString::from_vec(next()?.to_vec())));
    let args = args.collect::<Option<Vec<_>>>()?;
    let mut env = Vec::new();
    for word in words {
        if word == END {
            return Some(Seen { args, folder, env });
        }
        if let Some(at) = word.iter().skip(1).position(|byte| *byte == b'=') {
            let (name, value) = (&word[..at + 1], &word[at + 2..]);
            env.push((
                OsString::from_vec(name.to_vec()),
                OsString::from_vec(value.to_vec()),
            ));
        }
    }
    None
}

/// The `runner` that the user has configured in cargo, by binary: cargo prints the command lines
/// that it would run.
fn runners(
    binaries: &[Binary],
    words: &[String],
    folder: &Path,
    ask: &mut Ask,
) -> anyhow::Result<HashMap<PathBuf, Vec<String>>> {
    let said = folder.join("said");
    let mut command = cargo(&said);
    command
        .args(["--no-run", "-v"])
        .args(words::of_cargo(halves(words).0))
        .env("CARGO_TERM_COLOR", "never");
    ask(&mut command)?;
    let said = std::fs::read(&said)?;
    Ok(read_runners(&String::from_utf8_lossy(&said), binaries))
}

fn read_runners(said: &str, binaries: &[Binary]) -> HashMap<PathBuf, Vec<String>> {
    let mut runners = HashMap::new();
    for line in said.lines() {
        let line = line.trim_start().strip_prefix("Executable `");
        let line = line.and_then(|line| line.strip_suffix('`'));
        let Some(line) = line.and_then(shlex::split) else {
            continue;
        };
        for binary in binaries {
            let at = line.iter().position(|word| Path::new(word) == binary.path);
            if let Some(at) = at {
                runners.insert(binary.path.clone(), line[..at].to_vec());
            }
        }
    }
    runners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_result_is_found_amid_other_output() {
        let printed =
            b"noise\n\0rrr-probe\0\0/a b\0\x002\0\0/t/bin\0\0\0\0A=1=2\0B=\nx\0rrr-probe-end\0tail";
        let seen = parse(printed);
        let pair = |name: &str, value: &str| (name.into(), value.into());
        let whole = Seen {
            args: vec!["/t/bin".into(), "".into()],
            folder: "/a b".into(),
            env: vec![pair("A", "1=2"), pair("B", "\nx")],
        };
        assert_eq!(seen, [whole]);
        assert!(parse(&printed[..printed.len() - 10]).is_empty());
    }

    #[test]
    fn words_before_the_binary_are_its_runner() {
        let binary = Binary::at("/t/it's-1");
        let said = "   Compiling x\n  Executable `/run.sh 'a b' '/t/it'\\''s-1' filter`\n";
        let runners = read_runners(said, &[binary]);
        assert_eq!(runners[Path::new("/t/it's-1")], ["/run.sh", "a b"]);
    }
}
