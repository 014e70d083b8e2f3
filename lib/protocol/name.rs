//! Validation of names from outside: those of spec files, and those of rsync folders.
//!
//! Both become paths on other machines, and a spec file's name becomes part of a key, so each has
//! one rule, checked wherever such a name enters. Suggestions for mistyped names follow one rule
//! too.

use std::path::{Component, Path};

/// Maximum length of a spec file name in bytes (FAULTS S6).
pub(crate) const SPEC_FILE_MAX: usize = 1024;

/// The reason why `spec_file` cannot be the name of a task, if any (FAULTS S6).
///
/// The name becomes part of a key and, on the worker, a path below the working folder.
pub fn spec_file_error(spec_file: &str) -> Option<&'static str> {
    let path = Path::new(spec_file);
    if spec_file.is_empty() {
        Some("it is empty")
    } else if spec_file.len() > SPEC_FILE_MAX {
        Some("it is longer than 1024 bytes")
    } else if spec_file.chars().any(char::is_control) {
        Some("it contains a control character")
    } else if path.is_absolute() {
        Some("it is absolute; name it relative to the packaging folder")
    } else if path.components().any(|part| part == Component::ParentDir) {
        Some("it contains a '..' component")
    } else if spec_file.contains(":trial:") || spec_file.ends_with(":trial") {
        Some("it contains a ':trial' component, which would make keys ambiguous")
    } else {
        None
    }
}

/// The reason why `name` cannot be an rsync name, if any (FAULTS S2): it becomes a folder that
/// `rsync --delete` empties.
pub fn rsync_name_error(name: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > 64 {
        Some("it is longer than 64 characters")
    } else if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        Some("it must start with a letter or a digit")
    } else if !name.chars().all(allowed) {
        Some("it may only contain letters, digits, '.', '_' and '-'")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s6_spec_files_outside_the_tree_or_ambiguous_in_a_key_fail() {
        for bad in [
            "",
            "/a",
            "../a",
            "a/../b",
            "a\0b",
            "a\nb",
            "a:trial:b",
            "a:trial",
        ] {
            assert!(spec_file_error(bad).is_some(), "{bad:?}");
        }
        assert!(spec_file_error(&"a".repeat(1025)).is_some());
        for good in ["a", "a b", "it's \"ü\"", "-x", "a..b", "t.py::test_x"] {
            assert_eq!(spec_file_error(good), None, "{good:?}");
        }
    }

    #[test]
    fn s2_rsync_names_are_plain_folder_names() {
        for bad in ["", ".", "..", "a/b", "-a", ".a", "a b", "ü"] {
            assert!(rsync_name_error(bad).is_some(), "{bad:?}");
        }
        for good in ["alice", "a.b_c-1", "0"] {
            assert_eq!(rsync_name_error(good), None, "{good:?}");
        }
    }
}
