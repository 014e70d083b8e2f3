//! The meaning of go test -json, from the output of Go 1.19 and 1.27.

use super::*;
use crate::exec::report::{ReportFormat, parse};
use crate::protocol::status::TrialStatus;
use Status::{Error, Failed, Passed, Pending};

fn report(text: &str) -> Report {
    parse(ReportFormat::GoJson, text.as_bytes())
}

/// One event per word: `run:TestA`, `output:TestA:text`, `pass`; all of package p.
fn events(words: &[&str]) -> String {
    let event = |word: &&str| {
        let mut parts = word.splitn(3, ':');
        let action = parts.next().unwrap();
        let mut event = serde_json::json!({"Action": action, "Package": "p"});
        if let Some(test) = parts.next().filter(|test| !test.is_empty()) {
            event["Test"] = test.into();
        }
        if let Some(output) = parts.next() {
            event["Output"] = format!("{output}\n").into();
        }
        if matches!(action, "pass" | "fail" | "skip") {
            event["Elapsed"] = 1.5.into();
        }
        format!("{event}\n")
    };
    words.iter().map(event).collect()
}

fn counts(report: &Report) -> [u64; 4] {
    [Passed, Pending, Failed, Error].map(|status| report.count(status))
}

#[test]
fn tests_keep_their_output_and_packages_their_exit() {
    let report = report(&events(&[
        "start",
        "run:TestA",
        "output:TestA:    a_test.go:5: no",
        "fail:TestA",
        "run:TestB",
        "skip:TestB",
        "run:TestC",
        "pass:TestC",
        "fail",
    ]));
    assert_eq!(counts(&report), [1, 1, 1, 0]);
    assert_eq!(report.examples[0].id, "p.TestA");
    let message = report.examples[0].message.as_deref();
    assert_eq!(message, Some("    a_test.go:5: no\n"));
    assert_eq!(report.examples[2].duration_ms, Some(1500));
    assert_eq!(report.verdict(), Some(TrialStatus::Failed));
}

#[test]
fn a_passed_package_passes_its_unfinished_tests() {
    let half_line = "output:TestA:partial--- PASS: TestA (0.00s)";
    for (words, expected) in [
        (
            &["start", "run:TestA", half_line, "output::PASS", "pass"][..],
            [1, 0, 0, 0],
        ),
        (
            &[
                "start",
                "run:BenchmarkA",
                "output:BenchmarkA:BenchmarkA-2 \t 9 ns/op",
                "output::PASS",
                "pass",
            ],
            [1, 0, 0, 0],
        ),
        (
            &[
                "run:BenchmarkA",
                "output:BenchmarkA-2:--- BENCH: BenchmarkA-2",
                "bench:BenchmarkA-2",
                "output::PASS",
                "pass",
            ],
            [1, 0, 0, 0],
        ),
        (
            &[
                "run:TestA",
                "output:TestA:half--- SKIP: TestA (0.00s)",
                "output::PASS",
                "pass",
            ],
            [0, 1, 0, 0],
        ),
        (
            &[
                "run:TestA",
                "output:TestA:half--- FAIL: TestA (0.01s)",
                "output::FAIL",
                "fail",
            ],
            [0, 0, 1, 0],
        ),
        (
            &[
                "run:TestA",
                "output:TestA:--- PASS: TestB (0.00s)",
                "output::FAIL",
                "fail",
            ],
            [0, 0, 0, 1],
        ),
        // The test called exit(0): PASS was never printed.
        (&["run:TestA", "pass"], [0, 0, 0, 1]),
        // Paused and resumed, with a subtest.
        (
            &[
                "run:TestA",
                "run:TestA/b_c",
                "pause:TestA/b_c",
                "cont:TestA/b_c",
                "pass:TestA/b_c",
                "pass:TestA",
                "output::PASS",
                "pass",
            ],
            [2, 0, 0, 0],
        ),
        // -count=2: the worst outcome counts.
        (
            &["run:TestA", "fail:TestA", "run:TestA", "pass:TestA", "fail"],
            [0, 0, 1, 0],
        ),
        (
            &["run:TestA", "pass:TestA", "run:TestA", "fail:TestA", "fail"],
            [0, 0, 1, 0],
        ),
    ] {
        let report = report(&events(words));
        assert_eq!(counts(&report), expected, "{words:?}");
        assert!(report.outside.is_empty(), "{words:?} {:?}", report.outside);
        assert!(report.examples.iter().all(|e| e.id.starts_with("p.")));
    }
}

