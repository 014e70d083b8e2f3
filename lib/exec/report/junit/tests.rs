//! JUnit XML as tools write it, and as no tool should.

use super::*;
use crate::exec::report::{ReportFormat, parse};
use crate::protocol::example::{Example, Status};
use crate::protocol::status::TrialStatus;
use Status::{Error, Failed, Passed, Pending};

fn report(text: &str) -> Report {
    parse(ReportFormat::Junit, text.as_bytes())
}

fn statuses(text: &str) -> Vec<(String, Status)> {
    let report = report(text);
    assert_eq!(report.broken, None, "{text}");
    let pair = |example: Example| (example.id, example.status);
    report.examples.into_iter().map(pair).collect()
}

#[test]
fn nested_and_flat_suites_give_the_same_examples() {
    let cases = r#"<testcase classname="A" name="x" time="1,000.5"/><testcase name="y"><skipped/></testcase>"#;
    for text in [
        format!("<testsuite>{cases}</testsuite>"),
        format!(
            "<?xml version='1.0'?><testsuites><testsuite><testsuite>{cases}</testsuite></testsuite></testsuites>"
        ),
        format!("<testsuites>{cases}</testsuites>"),
        format!(
            "<!DOCTYPE testsuites [<!ENTITY a 'b'>]><j:testsuites xmlns:j='urn:j'>{cases}</j:testsuites>\n<!-- end -->\n"
        ),
        format!("<testsuite tests='2'>{cases}</testsuite>").replace("testcase", "j:testcase"),
    ] {
        let expected = [("A::x".to_owned(), Passed), ("y".to_owned(), Pending)];
        assert_eq!(statuses(&text), expected, "{text}");
        assert_eq!(report(&text).examples[0].duration_ms, Some(1_000_500));
    }
}

#[test]
fn the_worst_outcome_of_a_testcase_counts() {
    let text = r#"<testsuite><testcase name="a"><failure message="m &lt; n">b &amp; c
<![CDATA[<raw>]]></failure><skipped/></testcase><testcase name="b"><skipped/><error/></testcase>
<testcase name="c"><system-out>error</system-out></testcase></testsuite>"#;
    let report = report(text);
    let all: Vec<_> = report.examples.iter().map(|e| e.status).collect();
    assert_eq!(all, [Failed, Error, Passed]);
    let message = report.examples[0].message.as_deref();
    assert_eq!(message, Some("m < n\nb & c\n<raw>"));
}

#[test]
fn a_suite_failure_is_an_error_outside_examples() {
    let text = r#"<testsuites><testsuite><error message="boom"/><testcase name="a"/></testsuite><failure/></testsuites>"#;
    let report = report(text);
    assert_eq!(report.outside, ["boom", "<failure> of a suite"]);
    assert_eq!(report.verdict(), Some(TrialStatus::Error));
}

#[test]
fn a_truncated_report_is_refused_but_keeps_its_cases() {
    let text = r#"<testsuites><testsuite name="s"><testcase name="a"><failure>no</failure></testcase></testsuite></testsuites>"#;
    for end in 0..text.len() {
        let report = report(&text[..end]);
        assert!(report.broken.is_some(), "{}", &text[..end]);
        let whole = text[..end].contains("</testcase>");
        assert_eq!(report.bad(), u64::from(whole), "{}", &text[..end]);
    }
    assert_eq!(report(text).broken, None);
    let more = format!("{text}<testsuite><testcase name='b'>");
    assert!(report(&more).broken.is_some());
    assert!(
        report(&format!("{text}ail of an older one>"))
            .broken
            .is_some()
    );
}

#[test]
fn a_suite_whose_totals_contradict_its_cases_is_refused() {
    let (a, b) = ("<testcase name='a'/>", "<testcase name='b'/>");
    let (skipped, bad) = (
        "<testcase name='c'><skipped/></testcase>",
        "<testcase name='d'><failure/></testcase>",
    );
    for text in [
        format!(
            "<testsuites tests='2' failures='1' errors='0'><testsuite tests='2' failures='1'>{a}{b}</testsuite></testsuites>"
        ),
        format!(
            "<testsuites><testsuite tests='0' errors='1'></testsuite><testsuite tests='1'>{a}</testsuite></testsuites>"
        ),
        format!("<testsuite tests='5' failures='0'>{a}</testsuite>"),
        format!(
            "<testsuites tests='3'><testsuite tests='1'>{a}</testsuite><testsuite>{b}</testsuite></testsuites>"
        ),
        format!("<testsuites failures='1'><testsuite>{a}</testsuite></testsuites>"),
        format!("<testsuites errors=' 1 '>{a}</testsuites>"),
        format!("<testsuite tests='2' skipped='1'>{a}{b}</testsuite>"),
        format!("<testsuite skipped='1'>{a}</testsuite>"),
        format!("<testsuite tests='4' skipped='1'>{a}{b}</testsuite>"),
        format!("<testsuite failures='2'>{a}{bad}</testsuite>"),
        format!("<testsuite><testsuite tests='1' failures='1'>{a}</testsuite></testsuite>"),
    ] {
        let report = report(&text);
        assert!(report.broken.is_some(), "{text}");
        assert!(report.total() == 0 || !report.examples.is_empty(), "{text}");
    }
    for text in [
        format!("<testsuites tests='4' failures='1' skipped='1'><testsuite tests='4' failures='1' errors='0' skipped='1'>{a}{b}{skipped}{bad}</testsuite></testsuites>"),
        // Skipped tests are counted but not listed.
        format!("<testsuite tests='3' skipped='2'>{a}</testsuite>"),
        // Totals of the suite's direct cases only, or of all nested ones.
        format!("<testsuite tests='1'>{a}<testsuite tests='1'>{b}</testsuite></testsuite>"),
        format!("<testsuite tests='2'>{a}<testsuite tests='1'>{b}</testsuite></testsuite>"),
        format!("<testsuite tests='1'>{bad}{bad}</testsuite>"),
        format!("<testsuite tests='one'>{a}</testsuite>"),
        // Catch2, doctest and mocha count other things than tests.
        format!("<testsuites><testsuite name='c' errors='0' failures='0' skipped='0' tests='17' hostname='tbd'>{a}</testsuite></testsuites>"),
        "<testsuites><testsuite name='d' errors='0' failures='0' tests='17'><testcase name='a' status='run'/></testsuite></testsuites>".into(),
        format!("<testsuites name='Mocha Tests' tests='1' failures='0'><testsuite name='Root Suite' tests='0'/><testsuite name='s' tests='7'>{a}</testsuite></testsuites>"),
    ] {
        assert_eq!(report(&text).broken, None, "{text}");
    }
}

