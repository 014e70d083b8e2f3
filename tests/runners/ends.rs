//! Suite ends: actions of a runner after its last spec file can fail the taskset.

use crate::harness::*;
use crate::setup::Setup;
use std::time::Instant;

/// A runner in Python whose spec files are Python; a file may set `end`, which is called at the end
/// of the input, and `more`, which is added to its answer.
const RUNNER: &str = r#"
import json, os, signal, sys, time
orders, answers = os.fdopen(3), os.fdopen(4, "w")
def say(**line):
    answers.write(json.dumps(line) + "\n"); answers.flush()
json.loads(orders.readline())
say(type="hello", version=1)
open("starts", "a").write("start\n")
files, end = 0, lambda: None
for line in orders:
    order, more = json.loads(line), {}
    files += 1
    exec(open(order["spec_file"]).read())
    say(type="result", trial=order["trial"], status="passed", **more)
open("ends", "a").write("end\n")
if os.path.exists("end.py"):
    exec(open("end.py").read())
end()
"#;

const SLAVE: &str = "rrr-slave --adapter serve --end-timeout 1 -- python3 runner.py";

fn setup(slaves: usize) -> Setup {
    let setup = Setup::new(slaves);
    std::fs::write(setup.suite.path().join("runner.py"), RUNNER).unwrap();
    setup
}

impl Setup {
    /// Runs these files, expects all to pass and the suite to fail, and returns the reason.
    fn fails_at_its_end(&self, slave: &str, files: &[&str]) -> String {
        let ran = self.submit(|submit| submit.args(["--slave", slave]).args(files));
        let receipt = ran.done.receipt();
        assert_eq!(receipt.status, "failed", "{slave} {files:?} {receipt:?}");
        assert_eq!(receipt.failed, 0, "{slave} {files:?} {receipt:?}");
        receipt.fail_reason.as_deref().unwrap_or("none").to_owned()
    }

    /// Runs these files and expects that the taskset succeeds.
    fn succeeds(&self, slave: &str, files: &[&str]) {
        let ran = self.submit(|submit| submit.args(["--slave", slave]).args(files));
        let receipt = ran.done.receipt();
        assert_eq!(receipt.status, "succeeded", "{slave} {files:?} {receipt:?}");
    }
}

#[test]
fn a_runner_that_ends_badly_fails_the_taskset_with_the_reason() {
    let setup = setup(1);
    for (file, end, says) in [
        ("exits.py", "sys.exit(7)", "exit code 7"),
        (
            "raises.py",
            "raise ValueError('left over')",
            "exit code 1: ValueError: left over",
        ),
        (
            "dies.py",
            "os.kill(os.getpid(), signal.SIGSEGV)",
            "signal 11",
        ),
        ("hangs.py", "time.sleep(600)", "longer than 1 s"),
        (
            "ignores_term.py",
            "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)",
            "longer than 1 s",
        ),
        // Right after the answer, before the end of the input.
        (
            "early.py",
            "pass\nimport threading\nthreading.Timer(0.1, os._exit, [9]).start()",
            "exit code 9",
        ),
        (
            "at_exit.py",
            "pass\nimport atexit\natexit.register(os._exit, 3)",
            "exit code 3",
        ),
        (
            "babbles.py",
            "answers.write('x' * (9 << 20)); answers.close(); os._exit(4)",
            "exit code 4",
        ),
    ] {
        let (last, now) = end.split_once('\n').unwrap_or((end, ""));
        setup
            .suite
            .file(file, &format!("def end():\n    {last}\n{now}"));
        let reason = setup.fails_at_its_end(SLAVE, &[file]);
        assert!(reason.contains(says), "{file}: {reason}");
    }
    setup.suite.file("good.py", "");
    setup.succeeds(SLAVE, &["good.py"]);
    assert_eq!(invariants::findings(&setup.server), [""; 0]);
}

#[test]
fn one_failed_suite_end_is_enough_even_without_a_task() {
    let setup = setup(3);
    let all_have_started = "while len(open('starts').readlines()) < 3: time.sleep(0.01)";
    setup.suite.file("one.py", all_have_started);
    std::fs::write(
        setup.suite.path().join("end.py"),
        "if files == 0: sys.exit(5)",
    )
    .unwrap();
    let reason = setup.fails_at_its_end(SLAVE, &["one.py"]);
    assert!(reason.contains("exit code 5"), "{reason}");
    assert!(reason.contains("(and on another slave)"), "{reason}");
    assert_eq!(setup.suite.lines("ends").len(), 3);
}

