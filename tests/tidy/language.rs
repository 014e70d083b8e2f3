//! Plain English: forms that a native reader would stumble over, and the files that still have them.

use crate::{Source, only, sources};

/// Forms to avoid, in lower case; what each line that has one says otherwise.
const FORMS: &[&str] = &[
    "stands in",
    "stands for itself",
    " is no ",
    " are no ",
    " anew",
    "nobody",
    "somebody",
    "anybody",
    " of ours",
    " of its own accord",
    "a line each",
    "a task each",
    "what is not ",
];

/// Openings of a doc comment that do not name its subject.
const OPENINGS: &[&str] = &["It ", "What ", "The same ", "The same,", "As "];

/// Good English that begins like one of the forms.
const FINE: &[&str] = &[
    " is no longer",
    " are no longer",
    " is no more ",
    "there is no ",
    "there are no ",
];

/// Files that are not rewritten yet. The list may only shrink.
const UNFINISHED: &[&str] = &[];

fn all() -> Vec<Source> {
    [
        sources("lib", ".rs"),
        sources("lib/lua", ".lua"),
        sources("bins", ".rs"),
        sources("man/src", ".txt"),
        sources("man", ".7"),
        sources("scripts/runners", ".py"),
        sources("scripts/runners", ".rb"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Whether a line has one of the forms.
fn stumbles(line: &str) -> bool {
    let line = FINE
        .iter()
        .fold(line.to_lowercase(), |line, fine| line.replace(fine, " "));
    FORMS.iter().any(|form| line.contains(form))
}

/// Whether a doc comment begins at `line` and does not name its subject; `before` is the line above.
fn opens_badly(before: &str, line: &str) -> bool {
    let doc = |line: &str| {
        let line = line.trim_start();
        let text = line
            .strip_prefix("///")
            .or_else(|| line.strip_prefix("//!"));
        text.map(|text| text.trim_start().to_owned())
    };
    doc(before).is_none()
        && doc(line).is_some_and(|text| OPENINGS.iter().any(|opening| text.starts_with(opening)))
}

#[test]
fn the_prose_is_plain_english() {
    let mut found = Vec::new();
    for source in all() {
        let lines: Vec<&str> = source.text.lines().collect();
        let bad = lines.iter().enumerate().filter(|(at, line)| {
            let before = at.checked_sub(1).map_or("", |at| lines[at]);
            stumbles(line) || opens_badly(before, line)
        });
        let bad: Vec<_> = bad.collect();
        for (at, line) in &bad {
            println!("{}:{}: {}", source.path, at + 1, line.trim());
        }
        if !bad.is_empty() {
            found.push(source.path.clone());
        }
    }
    only(UNFINISHED, found, "plain English (CONTRIBUTING.md)");
}

#[test]
fn each_form_is_found_and_good_english_is_not() {
    for bad in [
        "It stands in the list.",
        "This is no error.",
        "Nobody waits.",
        "begun anew",
    ] {
        assert!(stumbles(bad), "{bad}");
    }
    for good in [
        "The key is no longer there.",
        "there is no such key",
        "Only one role waits.",
    ] {
        assert!(!stumbles(good), "{good}");
    }
    assert!(opens_badly("", "    /// What it does."));
    assert!(!opens_badly("/// Returns the key.", "/// It may be empty."));
}
