//! The names of tasks as people write them: usually files below the packaging folder.

use crate::process::exit::{Failure, usage};
use crate::protocol::name::spec_file_error;
use std::path::{Component, Path, PathBuf};

/// The hint for a name that is not a file of the suite.
const HINT: &str = "name files relative to the packaging folder (--packaging-dir)";

/// The path of a name, and the part of its file that it selects: `::TestA`, `[1:2]` or `:12`.
fn halves(name: &str) -> (&str, &str) {
    let bracket = || name.ends_with(']').then(|| name.rfind('['))?;
    let at = name.find("::").or_else(bracket).or_else(|| lines(name));
    name.split_at(at.unwrap_or(name.len()))
}

/// Where the lines in `FILE:12` or `FILE:12:40` begin.
fn lines(name: &str) -> Option<usize> {
    let is_line = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let mut at = None;
    let mut rest = name;
    while let Some((before, _)) = rest.rsplit_once(':').filter(|(_, line)| is_line(line)) {
        at = Some(before.len());
        rest = before;
    }
    at.filter(|at| *at > 0)
}

/// The one spelling of a name: relative to `folder`, without `.`, empty components, and `..` inside
/// the tree. So a file is one task with one estimate, however it is named. A name that leads out of the
/// tree stays as it is, and is refused later.
pub(crate) fn normal(folder: &Path, name: &str) -> String {
    let (path, selector) = halves(name);
    let path = match Path::new(path).is_absolute() {
        true => below(folder, Path::new(path)),
        false => Some(PathBuf::from(path)),
    };
    let normal = path.as_deref().and_then(without_detours);
    let normal = normal.as_deref().and_then(Path::to_str);
    match normal.filter(|path| !path.is_empty()) {
        Some(path) => format!("{path}{selector}"),
        None => name.to_owned(),
    }
}

/// An absolute path, relative to the folder, if it is below it.
fn below(folder: &Path, path: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    if let Ok(rest) = path.strip_prefix(&folder) {
        return Some(rest.to_owned());
    }
    // A link on the way to the tree; links inside of it are not followed, since they are names too.
    let parent = path.parent()?.canonicalize().ok()?;
    let rest = parent.strip_prefix(&folder).ok()?;
    Some(rest.join(path.file_name()?))
}

/// The path without `.` and `..`; `None` if it leads out of the tree.
fn without_detours(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => normal.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !normal.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(normal)
}

/// A name as an argument. If the packaging folder was found above the current one, names are relative
/// to the current one all the same.
pub(crate) fn from_here(folder: &Path, name: &str) -> String {
    let is_relative = is_above(folder) && !Path::new(halves(name).0).is_absolute();
    match (is_relative, std::env::current_dir()) {
        (true, Ok(here)) => here.join(name).to_string_lossy().into_owned(),
        _ => name.to_owned(),
    }
}

/// Whether the name is a pattern for names: it has a wildcard, and is not itself a file.
pub(crate) fn is_pattern(folder: &Path, name: &str) -> bool {
    name.contains(['*', '?', '[']) && !exists(folder, name)
}

/// Whether a packaging folder was found above the current one.
fn is_above(folder: &Path) -> bool {
    let mut parts = folder.components().peekable();
    parts.peek().is_some() && parts.all(|part| part == Component::ParentDir)
}

/// The files in the folder that match the pattern, sorted. `**` stands for any number of folders.
pub(crate) fn matching(folder: &Path, pattern: &str) -> Result<Vec<String>, Failure> {
    let invalid = |error: glob::PatternError| {
        usage(format!("invalid pattern '{}': {error}", shown(pattern))).hint(HINT)
    };
    let options = glob::MatchOptions {
        require_literal_leading_dot: true,
        require_literal_separator: true,
        ..glob::MatchOptions::default()
    };
    let base = glob::Pattern::escape(&folder.to_string_lossy());
    let whole = Path::new(&base).join(pattern);
    let found = glob::glob_with(&whole.to_string_lossy(), options).map_err(invalid)?;
    let files = found.filter_map(Result::ok).filter(|path| path.is_file());
    let relative = |path: PathBuf| {
        let rest = path.strip_prefix(folder).map(Path::to_owned);
        rest.unwrap_or(path).to_str().map(str::to_owned)
    };
    let files: Vec<String> = files.filter_map(relative).collect();
    match files.is_empty() {
        true => Err(usage(format!("no file matches '{}'", shown(pattern))).hint(HINT)),
        false => Ok(files),
    }
}

/// Refuses a name that cannot be a task's.
pub(crate) fn check(name: &str) -> Result<(), Failure> {
    match spec_file_error(name) {
        None => Ok(()),
        Some(wrong) => Err(usage(format!("spec file '{}': {wrong}", shown(name))).hint(HINT)),
    }
}

/// Whether the name, or the path in it, exists in the folder.
pub(crate) fn exists(folder: &Path, name: &str) -> bool {
    folder.join(name).exists() || folder.join(halves(name).0).exists()
}

/// Refuses a name that is not a file in the folder.
pub(crate) fn check_file(folder: &Path, name: &str) -> Result<(), Failure> {
    let place = folder.display();
    if !exists(folder, name) {
        let missing = usage(format!(
            "spec file '{}' does not exist in '{place}'",
            shown(name)
        ));
        return Err(match name.trim() {
            trimmed if trimmed != name && exists(folder, trimmed) => {
                missing.hint(format!("remove the blanks around '{}'", shown(trimmed)))
            }
            _ => missing.hint(HINT),
        });
    }
    if folder.join(name).is_dir() {
        let wrong = format!("'{}' is a folder", shown(name));
        let hint = format!(
            "name its files, for example: find {} -type f",
            crate::process::text::shell_word(name)
        );
        return Err(usage(wrong).hint(hint));
    }
    Ok(())
}

/// The name in a message.
fn shown(name: &str) -> String {
    name.escape_debug().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_of_a_file_is_one_name() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir(tree.path().join("spec")).unwrap();
        std::fs::write(tree.path().join("spec/a.rb"), "").unwrap();
        let absolute = tree.path().join("spec/a.rb").display().to_string();
        for name in [
            "spec/a.rb",
            "./spec/a.rb",
            "spec//a.rb",
            "spec/./a.rb",
            "x/../spec/a.rb",
            &absolute,
        ] {
            assert_eq!(normal(tree.path(), name), "spec/a.rb", "{name}");
            let selected = format!("{name}[1:2]");
            assert_eq!(normal(tree.path(), &selected), "spec/a.rb[1:2]");
            for lines in [":12", ":12:40"] {
                let selected = format!("{name}{lines}");
                assert_eq!(normal(tree.path(), &selected), format!("spec/a.rb{lines}"));
                assert!(
                    exists(tree.path(), &normal(tree.path(), &selected)),
                    "{selected}"
                );
            }
            let node = format!("{name}::TestA::test_b[../x]");
            assert_eq!(normal(tree.path(), &node), "spec/a.rb::TestA::test_b[../x]");
        }
    }

    #[test]
    fn a_name_outside_the_tree_stays_and_is_refused() {
        for name in ["../a.rb", "spec/../../a.rb", "/etc/passwd"] {
            let same = normal(Path::new("."), name);
            assert_eq!(same, name);
            assert!(check(&same).is_err());
        }
    }

    #[test]
    fn names_that_are_not_paths_stay() {
        for name in [
            "p::bin/a",
            "doc/tests",
            "p::bin test::b",
            "a #2",
            "[x]",
            "a b.sh",
        ] {
            assert_eq!(normal(Path::new("."), name), name);
        }
    }
}
