//! Finds out which test tool a project uses, from the files in its folder. Runs nothing.

use crate::process::regular_file::{self, Links};
use crate::tool::Source;
use std::path::Path;

/// A tool that the project seems to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Detected {
    pub source: Source,
    /// The file or folder by which it was recognised.
    pub evidence: String,
}

/// Maximum depth of a search for test files.
const DEPTH: usize = 5;
/// Folders with code of others, or built.
const FOREIGN: [&str; 6] = ["build", "dist", "node_modules", "target", "vendor", "venv"];
/// Maximum bytes read of a configuration file.
const CONFIGURATION: u64 = 1 << 20;

/// The tools that the project in `folder` seems to use, each once.
pub(crate) fn sources(folder: &Path) -> Vec<Detected> {
    let found = [
        (Source::Rspec, rspec(folder)),
        (Source::Pytest, pytest(folder)),
    ];
    let found = found
        .into_iter()
        .map(|(source, evidence)| evidence.map(|evidence| Detected { source, evidence }));
    found.chain([cargo(folder)]).flatten().collect()
}

/// The tool to which a file belongs, by its name alone.
pub(crate) fn source_of(file: &str) -> Option<Source> {
    let name = file.rsplit('/').next().unwrap_or(file);
    let path = name.split([':', '[']).next().unwrap_or(name);
    match Path::new(path).extension()?.to_str()? {
        "rb" if path.ends_with("_spec.rb") => Some(Source::Rspec),
        "py" => Some(Source::Pytest),
        _ => None,
    }
}

/// The tools whose test files are in `folder`, by their names alone.
pub(crate) fn sources_in(folder: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    if has_test(folder, &is_spec, DEPTH) {
        found.push(Source::Rspec);
    }
    if has_test(folder, &is_pytest, DEPTH) {
        found.push(Source::Pytest);
    }
    found
}

fn is_spec(name: &str) -> bool {
    name.ends_with("_spec.rb")
}

fn is_pytest(name: &str) -> bool {
    let stem = name.strip_suffix(".py");
    stem.is_some_and(|stem| stem.starts_with("test_") || stem.ends_with("_test"))
}

fn rspec(folder: &Path) -> Option<String> {
    first_existing(folder, &[".rspec"]).or_else(|| below(folder, "spec", &is_spec))
}

fn pytest(folder: &Path) -> Option<String> {
    let configured = [
        ("pyproject.toml", "[tool.pytest"),
        ("tox.ini", "[pytest]"),
        ("setup.cfg", "[tool:pytest]"),
    ];
    let has_section = |(name, section): &&(&str, &str)| {
        let text = regular_file::read_text(&folder.join(name), Links::Follow, CONFIGURATION);
        text.is_ok_and(|text| {
            text.lines()
                .any(|line| line.trim_start().starts_with(section))
        })
    };
    let named = [
        "pytest.ini",
        ".pytest.ini",
        "conftest.py",
        "tests/conftest.py",
        "test/conftest.py",
    ];
    first_existing(folder, &named)
        .or_else(|| {
            configured
                .iter()
                .find(has_section)
                .map(|(name, _)| (*name).to_owned())
        })
        .or_else(|| in_folder(folder, &is_pytest))
        .or_else(|| below(folder, "tests", &is_pytest))
        .or_else(|| below(folder, "test", &is_pytest))
        .or_else(|| package(folder))
}

/// The file that makes the folder a Python package, if there are tests anywhere in it.
fn package(folder: &Path) -> Option<String> {
    let evidence = first_existing(folder, &["pyproject.toml", "setup.cfg", "setup.py"])?;
    has_test(folder, &is_pytest, DEPTH).then_some(evidence)
}

/// nextest only where the project is configured for it: `cargo test` runs doctests too.
fn cargo(folder: &Path) -> Option<Detected> {
    let manifest = first_existing(folder, &["Cargo.toml"])?;
    let found = |source, evidence| Some(Detected { source, evidence });
    match first_existing(folder, &[".config/nextest.toml"]) {
        Some(evidence) if crate::process::which::find("cargo-nextest").is_some() => {
            found(Source::Nextest, evidence)
        }
        _ => found(Source::CargoTest, manifest),
    }
}

