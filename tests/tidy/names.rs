//! The names of tests: short enough to be read in a list.

use crate::{Source, only, sources};

/// The maximum length of a test's name.
const NAME_CHARACTERS: usize = 60;

/// The names of the test functions in a source file. Attributes may be between `#[test]` and `fn`.
fn tests(source: &Source) -> Vec<&str> {
    let mut is_test = false;
    let mut names = Vec::new();
    for line in source.text.lines().map(str::trim_start) {
        is_test |= line.starts_with("#[test]");
        let Some(name) = line.strip_prefix("fn ").filter(|_| is_test) else {
            continue;
        };
        names.push(name.split('(').next().unwrap_or_default());
        is_test = false;
    }
    names
}

#[test]
fn a_test_name_has_at_most_sixty_characters() {
    let mut all = sources("tests", ".rs");
    all.extend(sources("lib", ".rs"));
    assert!(all.iter().flat_map(tests).count() > 500, "tests are found");
    let long = all.iter().flat_map(|source| {
        let names = tests(source).into_iter();
        let long = names.filter(|name| name.len() > NAME_CHARACTERS);
        long.map(|name| format!("{}: {name}", source.path))
    });
    let rule = format!("a test name has at most {NAME_CHARACTERS} characters");
    only(&[], long, &rule);
}
