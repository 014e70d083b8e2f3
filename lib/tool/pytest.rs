//! pytest: a runner that comes with this program, see scripts/runners/pytest.

use crate::process::regular_file::{self, Links};
use std::path::Path;

macro_rules! part {
    ($name:literal) => {
        include_str!(concat!("../../scripts/runners/pytest/", $name))
    };
}

/// The runner's files; the first is the script.
pub(crate) const RUNNER: &[(&str, &str)] = &[
    ("rrr_pytest.py", part!("start.py")),
    ("rrr_pytest_runner/__init__.py", ""),
    ("rrr_pytest_runner/directories.py", part!("directories.py")),
    ("rrr_pytest_runner/main.py", part!("main.py")),
    ("rrr_pytest_runner/native.py", part!("native.py")),
    ("rrr_pytest_runner/options.py", part!("options.py")),
    ("rrr_pytest_runner/parts.py", part!("parts.py")),
    ("rrr_pytest_runner/progress.py", part!("progress.py")),
    ("rrr_pytest_runner/recorder.py", part!("recorder.py")),
    ("rrr_pytest_runner/suite.py", part!("suite.py")),
    (
        "rrr_pytest_runner/surroundings.py",
        part!("surroundings.py"),
    ),
    ("rrr_pytest_runner/wire.py", part!("wire.py")),
];

/// The Python of the project in `folder`: that of a virtual environment, else the one for
/// which the pytest on PATH was installed.
pub(crate) fn interpreter(folder: &Path) -> Vec<String> {
    let active = std::env::var("VIRTUAL_ENV").ok();
    let folders = active.iter().map(String::as_str).chain([".venv", "venv"]);
    for environment in folders {
        let python = Path::new(environment).join("bin/python");
        if folder.join(&python).is_file() {
            return vec![python.to_string_lossy().into_owned()];
        }
    }
    let script = crate::process::which::find("pytest")
        .and_then(|path| regular_file::read(&path, Links::Follow, 16 << 20).ok());
    script
        .and_then(|text| from_first_line(&text))
        .unwrap_or_else(|| vec!["python3".into()])
}

/// The interpreter in a line like `#!/usr/bin/python3`, unless it is not Python but, for example,
/// the shell of a wrapper.
fn from_first_line(script: &[u8]) -> Option<Vec<String>> {
    let line = script
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let words: Vec<String> = String::from_utf8_lossy(line)
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let is_python = |word: &String| {
        let name = word.rsplit('/').next().unwrap_or(word);
        name.starts_with("python") || name.starts_with("pypy")
    };
    words.iter().any(is_python).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_pytest_names_its_python() {
        let line = |text: &str| from_first_line(text.as_bytes());
        assert_eq!(
            line("#!/usr/bin/python3\nimport"),
            Some(vec!["/usr/bin/python3".into()])
        );
        assert_eq!(
            line("#!/usr/bin/env python3.12\n"),
            Some(vec!["/usr/bin/env".into(), "python3.12".into()])
        );
        assert_eq!(line("#!/usr/bin/env bash\n"), None);
        assert_eq!(line("\x7fELF"), None);
    }
}
