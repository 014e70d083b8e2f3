//! The output of test binaries, and output of their tests in the middle of it.

use super::*;
use crate::exec::report::{ReportFormat, parse};
use crate::protocol::status::TrialStatus;

const WHOLE: &str = "
running 4 tests
test adds ... ok
test panics - should panic ... ok
test fails ... FAILED
test waits ... ignored, slow

failures:

---- fails stdout ----
seen
test result: is what a test may print

thread 'fails' panicked at src/lib.rs:3:58:


failures:
    fails

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.13s

running 1 test
test joins ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

fn report(text: &str) -> Report {
    parse(ReportFormat::Libtest, text.as_bytes())
}

fn counts(report: &Report) -> [u64; 3] {
    STATUSES.map(|status| report.count(status))
}

/// The last line of a binary.
fn result(word: &str, passed: u32, failed: u32) -> String {
    format!(
        "test result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n"
    )
}

#[test]
fn counts_match_the_summary_line() {
    let report = report(WHOLE);
    assert_eq!(counts(&report), [3, 1, 1]);
    assert!(report.outside.is_empty());
    let bad = &report.examples[2];
    assert_eq!(bad.name, "fails");
    let message = bad.message.as_deref().unwrap();
    assert!(message.starts_with("seen\n") && message.contains("src/lib.rs:3:58"));
    assert_eq!(report.examples[1].name, "panics");
    assert_eq!(report.examples[3].message.as_deref(), Some("slow"));
}

#[test]
fn names_may_contain_spaces_and_outcomes_several_words() {
    for (line, name, status) in [
        (
            "test src/lib.rs - a (line 3) ... ok",
            "src/lib.rs - a (line 3)",
            Status::Passed,
        ),
        (
            "test src/lib.rs - a (line 3) - compile fail ... ok",
            "src/lib.rs - a (line 3) - compile fail",
            Status::Passed,
        ),
        ("test [ui] a ... b ... ok", "[ui] a ... b", Status::Passed),
        ("test a ... ignored, for b ... ok", "a", Status::Pending),
        ("test a ... ok <0.012s>", "a", Status::Passed),
        (
            "test a ... FAILED (time limit exceeded)",
            "a",
            Status::Failed,
        ),
        (
            "test a ... bench:         123 ns/iter (+/- 5)",
            "a",
            Status::Passed,
        ),
    ] {
        let example = test(line).unwrap();
        assert_eq!((&*example.name, example.status), (name, status), "{line}");
    }
    assert_eq!(
        test("test a ... ok <0.012s>").unwrap().duration_ms,
        Some(12)
    );
    assert!(test("test a has been running for over 60 seconds").is_none());
}

#[test]
fn garbled_or_forged_lines_change_no_count() {
    let made_up = "test joins ... ok\ntest made_up ... FAILED\ntest more ... ok";
    for text in [
        WHOLE.replace("test adds ... ok", "test adds ... noise\nok"),
        WHOLE.replace("test joins ... ok", made_up),
        WHOLE.replace("seen\n", "test fake ... ok\nrunning 7 tests\n"),
        // A test ran cargo test, which passed, failed or died.
        WHOLE.replace(
            "test joins",
            &format!(
                "running 2 tests\ntest in ... ok\n{}test joins",
                result("FAILED", 1, 1)
            ),
        ),
        WHOLE.replace(
            "test joins",
            &format!(
                "running 1 test\ntest in ... ok\n{}test joins",
                result("ok", 1, 0)
            ),
        ),
        WHOLE.replace(
            "test joins",
            "running 2 tests\ntest in ... FAILED\ntest joins",
        ),
        // The counts of another binary, or of this one with another outcome.
        WHOLE.replace("seen\n", &result("ok", 99, 0)),
        WHOLE.replace("seen\n", &result("ok", 4, 0)),
    ] {
        let report = report(&text);
        assert_eq!(counts(&report), [3, 1, 1], "{text}");
        assert!(report.outside.is_empty(), "{text} {:?}", report.outside);
    }
}

#[test]
fn output_of_passing_tests_is_not_a_failure_message() {
    let text = format!(
        "running 1 test\ntest a ... ok\n\nsuccesses:\n\n---- a stdout ----\ntest b ... FAILED\n\n\nsuccesses:\n    a\n\n{}",
        result("ok", 1, 0)
    );
    let report = report(&text);
    assert_eq!(counts(&report), [1, 0, 0]);
    assert_eq!(report.examples[0].message, None);
}

#[test]
fn counts_that_contradict_themselves_are_an_error() {
    for text in [
        format!("running 2 tests\ntest a ... ok\n{}", result("ok", 1, 0)),
        format!(
            "running 1 test\ntest a ... ok\n{}",
            result("ok", 5_000_000, 0)
        ),
        format!("running 1 test\ntest a ... FAILED\n{}", result("ok", 0, 1)),
        format!("running 1 test\ntest a ... ok\n{}", result("FAILED", 1, 0)),
        format!("running 0 tests\n\n{}", result("FAILED", 0, 0)),
        "running 3 tests\n".into(),
    ] {
        let verdict = report(&text).verdict();
        assert_eq!(verdict, Some(TrialStatus::Error), "{text}");
    }
    assert!(report(&result("ok", 1, 0)).broken.is_some());
    assert_eq!(
        report(&format!("running 0 tests\n\n{}", result("ok", 0, 0))).verdict(),
        None
    );
}

#[test]
fn a_count_without_lines_allocates_nothing() {
    let text = format!("running 4000000 tests\n{}", result("ok", 4_000_000, 0)).repeat(6);
    let report = report(&text);
    assert_eq!(counts(&report), [24_000_000, 0, 0]);
    assert_eq!((report.examples.len(), report.cut), (0, 24_000_000));
}

#[test]
fn a_binary_that_dies_midway_never_passes_but_others_count() {
    let lines: Vec<&str> = WHOLE.lines().collect();
    for end in 2..lines.len() {
        let report = report(&lines[..end].join("\n"));
        assert_ne!(report.verdict(), Some(TrialStatus::Passed), "{end}");
    }
    let report = report(&format!("running 9 tests\ntest dies ... ok\n{WHOLE}"));
    assert_eq!(counts(&report), [4, 1, 1]);
    assert_eq!(report.outside, ["1 of 3 test binaries did not end"]);
}
