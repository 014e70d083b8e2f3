//! The project's own rules. A rule that is not yet kept everywhere lists the files that break it. A
//! file that keeps the rule must be removed from the list, so that lists only shrink.

#[path = "../harness/mod.rs"]
mod harness;

mod fields;
mod functions;
mod harness_selftest;
mod language;
mod layers;
mod names;
mod pages;
mod roff;
mod supply;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Roles that still run Redis commands directly.
const ROLES_WITH_COMMANDS: &[&str] = &[];

/// Modules that are still too long.
const LONG_MODULES: &[&str] = &["lib/protocol/key.rs"];

const MODULE_LINES: usize = 450;
const MAIN_LINES: usize = 60;

/// A file of the project, by its path from the root.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The text without comments and without its unit tests, which come last.
    fn code(&self) -> String {
        let code = self.text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The lines of a Lua file, without comments.
    fn code_of_lua(&self) -> String {
        let lines = self
            .text
            .lines()
            .filter(|line| !line.trim_start().starts_with("--"));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn lines(&self) -> usize {
        self.text.lines().count()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below `folder` whose names end with `ending`, sorted.
fn sources(folder: &str, ending: &str) -> Vec<Source> {
    let mut folders = vec![root().join(folder)];
    let mut paths: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)
            .expect("a folder of the project")
            .flatten()
        {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                paths.push(path);
            }
        }
    }
    paths.sort();
    assert!(!paths.is_empty(), "no {ending} in {folder}");
    let source = |path: PathBuf| Source {
        path: path.strip_prefix(root()).unwrap().display().to_string(),
        text: fs::read_to_string(&path).expect("a text file"),
    };
    paths.into_iter().map(source).collect()
}

fn rust() -> Vec<Source> {
    [sources("lib", ".rs"), sources("bins", ".rs")]
        .into_iter()
        .flatten()
        .collect()
}

/// Asserts that exactly the files of the list break the rule.
#[track_caller]
fn only(allowed: &[&str], breaking: impl IntoIterator<Item = String>, rule: &str) {
    let breaking: BTreeSet<String> = breaking.into_iter().collect();
    let allowed: BTreeSet<String> = allowed.iter().map(|path| (*path).to_owned()).collect();
    let new: Vec<_> = breaking.difference(&allowed).collect();
    let kept: Vec<_> = allowed.difference(&breaking).collect();
    assert!(new.is_empty(), "{rule}; broken by {new:?}");
    assert!(
        kept.is_empty(),
        "remove from the list for '{rule}': {kept:?}"
    );
}

#[test]
fn only_key_spells_keys() {
    let spelling = rust().into_iter().filter(|s| s.code().contains("rrrspec:"));
    let paths = spelling.map(|source| source.path);
    only(
        &["lib/protocol/key.rs"],
        paths,
        "only lib/protocol/key.rs spells 'rrrspec:'",
    );
}

#[test]
fn a_role_names_no_redis_command() {
    let talks = |source: &Source| {
        let code = source.code();
        let words = [
            "redis::cmd",
            "redis::pipe",
            "redis::Script",
            "lua!",
            ".invoke(",
        ];
        words.iter().any(|word| code.contains(word))
    };
    let paths = sources("lib/role", ".rs").into_iter().filter(talks);
    let paths = paths.map(|source| source.path);
    only(ROLES_WITH_COMMANDS, paths, "a role names no Redis command");
}

#[test]
fn an_unwritable_line_of_output_ends_no_process() {
    // These panic when they cannot write: lib/say.rs and lib/out.rs do not.
    let panics = |source: &Source| {
        let code = source.code();
        let calls = ["println!(", "print!(", "dbg!("];
        calls.iter().any(|call| code.contains(call))
    };
    let paths = rust().into_iter().filter(panics).map(|source| source.path);
    only(&[], paths, "no print macro outside of tests");
}

#[test]
fn modules_stay_short() {
    let all = [rust(), sources("tests", ".rs")].into_iter().flatten();
    let long = all.filter(|source| source.lines() > MODULE_LINES);
    let rule = format!("a module has at most {MODULE_LINES} lines");
    only(LONG_MODULES, long.map(|source| source.path), &rule);
}

