//! The options of cargo test and of the test binaries: which of them each invocation may have.

/// Flags of cargo test that control its output or how far it runs: each invocation sets its own.
const OURS: [&str; 4] = ["--no-run", "--no-fail-fast", "--quiet", "--doc"];
/// Flags of this kind that have a value.
const OURS_WITH_VALUE: [&str; 2] = ["--message-format", "--color"];
/// Flags that select targets: with any of them cargo test does not run doctests.
const TARGETS: [&str; 10] = [
    "--lib",
    "--bins",
    "--bin",
    "--examples",
    "--example",
    "--tests",
    "--test",
    "--benches",
    "--bench",
    "--all-targets",
];
/// Options of test binaries whose value is the next word.
const WITH_VALUE: [&str; 7] = [
    "--skip",
    "--test-threads",
    "--logfile",
    "--format",
    "--color",
    "--shuffle-seed",
    "-Z",
];

/// Whether `word` is the option `name`, alone or as `NAME=VALUE`.
pub(crate) fn is(word: &str, name: &str) -> bool {
    word.strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

/// The words without the options that `drop` selects (and their values, if they have one).
pub(crate) fn without(words: &[String], drop: impl Fn(&str) -> Option<Value>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match drop(word) {
            None => kept.push(word.clone()),
            Some(Value::Next) if !word.contains('=') => _ = words.next(),
            Some(_) => {}
        }
    }
    kept
}

/// The position of an option's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// No value, or in the same word.
    Inside,
    /// In the next word, unless it follows a `=`.
    Next,
}

/// Options of cargo test, without those that each invocation sets itself.
pub(crate) fn of_cargo(words: &[String]) -> Vec<String> {
    let kept = without(words, |word| {
        if OURS_WITH_VALUE.iter().any(|name| is(word, name)) {
            Some(Value::Next)
        } else {
            OURS.contains(&word).then_some(Value::Inside)
        }
    });
    // `-q` may be in a bundle: -rq.
    let loud = |word: String| match word.strip_prefix('-') {
        Some(letters) if letters.contains('q') && letters.chars().all(|c| "qrv".contains(c)) => {
            let rest = letters.replace('q', "");
            (!rest.is_empty()).then(|| format!("-{rest}"))
        }
        _ => Some(word),
    };
    kept.into_iter().filter_map(loud).collect()
}

/// Whether the options select only doctests.
pub(crate) fn are_for_doctests(words: &[String]) -> bool {
    words.iter().any(|word| word == "--doc")
}

/// Whether the options select targets.
pub(crate) fn choose_targets(words: &[String]) -> bool {
    let chooses = |word: &String| TARGETS.iter().any(|name| is(word, name));
    words.iter().any(chooses)
}

/// Options of a test binary, without those that change the format of its output.
pub(crate) fn of_binary(words: &[String]) -> Vec<String> {
    without(words, |word| match word {
        "-q" | "--quiet" => Some(Value::Inside),
        _ if is(word, "--format") => Some(Value::Next),
        _ => None,
    })
}

/// Options of a test binary without those that select tests by name: for a single test, which is
/// named explicitly.
pub(crate) fn of_single_test(words: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut has_value = false;
    for word in words {
        if has_value || (word.starts_with('-') && word != "--exact") {
            kept.push(word.clone());
        }
        has_value = !has_value && WITH_VALUE.contains(&&**word);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_set_by_each_call_are_omitted() {
        let given = "-q -rq --no-run --color never --message-format=short --features q name";
        assert_eq!(of_cargo(&words(given)), words("-r --features q name"));
        let given = "--quiet --format terse --skip x -q --format=json a";
        assert_eq!(of_binary(&words(given)), words("--skip x a"));
    }

    #[test]
    fn a_single_test_is_selected_by_its_exact_name() {
        let given = "name --skip x --exact other --include-ignored -Z unstable-options";
        let kept = "--skip x --include-ignored -Z unstable-options";
        assert_eq!(of_single_test(&words(given)), words(kept));
    }

    #[test]
    fn doctests_run_where_no_target_is_chosen() {
        assert!(!choose_targets(&words("--features lib --testing -p a")));
        assert!(choose_targets(&words("--test=a")) && choose_targets(&words("-p a --lib")));
        assert!(are_for_doctests(&words("-p a --doc")) && !are_for_doctests(&words("-p doc")));
    }
}
