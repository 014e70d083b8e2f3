//! pytest, loaded once: the results match those of its own command, and a file cannot affect the
//! next.

use crate::harness::*;
use crate::setup::Setup;

const FORK: &str = "rrr-slave --adapter pytest";
const NONE: &str = "rrr-slave --adapter pytest --isolation none";

#[test]
fn counts_match_those_of_pytest() {
    let setup = Setup::new(1);
    setup
        .suite
        .file(
            "test_a.py",
            "import pytest\ndef test_passes():\n    pass\ndef test_fails():\n    print('seen')\n    assert 1 == 2\n@pytest.mark.skip(reason='not now')\ndef test_skips(): pass\n@pytest.mark.xfail(reason='known')\ndef test_xfails(): assert 0\n@pytest.mark.xfail\ndef test_xpasses(): pass\n@pytest.mark.parametrize('n', [1, 2])\ndef test_many(n): pass\n",
        )
        .file("test_b.py", "class TestB:\n    def test_b(self): pass\n")
        .file("test_c.py", "import pytest\npytest.skip('no module', allow_module_level=True)\n")
        .file("test_d.py", "def test_d(): pass\nraise RuntimeError('outside')\n")
        .file("test_e.py", "# no tests\n")
        .file(
            "test_f.py",
            "import pytest\n@pytest.fixture\ndef bad(): raise RuntimeError('no set-up')\n@pytest.fixture\ndef late():\n    yield\n    raise RuntimeError('no tear-down')\ndef test_1(bad): pass\ndef test_2(late): pass\n",
        )
        .file("test_g.py", "import unittest\nclass T(unittest.TestCase):\n    def test_1(self): self.assertTrue(True)\n    @unittest.skip('x')\n    def test_2(self): pass\n")
        .file("test_h.py", "import pytest\ndef test_h(): pytest.exit('enough')\n")
        .file("test_a.py::test_many[2]", "");
    std::fs::remove_file(setup.suite.path().join("test_a.py::test_many[2]")).unwrap();
    for slave in [FORK, NONE] {
        let ran = setup.run(slave, &[]);
        for (file, verdict) in [
            ("test_a.py", "failed 4 2 1"),
            ("test_b.py", "passed 1 0 0"),
            ("test_c.py", "pending 0 1 0"),
            ("test_d.py", "error 0 0 0"),
            ("test_e.py", "error 0 0 0"),
            ("test_f.py", "failed 0 0 2"),
            ("test_g.py", "passed 1 1 0"),
            ("test_a.py::test_many[2]", "passed 1 0 0"),
        ] {
            assert_eq!(ran.verdict(file), verdict, "{slave} {:?}", ran.trial(file));
        }
        assert!(ran.verdict("test_h.py").starts_with("error"), "{slave}");
        let trial = ran.trial("test_a.py");
        assert!(trial["stdout"].contains("assert 1 == 2"), "{trial:?}");
        assert!(trial["stdout"].contains("seen"), "{trial:?}");
        assert!(
            trial["stdout"].contains("1 failed, 3 passed, 1 skipped, 1 xfailed, 1 xpassed"),
            "{trial:?}"
        );
        let examples = ran.examples("test_a.py");
        assert_eq!(examples.len(), 7);
        let bad = &examples[1];
        assert_eq!(bad["id"], "test_a.py::test_fails");
        assert_eq!(
            (bad["file"].as_str(), bad["line"].as_u64()),
            (Some("test_a.py"), Some(4))
        );
        assert!(
            bad["message"].as_str().unwrap().contains("assert 1 == 2"),
            "{bad}"
        );
        assert!(examples[2]["message"].as_str().unwrap().contains("not now"));
        let examples = ran.examples("test_d.py");
        let outside = examples
            .first()
            .unwrap_or_else(|| panic!("{slave} {:?}", ran.trial("test_d.py")));
        assert!(
            outside["message"].as_str().unwrap().contains("outside"),
            "{outside}"
        );
    }
}