#[test]
fn main_functions_fit_on_a_screen() {
    let mains = sources("bins", "main.rs");
    let long = mains
        .into_iter()
        .filter(|source| source.lines() > MAIN_LINES);
    let rule = format!("a main.rs has at most {MAIN_LINES} lines");
    only(&[], long.map(|source| source.path), &rule);
}

#[test]
fn tests_wait_for_conditions_and_never_sleep() {
    let sleeping = sources("tests", ".rs").into_iter().filter(|source| {
        let word = ["thread", "sleep"].join("::");
        source.code().contains(&word)
    });
    // The loop that waits for conditions, and the proxy, which creates delays.
    let allowed = [
        "tests/harness/process/wait.rs",
        "tests/harness/proxy/link.rs",
        "tests/harness/proxy/mod.rs",
    ];
    let paths = sleeping.map(|source| source.path);
    only(&allowed, paths, "a test never sleeps");
}

#[test]
fn every_module_has_a_purpose_line() {
    let silent = [rust(), sources("tests", ".rs")].into_iter().flatten();
    let silent = silent.filter(|source| {
        let is_main = source.path.starts_with("bins/");
        !is_main && !source.text.starts_with("//! ")
    });
    let paths = silent.map(|source| source.path);
    only(&[], paths, "a module starts with its purpose");
}

#[test]
fn no_module_has_a_meaningless_name() {
    let empty = [
        "util", "utils", "helper", "helpers", "misc", "imp", "common",
    ];
    let nameless = [rust(), sources("tests", ".rs")].into_iter().flatten();
    let nameless = nameless.filter(|source| {
        let name = Path::new(&source.path).with_extension("");
        name.iter()
            .any(|part| empty.iter().any(|word| part == *word))
    });
    let paths = nameless.map(|source| source.path);
    only(&[], paths, "a module is named for its content");
}

#[test]
fn every_tool_has_a_folder_and_is_in_the_readme() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let folders = fs::read_dir(root().join("bins")).unwrap().flatten();
    let tools: BTreeSet<String> = folders
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    let built: BTreeSet<String> = manifest
        .split("[[bin]]")
        .skip(1)
        .filter_map(|part| part.split('"').nth(1))
        .map(str::to_owned)
        .collect();
    assert_eq!(tools, built, "folders of bins/ and [[bin]] of Cargo.toml");
    let words: BTreeSet<&str> = readme
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .collect();
    let unknown: Vec<_> = tools
        .iter()
        .filter(|tool| !words.contains(tool.as_str()))
        .collect();
    assert!(unknown.is_empty(), "not in README.md: {unknown:?}");
}

/// The header of a Lua script: the comments before its first line of code.
fn header(source: &Source) -> Vec<&str> {
    let lines = source.text.lines();
    let header = lines.take_while(|line| line.starts_with("--"));
    header.map(|line| line.trim_start_matches("--")).collect()
}

/// The highest number that the header gives for `word` (`KEYS 1 taskset, 2 slave`), and whether
/// more may follow (`2… tasks`).
fn declared(header: &[&str], word: &str) -> (usize, bool) {
    let start = header
        .iter()
        .position(|line| line.trim_start().starts_with(word));
    let Some(start) = start else {
        return (0, false);
    };
    let mut text = header[start].trim_start()[word.len()..].to_owned();
    // Continuation lines are indented.
    for line in header[start + 1..]
        .iter()
        .take_while(|line| line.starts_with("   "))
    {
        text.push_str(line);
    }
    // Text in parentheses is an explanation, and may contain other numbers.
    let mut depth = 0;
    text.retain(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0
    });
    let (mut highest, mut more) = (0, false);
    for part in text.split([',', ' ']).filter(|part| !part.is_empty()) {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        let rest = &part[digits.len()..];
        if let (Ok(number), true) = (digits.parse(), rest.is_empty() || rest == "…") {
            highest = number;
            more = rest == "…";
        }
    }
    if text.contains("for each") {
        more = true;
    }
    (highest, more)
}

/// The highest constant index of `KEYS[n]` or `ARGV[n]` in the code, and whether there is another.
fn used(code: &str, word: &str) -> (usize, bool) {
    let (mut highest, mut computed) = (0, false);
    for part in code.split(word).skip(1) {
        let Some(inside) = part.strip_prefix('[') else {
            computed = true;
            continue;
        };
        match inside.split(']').next().unwrap_or_default().parse() {
            Ok(number) => highest = highest.max(number),
            Err(_) => computed = true,
        }
    }
    (highest, computed)
}