#[test]
fn attributes_name_the_status_of_a_case_too() {
    for (attributes, status) in [
        ("status='run' result='completed'", Passed),
        ("status='notrun' result='suppressed'", Pending),
        ("status='run' result='skipped'", Pending),
        ("status='disabled'", Pending),
        ("status='Not Run'", Pending),
        ("status='passed'", Passed),
        ("status='failed'", Failed),
        ("status='FAIL'", Failed),
        ("result='failure'", Failed),
        ("status='run' result='failed'", Failed),
        ("status='error'", Error),
        ("result='timed_out'", Error),
        ("status='200'", Passed),
        ("", Passed),
    ] {
        let text = format!("<testsuite><testcase name='a' {attributes}/></testsuite>");
        assert_eq!(statuses(&text), [("a".to_owned(), status)], "{attributes}");
    }
    let text = "<testsuite tests='2' failures='1'><testcase name='a' status='failed'/><testcase name='b' status='passed'><failure/></testcase></testsuite>";
    assert_eq!(
        statuses(text),
        [("a".to_owned(), Failed), ("b".to_owned(), Failed)]
    );
}

#[test]
fn one_test_is_one_example_in_each_dialect_of_reruns() {
    let (good, bad) = (
        "<testcase classname='t' name='x'/>",
        "<testcase classname='t' name='x'><failure message='no'/></testcase>",
    );
    let flaky = "<testcase name='x'><flakyFailure message='no'>why<system-out>o</system-out></flakyFailure></testcase>";
    let rerun =
        "<testcase name='x'><failure message='no'/><rerunFailure message='first'/></testcase>";
    for (text, passed, failed, is_flaky) in [
        // Surefire, nextest, gradle with mergeReruns.
        (
            format!("<testsuite tests='1' failures='0'>{flaky}</testsuite>"),
            1,
            0,
            true,
        ),
        (
            format!("<testsuite tests='1' failures='1'>{rerun}</testsuite>"),
            0,
            1,
            false,
        ),
        // gradle without it, gotestsum.
        (
            format!("<testsuite tests='2' failures='1'>{bad}{good}</testsuite>"),
            1,
            0,
            true,
        ),
        (
            format!("<testsuite tests='3' failures='3'>{bad}{bad}{bad}</testsuite>"),
            0,
            1,
            false,
        ),
        // pytest-rerunfailures: attempts before the last have no outcome.
        (
            format!("<testsuite tests='1' failures='0'>{good}{good}</testsuite>"),
            1,
            0,
            true,
        ),
        (
            format!("<testsuite tests='1' failures='1'>{good}{good}{bad}</testsuite>"),
            0,
            1,
            false,
        ),
        // Two tests with the same name.
        (
            format!("<testsuite tests='2'>{good}{good}</testsuite>"),
            2,
            0,
            false,
        ),
        (format!("<testsuite>{good}{bad}</testsuite>"), 1, 1, false),
        (
            format!(
                "<testsuites><testsuite name='chrome'>{bad}</testsuite><testsuite name='firefox'>{good}</testsuite></testsuites>"
            ),
            1,
            1,
            false,
        ),
    ] {
        let report = report(&text);
        assert_eq!(report.broken, None, "{text}");
        let counts = (report.count(Passed), report.bad());
        assert_eq!(counts, (passed, failed), "{text}");
        assert_eq!(report.examples.len() as u64, passed + failed, "{text}");
        assert_eq!(report.examples.iter().any(|e| e.flaky), is_flaky, "{text}");
        if text.contains("'no'") && is_flaky {
            let message = report.examples[0].message.as_deref().unwrap();
            assert!(message.starts_with("no"), "{message}");
        }
    }
}

#[test]
fn a_node_todo_is_pending_whatever_its_result() {
    let text = "<testsuites><testsuite name='p' tests='1' failures='1' skipped='1'><testcase name='s' failure='t'><skipped type='todo' message='true'/><failure message='t'/></testcase></testsuite></testsuites>";
    assert_eq!(statuses(text), [("s".to_owned(), Pending)]);
}

#[test]
fn malformed_reports_cost_no_memory_and_are_not_guessed_at() {
    let deep = "<testsuite>".repeat(300);
    assert!(report(&deep).broken.is_some());
    let bomb = "<!DOCTYPE t [<!ENTITY a 'ha'><!ENTITY b '&a;&a;'>]><testsuite><testcase name='&b;'><failure>&b;</failure></testcase></testsuite>";
    let read = report(bomb);
    assert_eq!(read.examples[0].name, "&b;");
    assert_eq!(read.examples[0].message.as_deref(), Some("&b;"));
    let long = format!(
        "<testsuite><testcase name='{}'/></testsuite>",
        "ü".repeat(1 << 20)
    );
    assert!(report(&long).examples[0].name.len() < 2000);
}