#[test]
fn a_rerun_package_makes_its_tests_flaky() {
    let first = [
        "start",
        "run:TestA",
        "fail:TestA",
        "run:TestB",
        "pass:TestB",
        "fail",
    ];
    let again = ["start", "run:TestA", "pass:TestA", "output::PASS", "pass"];
    let read = report(&events(&[&first[..], &again].concat()));
    assert_eq!(counts(&read), [2, 0, 0, 0]);
    assert_eq!(read.examples.iter().filter(|e| e.flaky).count(), 1);
    let read = report(&events(&[&first[..], &first].concat()));
    assert_eq!(counts(&read), [1, 0, 1, 0]);
}

#[test]
fn a_package_without_tests_is_pending() {
    for words in [
        &["start", "output::?   \tp\t[no test files]", "skip"][..],
        &[
            "output::testing: warning: no tests to run",
            "output::PASS",
            "output::ok  \tp\t0.1s [no tests to run]",
            "pass",
        ],
        &["start", "pass"],
    ] {
        let report = report(&events(words));
        assert_eq!(report.verdict(), Some(TrialStatus::Pending), "{words:?}");
        assert_eq!(report.examples[0].name, "p");
    }
}

#[test]
fn a_timeout_or_panic_is_reported_with_its_text() {
    let text = events(&[
        "start",
        "run:TestFirst",
        "run:TestSlow",
        &format!("output:TestSlow:{}", "x".repeat(9000)),
        "output:TestSlow:panic: test timed out after 1s",
        "output:TestSlow:\trunning tests:",
        "output::FAIL\tp\t1.0s",
        "fail",
    ]);
    let report = report(&text);
    assert_eq!(counts(&report), [0, 0, 0, 2]);
    for (example, id) in report.examples.iter().zip(["p.TestFirst", "p.TestSlow"]) {
        assert_eq!(example.id, id);
        let message = example.message.as_deref().unwrap();
        assert!(
            message
                .starts_with("it began and did not end\npanic: test timed out after 1s\n\trunning"),
            "{message}"
        );
    }
    assert_eq!(report.verdict(), Some(TrialStatus::Failed));
}

#[test]
fn an_unfinished_or_failed_build_is_an_error() {
    let build = r#"{"ImportPath":"p [p.test]","Action":"build-output","Output":"x.go:1: no\n"}
{"ImportPath":"p [p.test]","Action":"build-fail"}
{"Action":"start","Package":"p"}
{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}
{"Action":"fail","Package":"p","Elapsed":0,"FailedBuild":"p [p.test]"}"#;
    let read = report(build);
    assert_eq!(read.outside, ["cannot build 'p [p.test]'\nx.go:1: no\n"]);
    let whole = events(&["run:TestA", "pass:TestA", "output::PASS", "pass"]);
    assert_eq!(report(&whole).verdict(), Some(TrialStatus::Passed));
    let ends: Vec<_> = whole.match_indices('\n').map(|(end, _)| end).collect();
    let cut = ends[..3].iter().map(|end| &whole[..*end]);
    // syscall.Exit(0): the end event of the package names the test that was running.
    let exit = events(&[
        "start",
        "run:TestA",
        "output:TestA:ok  \tp\t0.003s",
        "pass:TestA",
    ]);
    let failed = events(&["start", "output::exit status 1", "fail"]);
    for text in cut.chain([build, &exit, &failed]) {
        assert_eq!(report(text).verdict(), Some(TrialStatus::Error), "{text}");
    }
}
