//! The meaning of TAP, from lines that producers write and lines that they should not.

use super::*;
use crate::exec::report::{ReportFormat, parse};
use crate::protocol::status::TrialStatus;
use Status::{Failed, Passed, Pending};

fn report(text: &str) -> Report {
    parse(ReportFormat::Tap, text.as_bytes())
}

/// The reason for rejecting the report, and the counts that were kept.
fn broken(text: &str) -> (String, [u64; 2]) {
    let report = report(text);
    let counts = [report.count(Passed), report.count(Failed)];
    let why = report.broken.unwrap_or_else(|| panic!("taken: {text}"));
    (why, counts)
}

#[test]
fn directives_subtests_and_diagnostics_are_parsed() {
    let report = report(
        "TAP version 14\n1..6\nok 1 - adds\n    not ok 1 - inner\n    1..1\nnot ok 2 - outer\n  ---\n  message: no\n  ...\n# more\nok 3 # SKIP no db\nnot ok 4 - later # TODO soon\nok\nok 6 - \\# is not a directive\n",
    );
    let statuses: Vec<_> = report.examples.iter().map(|e| e.status).collect();
    assert_eq!(report.broken, None);
    assert_eq!(statuses, [Passed, Failed, Pending, Pending, Passed, Passed]);
    let message = report.examples[1].message.as_deref();
    assert_eq!(message, Some("message: no\nmore\n"));
    let names: Vec<_> = report.examples[3..].iter().map(|e| &*e.name).collect();
    assert_eq!(names, ["later", "5", "# is not a directive"]);
}

#[test]
fn only_a_separate_whole_word_is_a_directive() {
    for (line, status, name) in [
        (
            "not ok 1 - parser keeps #todos apart",
            Failed,
            "parser keeps #todos apart",
        ),
        ("not ok 1 - List#todo is kept", Failed, "List#todo is kept"),
        ("not ok 1 - keeps #todo lines", Failed, "keeps #todo lines"),
        (
            "not ok 1 - a # todos are kept",
            Failed,
            "a # todos are kept",
        ),
        ("not ok 1 - a # todo_list", Failed, "a # todo_list"),
        ("not ok 1 - a # todo-list", Failed, "a # todo-list"),
        ("not ok 1 - a\\ # TODO b", Pending, "a\\"),
        ("not ok 1 - a \\# TODO b", Failed, "a # TODO b"),
        ("not ok 1 - a \\\\# TODO b", Failed, "a \\# TODO b"),
        ("not ok 1 - a # TODO b", Pending, "a"),
        ("not ok 1 - a # TODO", Pending, "a"),
        ("not ok 1 - a\t#\ttodo: b", Pending, "a"),
        ("not ok 1 - a # SKIP b", Failed, "a"),
        ("not ok 1 - a # b # TODO c", Pending, "a # b"),
        ("not ok 1 # TODO", Pending, "1"),
        ("not ok - # TODO", Pending, "1"),
        (
            "ok 1 - LazyRange#skip jumps",
            Passed,
            "LazyRange#skip jumps",
        ),
        (
            "ok 1 issue #12 stays fixed",
            Passed,
            "issue #12 stays fixed",
        ),
        (
            "ok 1 - a # skipped, in a way",
            Passed,
            "a # skipped, in a way",
        ),
        ("ok 1 - a # TODO b", Passed, "a"),
        ("ok 1 a # Skip", Pending, "a"),
        ("ok 1 - C:\\temp \\\\ x", Passed, "C:\\temp \\ x"),
        ("ok 1 -- dashes", Passed, "-- dashes"),
        ("ok 1 - 2 + 2", Passed, "2 + 2"),
        ("ok 3rd time", Passed, "3rd time"),
        ("ok 1 - a # time=12.4ms", Passed, "a"),
        ("ok 1 - a # time=12.4ms # SKIP", Pending, "a"),
        ("ok 1 - a # time=slow", Passed, "a # time=slow"),
    ] {
        let report = report(&format!("1..1\n{line}\n"));
        assert_eq!(report.broken, None, "{line}");
        let [example] = &report.examples[..] else {
            panic!("{line}");
        };
        assert_eq!((example.status, &*example.name), (status, name), "{line}");
    }
}

#[test]
fn a_report_without_a_plan_or_contradicting_it_is_refused() {
    for (text, kept) in [
        ("ok 1\n", [1, 0]),
        ("1..2\nok 1\n", [1, 0]),
        ("1..2\nok 1 - a\nnot ok 2 - b\nok 3 - c\n", [2, 1]),
        ("ok 1\nok 2\n1..1\n", [2, 0]),
        ("1..2\nok 1\nok 1\n", [2, 0]),
        ("1..2\nok 2\nok 1\n", [2, 0]),
        ("1..2\nok 1\nok 3\n", [2, 0]),
        ("1..2\nok 1\nok 99999999999999999999999\n", [2, 0]),
        ("1..1\nok 0\n", [1, 0]),
        ("ok 1\n1..2\nok 2\n", [2, 0]),
        ("1..1\nok 1\n1..1\n", [1, 0]),
        ("1..0\nok 1\n", [1, 0]),
        (
            "1..1\n    1..2\n    ok 1\n    not ok 2\nok 1 - outer\n",
            [1, 0],
        ),
        ("1..1\n    1..2\n    ok 1\nok 1 - outer\n", [1, 0]),
        ("1..1\nokay 1\n", [0, 0]),
    ] {
        assert_eq!(broken(text).1, kept, "{text}");
    }
    for text in [
        "ok 1\n1..1\n",
        "1..2\nok\nok 2\n",
        "1..1\r\nok 1 - a\r\n",
        "TAP version 13\n1..1\npragma +strict\nunknown\nok 1\n",
        "1..1\n    not ok 1 # TODO\n    1..1\nok 1 - outer\n",
        "1..1\n    not ok 1 is what it printed\nok 1 - outer\n",
    ] {
        assert_eq!(report(text).broken, None, "{text}");
    }
}

#[test]
fn a_skipped_file_is_pending_and_a_bail_out_an_error() {
    for text in [
        "1..0 # SKIP no network\n",
        "1..0\n",
        "TAP version 14\n1..0 # no network\n",
    ] {
        let verdict = report(text).verdict();
        assert_eq!(verdict, Some(TrialStatus::Pending), "{text}");
    }
    for text in [
        "1..2\nok 1\nBail out! no disk\n",
        "1..2\nok 1\nbail out!\n",
        "1..1\nok 1\n    Bail out! no disk\n",
        "1..1\n    1..2\n    ok 1\n    Bail out!\n",
        "1..0\nBail out!\n",
    ] {
        let verdict = report(text).verdict();
        assert_eq!(verdict, Some(TrialStatus::Error), "{text}");
    }
    let yaml = "1..1\nnot ok 1 - a\n  ---\n  seen: |\n    Bail out! it said\n    1..7\n  duration_ms: 1500.25\n  ...\n# end\n";
    let report = report(yaml);
    assert_eq!(report.verdict(), Some(TrialStatus::Failed));
    assert_eq!(report.examples[0].duration_ms, Some(1500));
    let message = report.examples[0].message.as_deref().unwrap();
    assert!(message.contains("Bail out! it said") && message.ends_with("end\n"));
}
