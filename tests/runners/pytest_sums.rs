//! pytest: a verdict counts only results of the process that was asked, and all attempts and parts
//! of a test are reported as one example.

use crate::harness::*;
use crate::setup::Setup;
use serde_json::Value;
use std::process::Command;

const FORK: &str = "rrr-slave --adapter pytest";
const NONE: &str = "rrr-slave --adapter pytest --isolation none";

fn write(setup: &Setup, path: &str, text: &str) {
    let path = setup.suite.path().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_forked_child_does_not_answer_for_its_parent() {
    let setup = Setup::new(1);
    let forks = "import os, time\ndef test_a(): pass\ndef test_b():\n    pid = os.fork()\n    if pid:\n        os.waitpid(pid, 0)\n        assert False, 'only the parent sees this'\ndef test_c(): pass\n";
    setup
        .suite
        .file("test_1.py", forks)
        .file(
            "test_2.py",
            &forks.replace(
                "    pid =",
                "    me = os.getpid()\n    os.getpid = lambda: me\n    pid =",
            ),
        )
        .file(
            "test_3.py",
            "import os\nif os.fork(): os.wait()\ndef test_a(): pass\n",
        )
        .file("test_4.py", "def test_fine(): pass\n");
    for slave in [FORK, NONE] {
        let ran = setup.run(slave, &[]);
        for (file, verdict) in [
            ("test_1.py", "failed 2 0 1"),
            ("test_2.py", "failed 2 0 1"),
            ("test_3.py", "passed 1 0 0"),
            ("test_4.py", "passed 1 0 0"),
        ] {
            assert_eq!(ran.verdict(file), verdict, "{slave} {:?}", ran.trial(file));
        }
    }
}

#[test]
fn a_test_that_pytest_collects_and_nothing_reports_is_an_error() {
    let setup = Setup::new(1);
    write(
        &setup,
        "conftest.py",
        "import pytest\n@pytest.hookimpl(tryfirst=True)\ndef pytest_runtest_protocol(item):\n    if 'swallowed' in item.name: return True\n@pytest.hookimpl(trylast=True)\ndef pytest_runtest_logfinish(nodeid):\n    pass\ndef pytest_runtest_teardown(item):\n    if 'counted' in item.name: item.session.testsfailed += 1\n",
    );
    setup
        .suite
        .file(
            "test_1.py",
            "def test_a(): pass\ndef test_swallowed(): pass\n",
        )
        .file("test_2.py", "def test_counted(): pass\n")
        .file("test_3.py", "def test_fine(): pass\n");
    for slave in [FORK, NONE] {
        let ran = setup.run(slave, &[]);
        assert_eq!(ran.verdict("test_1.py"), "failed 1 0 1", "{slave}");
        assert_eq!(ran.verdict("test_2.py"), "error 1 0 0", "{slave}");
        let examples = Value::from(ran.examples("test_2.py")).to_string();
        assert!(
            examples.contains("pytest counts 1 failures, but 0"),
            "{examples}"
        );
        assert_eq!(ran.verdict("test_3.py"), "passed 1 0 0", "{slave}");
    }
    // Nothing runs, so nothing may pass.
    let ran = setup.run(&format!("{FORK} -- --collect-only"), &[]);
    assert_eq!(ran.verdict("test_3.py"), "error 0 0 0");
}

#[test]
fn names_and_ids_survive_any_characters() {
    let setup = Setup::new(1);
    let long = "x".repeat(3000);
    setup.suite.file(
        "test_a.py",
        &format!(
            "import pytest\r\nclass TestA:\r\n    @pytest.mark.parametrize('s', ['a::b', '%0A%25', '[c::d]', 'e/f', 'line\\r\\nend', '\u{fc}'])\r\n    def test_p(self, s):\r\n        assert 's' == s, 'one\\r\\ntwo %0A'\r\ndef test_{long}(): pass\r\n"
        ),
    );
    for slave in [FORK, NONE] {
        let ran = setup.run(slave, &[]);
        assert_eq!(ran.verdict("test_a.py"), "failed 1 0 6", "{slave}");
        let examples = ran.examples("test_a.py");
        let name = |n: usize| examples[n]["name"].as_str().unwrap();
        assert_eq!(name(0), "TestA test_p[a::b]");
        assert_eq!(examples[0]["id"], "test_a.py::TestA::test_p[a::b]");
        assert_eq!(name(1), "TestA test_p[%0A%25]");
        assert_eq!(name(2), "TestA test_p[[c::d]]");
        assert_eq!(name(3), "TestA test_p[e/f]");
        assert!(
            name(4).starts_with("TestA test_p[line\\r\\n"),
            "{}",
            name(4)
        );
        assert!(name(6).contains("dropped"), "{}", name(6));
        let message = examples[1]["message"].as_str().unwrap();
        assert!(message.contains("two %0A"), "{message}");
    }
}

#[test]
fn a_file_of_thousands_has_exact_counts_and_listed_failures() {
    let setup = Setup::new(1);
    setup.suite.file(
        "test_a.py",
        "import pytest\n@pytest.mark.parametrize('n', range(9000))\ndef test_n(n): assert n % 50, '\u{20ac}' * 900\n",
    );
    let ran = setup.run(&format!("{NONE} -- -q --tb=line"), &[]);
    assert_eq!(ran.verdict("test_a.py"), "failed 8820 0 180");
    let examples = ran.examples("test_a.py");
    let failed = examples
        .iter()
        .filter(|it| it["status"] == "failed")
        .count();
    let cut: usize = ran.trial("test_a.py")["examples_cut"].parse().unwrap();
    assert_eq!((failed, examples.len() + cut), (180, 9000));
}

/// Whether the Python that runs the suite has these modules; reports a skip if not.
fn has(modules: &str) -> bool {
    let python = match std::env::var("VIRTUAL_ENV") {
        Ok(environment) => format!("{environment}/bin/python"),
        Err(_) => "/usr/bin/python3".into(),
    };
    let import = format!("import {modules}");
    let output = Command::new(&python).args(["-c", &import]).output();
    let has = output.is_ok_and(|output| output.status.success());
    if !has {
        skipped(&format!("{python} has not all of {modules}"));
    }
    has
}

#[test]
fn reruns_by_a_plugin_are_one_example_decided_by_the_last() {
    if !has("pytest_rerunfailures") {
        return;
    }
    let setup = Setup::new(1);
    setup
        .suite
        .file(
            "test_fixture.py",
            "import pytest\nn = 0\n@pytest.fixture\ndef late():\n    global n\n    n += 1\n    assert n == 3, f'attempt {n}'\n@pytest.mark.flaky(reruns=2)\ndef test_late(late): pass\ndef test_other(): pass\n",
        )
        .file(
            "test_always.py",
            "import pytest\n@pytest.mark.flaky(reruns=2)\ndef test_always(): assert False\n",
        )
        .file("test_never.py", "def test_never(): pass\n");
    for slave in [FORK, NONE] {
        let ran = setup.run(&format!("{slave} -- --reruns 1"), &[]);
        assert_eq!(ran.verdict("test_fixture.py"), "passed 2 0 0", "{slave}");
        assert_eq!(ran.verdict("test_always.py"), "failed 0 0 1", "{slave}");
        assert_eq!(ran.verdict("test_never.py"), "passed 1 0 0", "{slave}");
        let examples = ran.examples("test_fixture.py");
        assert_eq!(examples[0]["id"], "test_fixture.py::test_late");
        let message = examples[0]["message"].as_str().unwrap();
        assert!(message.contains("an earlier attempt failed"), "{message}");
        assert!(examples[1]["message"].is_null(), "{examples:?}");
    }
}

#[test]
fn failed_subtests_are_listed_and_a_skipped_one_skips_no_other() {
    if !has("_pytest.subtests") {
        return;
    }
    let setup = Setup::new(1);
    setup
        .suite
        .file(
            "test_fails.py",
            "def test_parts(subtests):\n    for n in range(30):\n        with subtests.test('part', n=n): assert n % 2, 'odd ' * 500\n",
        )
        .file(
            "test_skips.py",
            "import pytest\ndef test_parts(subtests):\n    with subtests.test('a'): pytest.skip('not here')\n    with subtests.test('b'): pass\n",
        );
    for slave in [FORK, NONE] {
        let ran = setup.run(slave, &[]);
        assert_eq!(ran.verdict("test_fails.py"), "failed 0 0 1", "{slave}");
        assert_eq!(ran.verdict("test_skips.py"), "passed 1 0 0", "{slave}");
        let examples = ran.examples("test_fails.py");
        let message = examples[0]["message"].as_str().unwrap();
        for n in (0..30).step_by(2) {
            assert!(message.contains(&format!("n={n})")), "{n}: {message}");
        }
    }
}