#[test]
fn conftest_and_plugins_are_loaded_once_and_sessions_end() {
    let setup = Setup::new(1);
    std::fs::create_dir(setup.suite.path().join("tests")).unwrap();
    std::fs::write(
        setup.suite.path().join("tests/conftest.py"),
        "import pytest\ndef trace(word):\n    with open('trace', 'a') as f: f.write(word + '\\n')\ntrace('load')\ndef pytest_sessionstart(): trace('start')\ndef pytest_sessionfinish(): trace('finish')\ndef pytest_addoption(parser): parser.addoption('--ours', default='no')\n@pytest.fixture(scope='session')\ndef shared(request):\n    trace('up')\n    yield request.config.getoption('--ours')\n    trace('down')\n",
    )
    .unwrap();
    for n in 0..3 {
        setup.suite.file(
            &format!("tests/test_{n}.py"),
            "from conftest import trace\ndef test_x(shared):\n    assert shared == 'yes'\n    trace('run')\n",
        );
    }
    // A conftest.py in the folder of only one file is loaded with it, with its hooks.
    std::fs::create_dir(setup.suite.path().join("tests/sub")).unwrap();
    std::fs::write(
        setup.suite.path().join("tests/sub/conftest.py"),
        "def pytest_sessionfinish():\n    with open('trace', 'a') as f: f.write('own\\n')\n",
    )
    .unwrap();
    setup.suite.file(
        "tests/sub/test_3.py",
        "def test_x(shared):\n    with open('trace', 'a') as f: f.write('run\\n')\n",
    );
    for (slave, expected) in [
        (
            FORK,
            "load start up run down up run down up run down up run down own finish",
        ),
        (NONE, "load start up run run run run down own finish"),
    ] {
        let ran = setup.run(&format!("{slave} -- --ours yes"), &[]);
        assert_eq!(
            ran.done.receipt().succeeded,
            4,
            "{:?}",
            ran.trial("tests/test_0.py")
        );
        let trace = eventually(PATIENCE, "the end of the session", || {
            let lines = setup.suite.lines("trace");
            (lines.last()? == "finish").then_some(lines)
        });
        assert_eq!(trace.join(" "), expected, "{slave}");
        std::fs::remove_file(setup.suite.path().join("trace")).unwrap();
    }
}

#[test]
fn forks_share_the_temporary_root_but_no_printed_output() {
    let setup = Setup::new(1);
    let text = "def test_x(tmp_path):\n    with open('folders', 'a') as f: f.write(f'{tmp_path.parent}\\n')\n    print('of ' + __file__)\n";
    setup
        .suite
        .file("test_1.py", &format!("import os\n{text}    os._exit(1)\n"))
        .file("test_2.py", &format!("{text}    assert 0\n"));
    let ran = setup.run(FORK, &[]);
    let folders = setup.suite.lines("folders");
    assert!(
        folders.len() == 2 && folders[0] == folders[1],
        "{folders:?}"
    );
    assert_eq!(ran.verdict("test_1.py"), "error 0 0 0");
    let trial = ran.trial("test_2.py");
    let stdout = &trial["stdout"];
    assert!(
        stdout.contains("test_2.py") && !stdout.contains("test_1.py"),
        "{trial:?}"
    );
}

#[test]
fn a_broken_conftest_stops_the_run_and_is_reported() {
    let setup = Setup::new(1);
    std::fs::write(
        setup.suite.path().join("conftest.py"),
        "import no_such_module\n",
    )
    .unwrap();
    setup.suite.file("test_a.py", "def test_a(): pass\n");
    let ran = setup.run(FORK, &[]);
    let receipt = ran.done.expect_code(1).receipt();
    let reason = receipt.fail_reason.as_deref().unwrap();
    assert!(reason.contains("does not start"), "{reason}");
    assert!(
        reason.contains("No module named 'no_such_module'"),
        "{reason}"
    );
}

#[test]
fn deselected_files_are_pending_and_variables_reach_the_tests() {
    let setup = Setup::new(2);
    setup
        .suite
        .file("test_a.py", "def test_slow(): pass\ndef test_fast(): pass\n")
        .file("test_b.py", "def test_fast(): pass\n")
        .file(
            "test_c.py",
            "import os\ndef test_slow():\n    env = os.environ\n    assert env['PYTEST_XDIST_WORKER'] == 'gw' + env['SLAVE_NUMBER']\n    assert env['PYTEST_XDIST_WORKER_COUNT'] == '2'\n    assert env['RRR_ATTEMPT'] == '1' and not os.listdir(env['TEST_TMPDIR'])\n    assert 'RRR_REDIS_URL' not in env\n",
        );
    for slave in [FORK, NONE] {
        let ran = setup.run(&format!("{slave} -- -k slow"), &[]);
        assert_eq!(ran.verdict("test_a.py"), "passed 1 0 0", "{slave}");
        assert_eq!(ran.verdict("test_b.py"), "pending 0 0 0", "{slave}");
        assert_eq!(
            ran.verdict("test_c.py"),
            "passed 1 0 0",
            "{slave} {:?}",
            ran.trial("test_c.py")
        );
    }
}
