//! Reports of commands: they provide counts and never turn a failure into a pass.

use crate::setup::Setup;

#[test]
fn a_command_may_write_its_report_to_a_file_in_any_format() {
    let setup = Setup::new(1);
    let suite = &setup.suite;
    suite
        .file("writes", "echo '1..2'; echo 'ok 1'; echo 'ok 2'")
        .file("prints", "")
        .file(
            "run.sh",
            "case $1 in writes) sh $1 >$2 ;; *) echo 1..1; echo ok 1 ;; esac",
        );
    let slave = "rrr-slave --report tap -- sh run.sh {} {report}";
    let ran = setup.run(slave, &["writes", "prints"]);
    assert_eq!(ran.verdict("writes"), "passed 2 0 0");
    assert_eq!(ran.verdict("prints"), "error 0 0 0");
}

#[test]
fn tap_on_stdout_gives_counts_examples_and_verdicts() {
    let setup = Setup::new(2);
    setup
        .suite
        .file("mixed", "echo '1..3'; echo 'ok 1 - a'; echo 'not ok 2 - b'; echo '# why'; echo 'ok 3 - c # SKIP d'; exit 1")
        .file("good", "echo 'ok 1 - a'; echo 'ok 2 - b'; echo '1..2'")
        .file("skipped", "echo '1..0 # SKIP no database'")
        .file("lies", "echo '1..1'; echo 'not ok 1 - b'; exit 0")
        .file("late", "echo '1..1'; echo 'ok 1 - b'; exit 3")
        .file("short", "echo '1..5'; echo 'ok 1 - a'; echo 'not ok 2 - b'; exit 1")
        .file("hash", "echo '1..2'; echo 'ok 1 - a#skip b'; echo 'not ok 2 - keeps #todo'");
    let ran = setup.run("rrr-slave --report tap -- sh {}", &[]);
    assert_eq!(ran.verdict("mixed"), "failed 1 1 1");
    assert_eq!(ran.verdict("good"), "passed 2 0 0");
    assert_eq!(ran.verdict("skipped"), "pending 0 1 0");
    assert_eq!(ran.verdict("lies"), "failed 0 0 1");
    assert_eq!(ran.verdict("late"), "failed 1 0 0");
    assert_eq!(ran.verdict("short"), "failed 1 0 1");
    assert_eq!(ran.verdict("hash"), "failed 1 0 1");
    assert!(ran.trial("short")["stderr"].contains("5 tests were planned"));
    let bad = &ran.examples("mixed")[1];
    assert_eq!(bad["name"], "b");
    assert_eq!(bad["status"], "failed");
    assert_eq!(bad["message"], "why\n");
}

#[test]
fn a_missing_broken_stale_or_empty_report_never_passes() {
    let setup = Setup::new(1);
    let good = r#"<testsuite><testcase name="a"/></testsuite>"#;
    setup
        .suite
        .file("1-writes", &format!("echo '{good}' > \"$1\""))
        .file("2-writes-none", "exit 0")
        .file("3-cut-short", "echo '<testsuite><testcase name=' > \"$1\"")
        .file("4-of-nothing", "echo '<testsuites/>' > \"$1\"")
        .file(
            "5-by-variable",
            &format!("echo '{good}' > \"$XML_OUTPUT_FILE\""),
        );
    let ran = setup.run("rrr-slave --report junit -- sh {} {report}", &[]);
    assert_eq!(ran.verdict("1-writes"), "passed 1 0 0");
    assert_eq!(ran.verdict("5-by-variable"), "passed 1 0 0");
    for (file, says) in [
        ("2-writes-none", "cannot be used"),
        ("3-cut-short", "cannot be used"),
        ("4-of-nothing", "names no test"),
    ] {
        assert!(ran.verdict(file).starts_with("error "), "{file}");
        assert!(ran.trial(file)["stderr"].contains(says), "{file}");
    }
    // Each would pass with the report of an earlier trial.
    let path = "rrr-slave --report junit:out/{}.xml -- sh {} {report}";
    std::fs::create_dir(setup.suite.path().join("out")).unwrap();
    std::fs::write(setup.suite.path().join("out/2-writes-none.xml"), good).unwrap();
    let ran = setup.run(path, &[]);
    assert_eq!(ran.verdict("1-writes"), "passed 1 0 0");
    assert!(ran.verdict("2-writes-none").starts_with("error "));
}

#[test]
fn auto_detects_the_report_format() {
    let setup = Setup::new(2);
    setup
        .suite
        .file("tap", "echo 'TAP version 14'; echo '1..1'; echo 'ok 1'")
        .file("junit", "echo '<testsuite><testcase name=\"a\"/><testcase name=\"b\"/></testsuite>' > \"$1\"")
        .file("rspec", "echo '{\"examples\":[],\"summary\":{\"example_count\":0,\"failure_count\":0}}'")
        .file("go", "echo '{\"Action\":\"pass\",\"Package\":\"p\",\"Test\":\"T\"}'; echo '{\"Action\":\"pass\",\"Package\":\"p\"}'")
        .file("rust", "echo '{\"type\":\"suite\",\"event\":\"started\",\"test_count\":1}'; echo '{\"type\":\"test\",\"event\":\"ok\",\"name\":\"t\"}'; echo '{\"type\":\"suite\",\"event\":\"ok\"}'")
        .file("prose", "echo all is well");
    let ran = setup.run("rrr-slave --report auto -- sh {} {report}", &[]);
    assert_eq!(ran.verdict("tap"), "passed 1 0 0");
    assert_eq!(ran.verdict("junit"), "passed 2 0 0");
    assert_eq!(ran.verdict("go"), "passed 1 0 0");
    assert_eq!(ran.verdict("rust"), "passed 1 0 0");
    assert!(ran.verdict("rspec").starts_with("error "));
    assert!(ran.verdict("prose").starts_with("error "));
}

#[test]
fn a_killed_command_is_an_error_whatever_its_report_says() {
    let setup = Setup::new(1);
    setup
        .suite
        .file("dies", "echo '1..1'; echo 'ok 1 - a'; kill -SEGV $$");
    let ran = setup.run("rrr-slave --report tap -- sh {}", &[]);
    assert_eq!(ran.verdict("dies"), "error 1 0 0");
}

#[test]
fn a_test_knows_its_place_and_gets_a_clean_folder() {
    let setup = Setup::new(1);
    let text = "test -z \"$(ls -A \"$TEST_TMPDIR\")\" && touch \"$TEST_TMPDIR/x\" && echo \"$RRR_RUN_ID $RRR_SLOT $RRR_ATTEMPT $TEST_TIMEOUT\"";
    setup.suite.file("a", text).file("b", text);
    let ran = setup.run("rrr-slave -- sh {}", &["--unknown-spec-timeout", "77"]);
    let receipt = ran.done.receipt();
    let run_id = receipt.taskset.as_str();
    let run_id = run_id.strip_prefix("rrrspec:taskset:").unwrap();
    for file in ["a", "b"] {
        let trial = ran.trial(file);
        assert_eq!(trial["stdout"], format!("{run_id} 0 1 77\n"), "{trial:?}");
    }
}

#[test]
fn an_unknown_format_is_refused_and_names_the_known_ones() {
    let setup = Setup::new(1);
    setup.suite.file("a", "");
    let ran = setup.run("rrr-slave --report xunit -- sh {}", &[]);
    let receipt = ran.done.expect_code(1).receipt();
    let reason = receipt.fail_reason.as_deref().unwrap();
    assert!(reason.contains("slave command"), "{reason}");
}