#[test]
fn the_header_of_a_lua_script_is_complete() {
    for source in sources("lib/lua", ".lua") {
        let header = header(&source);
        let shared = source.path.contains("/shared/");
        let name = Path::new(&source.path)
            .file_stem()
            .unwrap()
            .to_string_lossy();
        let title = if shared {
            " Shared: ".to_owned()
        } else {
            format!(" {name}: ")
        };
        let first = header.first().copied().unwrap_or_default();
        assert!(first.starts_with(&title), "{}: first line", source.path);
        let code = source.code_of_lua();
        if shared {
            for word in ["KEYS", "ARGV"] {
                let free = used(&code, word) == (0, false);
                assert!(free, "{} must not use {word}", source.path);
            }
            continue;
        }
        let returns = header.iter().any(|line| line.starts_with(" returns "));
        assert!(returns, "{}: the header has no 'returns'", source.path);
        for word in ["KEYS", "ARGV"] {
            let (declared, more) = declared(&header, word);
            let (used, computed) = used(&code, word);
            assert!(
                used <= declared && (used == declared || more || computed),
                "{}: the header has {declared} {word}, the code {used}",
                source.path
            );
            assert!(
                !computed || more || word == "KEYS",
                "{}: {word}…",
                source.path
            );
        }
    }
}

#[test]
fn every_lua_script_has_one_wrapper_with_its_shared_parts() {
    let mut wrappers: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for source in rust() {
        let code = source.code();
        // rustfmt may break the line after the bracket.
        for call in code.split("lua!(").skip(1) {
            let inside = call.split(')').next().unwrap_or_default();
            let words = inside
                .split('"')
                .map(|word| word.trim_matches([',', ' ', '\n']));
            let mut words = words.filter(|word| !word.is_empty()).map(str::to_owned);
            let name = words.next().expect("the name of a script");
            wrappers.entry(name).or_default().push(words.collect());
        }
    }
    for source in sources("lib/lua", ".lua") {
        if source.path.contains("/shared/") {
            continue;
        }
        let name = Path::new(&source.path)
            .file_stem()
            .unwrap()
            .to_string_lossy();
        let shared = header(&source)
            .into_iter()
            .find_map(|line| line.strip_prefix(" shared: "))
            .unwrap_or_default();
        let shared: Vec<String> = shared
            .split(' ')
            .filter(|w| !w.is_empty())
            .map(str::to_owned)
            .collect();
        let found = wrappers.remove(&*name).unwrap_or_default();
        assert_eq!(
            found,
            [shared],
            "{}: wrappers in Rust, and 'shared:'",
            source.path
        );
    }
    assert!(wrappers.is_empty(), "no such script: {wrappers:?}");
}

/// The codes of faults and invariants in a text: `(Q1)`, `FAULTS S8`, `fn i10_…`.
fn codes(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let is_code = |word: &&str| {
        let number = word.strip_prefix(['F', 'L', 'Q', 'C', 'K', 'S', 'I']);
        number.is_some_and(|rest| rest.len() <= 2 && rest.parse::<u8>().is_ok())
    };
    let named = text.split("fn ").skip(1).filter_map(|name| {
        let (code, _) = name.split_once('_')?;
        Some(code.to_uppercase())
    });
    let named = named.filter(|code| is_code(&code.as_str()));
    words
        .filter(is_code)
        .map(str::to_owned)
        .chain(named)
        .collect()
}

#[test]
fn every_code_of_a_fault_is_explained() {
    let page = fs::read_to_string(root().join("tests/core/faults/README.md")).unwrap();
    let explained = codes(&page);
    let all = [rust(), sources("lib/lua", ".lua"), sources("tests", ".rs")];
    let unknown = all.into_iter().flatten().filter_map(|source| {
        let unknown: Vec<_> = codes(&source.text)
            .difference(&explained)
            .cloned()
            .collect();
        (!unknown.is_empty()).then(|| format!("{}: {unknown:?}", source.path))
    });
    only(
        &[],
        unknown,
        "tests/core/faults/README.md explains each code",
    );
}