fn first_existing(folder: &Path, names: &[&str]) -> Option<String> {
    let found = names.iter().find(|name| folder.join(name).is_file());
    found.map(|name| (*name).to_owned())
}

/// The first file in the folder itself that is a test, by name.
fn in_folder(folder: &Path, is_test: &dyn Fn(&str) -> bool) -> Option<String> {
    names(folder)
        .into_iter()
        .find(|name| is_test(name) && folder.join(name).is_file())
}

/// `part/`, if there is a test anywhere below it.
fn below(folder: &Path, part: &str, is_test: &dyn Fn(&str) -> bool) -> Option<String> {
    has_test(&folder.join(part), is_test, DEPTH).then(|| format!("{part}/"))
}

fn has_test(folder: &Path, is_test: &dyn Fn(&str) -> bool, depth: usize) -> bool {
    let names = names(folder);
    let is_searched = |name: &&String| !name.starts_with('.') && !FOREIGN.contains(&name.as_str());
    let is_folder = |name: &&String| is_searched(name) && folder.join(name).is_dir();
    names
        .iter()
        .any(|name| is_test(name) && folder.join(name).is_file())
        || (depth > 0
            && names
                .iter()
                .filter(is_folder)
                .any(|name| has_test(&folder.join(name), is_test, depth - 1)))
}

/// The names in a folder, sorted; none if it cannot be read.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(files: &[(&str, &str)]) -> Vec<(Source, String)> {
        let tree = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = tree.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let found = sources(tree.path()).into_iter();
        found.map(|it| (it.source, it.evidence)).collect()
    }

    #[test]
    fn a_project_is_recognised_by_its_files() {
        use Source::{CargoTest, Pytest, Rspec};
        for (file, text, source, evidence) in [
            (".rspec", "", Rspec, ".rspec"),
            ("spec/models/user_spec.rb", "", Rspec, "spec/"),
            ("pytest.ini", "", Pytest, "pytest.ini"),
            (
                "pyproject.toml",
                "[tool.pytest.ini_options]\n",
                Pytest,
                "pyproject.toml",
            ),
            ("tox.ini", "[pytest]\n", Pytest, "tox.ini"),
            ("setup.cfg", "[tool:pytest]\n", Pytest, "setup.cfg"),
            ("tests/conftest.py", "", Pytest, "tests/conftest.py"),
            ("test_it.py", "", Pytest, "test_it.py"),
            ("pkg/tests/test_it.py", "", Pytest, "setup.py"),
            ("tests/unit/it_test.py", "", Pytest, "tests/"),
            ("Cargo.toml", "", CargoTest, "Cargo.toml"),
        ] {
            let setup = (evidence == "setup.py").then_some(("setup.py", ""));
            let files: Vec<_> = [(file, text)].into_iter().chain(setup).collect();
            assert_eq!(detected(&files), [(source, evidence.to_owned())], "{file}");
        }
    }

    #[test]
    fn other_files_are_no_evidence() {
        let none = [
            ("pyproject.toml", "[project]\n"),
            ("tox.ini", "[tox]\n"),
            ("spec/spec_helper.rb", ""),
            ("lib/a_spec.rb", ""),
            ("src/test_it.txt", ""),
            ("node_modules/x/test_it.py", ""),
        ];
        assert_eq!(detected(&none), []);
    }

    #[test]
    fn both_kinds_are_found() {
        let both = detected(&[("Cargo.toml", ""), ("spec/a_spec.rb", "")]);
        let sources: Vec<Source> = both.into_iter().map(|(source, _)| source).collect();
        assert_eq!(sources, [Source::Rspec, Source::CargoTest]);
    }

    #[test]
    fn a_file_belongs_to_a_tool_by_its_name() {
        assert_eq!(source_of("spec/a_spec.rb:12"), Some(Source::Rspec));
        assert_eq!(source_of("spec/a_spec.rb[1:2]"), Some(Source::Rspec));
        assert_eq!(source_of("tests/a.py::test_b"), Some(Source::Pytest));
        assert_eq!(source_of("lib/a.rb"), None);
        assert_eq!(source_of("a.sh"), None);
    }
}