#[test]
fn the_end_of_a_replaced_runner_counts_but_stops_no_task() {
    let setup = setup(1);
    setup
        .suite
        .file("1.py", "more = {'last': True}\ndef end(): sys.exit(6)")
        .file("2.py", "assert files == 1")
        .file("3.py", "assert files == 2");
    let reason = setup.fails_at_its_end(SLAVE, &["1.py", "2.py", "3.py"]);
    assert!(reason.contains("exit code 6"), "{reason}");
    assert_eq!(setup.suite.lines("starts").len(), 2);
    assert_eq!(setup.suite.lines("ends").len(), 2);
}

#[test]
fn a_cancel_does_not_wait_for_the_end_of_a_suite() {
    let setup = setup(1);
    let hangs = "def end():\n    open('ending', 'w').close()\n    time.sleep(600)";
    setup.suite.file("a.py", hangs);
    let submit = Tool::new(&setup.server, "rrr-submit")
        .args(["--no-rsync", "--follow", "--slave"])
        .args([
            "rrr-slave --adapter serve --end-timeout 500 -- python3 runner.py",
            "a.py",
        ])
        .dir(setup.suite.path())
        .spawn();
    eventually(PATIENCE, "the end of the suite", || {
        setup.suite.path().join("ending").exists().then_some(())
    });
    Tool::new(&setup.server, "rrr-cancel").arg("--all").run();
    submit.wait(PATIENCE).expect_code(3);
    let began = Instant::now();
    eventually(PATIENCE, "the runner is gone", || {
        let family = setup.worker.family();
        let runs = |word: &str| family.iter().any(|member| member.command.contains(word));
        (!runs("runner.py")).then_some(())
    });
    assert!(began.elapsed() < PATIENCE);
}

#[test]
fn rspec_after_suite_hooks_can_fail_the_suite() {
    let setup = Setup::new(1);
    setup
        .suite
        .file("spec/a_spec.rb", "RSpec.describe('A') { it('a') {} }");
    let bad = [
        (
            "RSpec.configure { |c| c.after(:suite) { raise 'a record is left' } }",
            "a record is left",
        ),
        ("at_exit { exit 7 }", "exit code 7"),
        ("at_exit { raise 'no' }", "exit code 1"),
    ];
    for isolation in ["fork", "none"] {
        let slave =
            format!("rrr-slave --adapter rspec --isolation {isolation} --preload helper.rb");
        for (helper, says) in bad {
            std::fs::write(setup.suite.path().join("helper.rb"), helper).unwrap();
            let reason = setup.fails_at_its_end(&slave, &["spec/a_spec.rb"]);
            assert!(reason.contains(says), "{slave}: {reason}");
        }
    }
    let good = "RSpec.configure { |c| [:before, :after].each { |at| c.send(at, :suite) { expect(1).to eq 1 } } }";
    std::fs::write(setup.suite.path().join("helper.rb"), good).unwrap();
    for isolation in ["fork", "none"] {
        let slave =
            format!("rrr-slave --adapter rspec --isolation {isolation} --preload helper.rb");
        setup.succeeds(&slave, &["spec/a_spec.rb"]);
    }
    std::fs::write(setup.suite.path().join("helper.rb"), "").unwrap();
    // Hooks of a file end with its fork, as part of its trial; without forks, with the runner.
    let hook = "at_exit { puts 'seen'; exit 4 if ENV['BAD'] }\nRSpec.describe('B') { it('b') {} }";
    setup.suite.file("spec/b_spec.rb", hook);
    let fork = "rrr-slave --adapter rspec";
    let ran =
        setup.submit(|submit| submit.args(["--slave", &format!("BAD=1 {fork}"), "spec/b_spec.rb"]));
    assert_eq!(ran.verdict("spec/b_spec.rb"), "error 1 0 0");
    assert!(ran.trial("spec/b_spec.rb")["stderr"].contains("exit 4"));
    let ran = setup.submit(|submit| submit.args(["--slave", fork, "spec/b_spec.rb"]));
    assert_eq!(ran.verdict("spec/b_spec.rb"), "passed 1 0 0");
    assert!(ran.trial("spec/b_spec.rb")["stdout"].ends_with("seen\n"));
    let none = "BAD=1 rrr-slave --adapter rspec --isolation none";
    let reason = setup.fails_at_its_end(none, &["spec/b_spec.rb"]);
    assert!(reason.contains("exit code 4"), "{reason}");
    // A file that could not be loaded fails its own trial and does not affect the end.
    setup.suite.file(
        "spec/c_spec.rb",
        "File.exist?('c') or (File.write('c', ''); raise 'once')\nRSpec.describe('C') { it('c') {} }",
    );
    let twice = Tool::new(&setup.server, "rrr-submit")
        .args(["--no-rsync", "--follow", "--max-trials", "2", "--slave"])
        .args([
            "rrr-slave --adapter rspec --isolation none",
            "spec/c_spec.rb",
        ])
        .dir(setup.suite.path());
    assert_eq!(twice.run().expect_code(0).receipt().flaky, 1);
}

#[test]
fn pytest_session_finish_hooks_can_fail_the_suite() {
    let setup = Setup::new(1);
    setup
        .suite
        .file("test_a.py", "def test_a(): pass\n")
        .file("sub/test_b.py", "def test_b(): pass\n");
    let write = |name: &str, text: &str| {
        std::fs::write(setup.suite.path().join(name), text).unwrap();
    };
    let (fork, none) = (
        "rrr-slave --adapter pytest -- -p no:cacheprovider",
        "rrr-slave --adapter pytest --isolation none -- -p no:cacheprovider",
    );
    for (conftest, says) in [
        (
            "def pytest_sessionfinish(session): session.exitstatus = 7\n",
            "status to 7",
        ),
        (
            "def pytest_sessionfinish(): raise RuntimeError('too late')\n",
            "RuntimeError: too late",
        ),
        (
            "def pytest_unconfigure(): raise RuntimeError('much too late')\n",
            "RuntimeError: much too late",
        ),
        (
            "import pytest\ndef pytest_sessionfinish(): pytest.exit('no', returncode=6)\n",
            "exit code 6",
        ),
        (
            "import atexit, os\natexit.register(os._exit, 5)\n",
            "exit code 5",
        ),
    ] {
        write("conftest.py", conftest);
        for slave in [fork, none] {
            let reason = setup.fails_at_its_end(slave, &["test_a.py"]);
            assert!(reason.contains(says), "{slave} {conftest}: {reason}");
        }
    }
    let fixture = "import pytest\n@pytest.fixture(scope='session', autouse=True)\ndef f():\n    yield\n    raise RuntimeError('torn down')\n";
    write("conftest.py", fixture);
    let reason = setup.fails_at_its_end(none, &["test_a.py"]);
    assert!(reason.contains("RuntimeError: torn down"), "{reason}");
    // In a fork, the fixture belongs to the file.
    let ran = setup.submit(|submit| submit.args(["--slave", fork, "test_a.py"]));
    assert_eq!(ran.done.receipt().failed, 1);
    // As pytest-cov does below its threshold.
    let threshold = "import pytest\n@pytest.hookimpl(hookwrapper=True)\ndef pytest_runtestloop(session):\n    yield\n    session.testsfailed += 1\n";
    write("conftest.py", threshold);
    let reason = setup.fails_at_its_end(none, &["test_a.py"]);
    assert!(reason.contains("after its last test"), "{reason}");
    write("conftest.py", "");
    // The hooks of a folder come with its files.
    write(
        "sub/conftest.py",
        "def pytest_sessionfinish(session): session.exitstatus = 8\n",
    );
    let reason = setup.fails_at_its_end(none, &["test_a.py", "sub/test_b.py"]);
    assert!(reason.contains("exit code 8"), "{reason}");
    let ran = setup.submit(|submit| submit.args(["--slave", fork, "test_a.py", "sub/test_b.py"]));
    assert_eq!(ran.verdict("test_a.py"), "passed 1 0 0");
    assert!(ran.trial("sub/test_b.py")["stderr"].contains("status 8"));
    write(
        "sub/conftest.py",
        "def pytest_sessionfinish(): raise RuntimeError('of a folder')\n",
    );
    let ran = setup.submit(|submit| submit.args(["--slave", fork, "sub/test_b.py"]));
    assert!(ran.verdict("sub/test_b.py").starts_with("error 1 0 0"));
    let reported = &ran.examples("sub/test_b.py")[1];
    assert!(
        reported["message"]
            .as_str()
            .unwrap()
            .contains("of a folder")
    );
}
