//! Slow files, split by the lists of RSpec and pytest: each example runs once, and the total
//! matches that of the file.

use crate::setup::{Ran, Setup};

const RUBY: &str = "RSpec.describe 'A' do
  context('x') { it('1') { }; it('2') { }; it('3', :slow) { } }
  context('y') { it('4') { expect(1).to eq 2 }; it('5') }
end";

const PYTHON: &str = "import pytest
class TestA:
    def test_1(self): pass
    def test_2(self): pass
    class TestB:
        def test_3(self): assert 0
@pytest.mark.parametrize('n', [1, 2])
def test_many(n): pass
";

fn run<'a>(setup: &'a Setup, list: &str, args: &[&str]) -> Ran<'a> {
    setup.submit(|submit| submit.args(["--files-from", "-"]).args(args).stdin(list))
}

/// The tasks and the results of their trials, sorted by name.
fn verdicts(ran: &Ran) -> Vec<(String, String)> {
    let events = ran.done.events().into_iter();
    let files = events
        .filter(|event| event["event"] == "task_finished")
        .map(|event| event["spec_file"].as_str().unwrap().to_owned());
    let mut all: Vec<_> = files
        .map(|file| (file.clone(), ran.verdict(&file)))
        .collect();
    all.sort();
    all
}

fn expect(ran: &Ran, wanted: &[(&str, &str)]) {
    let wanted = wanted
        .iter()
        .map(|(file, verdict)| ((*file).into(), (*verdict).into()));
    assert_eq!(verdicts(ran), wanted.collect::<Vec<(String, String)>>());
}

const LIST: &str = "{\"spec_file\":\"slow_spec.rb\",\"estimate_sec\":90}
{\"spec_file\":\"test_slow.py\",\"estimate_sec\":90}
{\"spec_file\":\"quick_spec.rb\",\"estimate_sec\":1}";

#[test]
fn groups_of_a_slow_rspec_file_are_tasks() {
    let setup = Setup::new(2);
    setup
        .suite
        .file("slow_spec.rb", RUBY)
        .file("quick_spec.rb", RUBY);
    let list: Vec<&str> = LIST.lines().filter(|line| line.contains(".rb")).collect();
    let slave = [
        "--slave",
        "rrr-slave --adapter rspec",
        "--split-above",
        "60%",
    ];
    let ran = run(&setup, &list.join("\n"), &slave);
    expect(
        &ran,
        &[
            ("quick_spec.rb", "failed 3 1 1"),
            ("slow_spec.rb[1:1]", "passed 3 0 0"),
            ("slow_spec.rb[1:2]", "failed 0 1 1"),
        ],
    );
    // Also as a command takes them; no part contains examples that the adapter excludes.
    let command = ["--slave", "rrr-slave -- rspec {}", "--split-above", "20"];
    let ran = run(&setup, LIST.lines().next().unwrap(), &command);
    let parts = ["[1:1:1]", "[1:1:2]", "[1:1:3]", "[1:2:1]", "[1:2:2]"];
    let names = verdicts(&ran).into_iter().map(|(file, _)| file);
    let wanted = parts.map(|part| format!("slow_spec.rb{part}"));
    assert_eq!(names.collect::<Vec<_>>(), wanted);
    assert_eq!(ran.done.receipt().failed, 1);
    let tagged = "rrr-slave --adapter rspec -- --tag '~slow'";
    let tagged = ["--slave", tagged, "--split-above", "60"];
    let ran = run(&setup, LIST.lines().next().unwrap(), &tagged);
    expect(
        &ran,
        &[
            ("slow_spec.rb[1:1:1,1:1:2]", "passed 2 0 0"),
            ("slow_spec.rb[1:2]", "failed 0 1 1"),
        ],
    );
}

#[test]
fn classes_and_functions_of_a_slow_pytest_file_are_tasks() {
    let setup = Setup::new(2);
    setup
        .suite
        .file("test_slow.py", PYTHON)
        .file("pytest.ini", "[pytest]\naddopts = -q -q\n");
    let slave = [
        "--slave",
        "rrr-slave --adapter pytest",
        "--split-above",
        "33%",
    ];
    let list = LIST.lines().nth(1).unwrap();
    let ran = run(&setup, list, &slave);
    expect(
        &ran,
        &[
            ("test_slow.py::TestA::TestB", "failed 0 0 1"),
            ("test_slow.py::TestA::test_1", "passed 1 0 0"),
            ("test_slow.py::TestA::test_2", "passed 1 0 0"),
            ("test_slow.py::test_many", "passed 2 0 0"),
        ],
    );
}

#[test]
fn a_file_that_cannot_be_listed_stays_whole_with_a_warning() {
    let setup = Setup::new(1);
    setup
        .suite
        .file("slow_spec.rb", "raise 'not now'")
        .file("test_slow.py", "import no_such_module")
        .file("quick_spec.rb", "RSpec.describe('x') { it('y') {} }");
    let slave = [
        "--slave",
        "rrr-slave --adapter rspec",
        "--split-above",
        "40%",
    ];
    let ran = run(&setup, LIST, &slave);
    let names = verdicts(&ran).into_iter().map(|(file, _)| file);
    let wanted = ["quick_spec.rb", "slow_spec.rb", "test_slow.py"];
    assert_eq!(names.collect::<Vec<_>>(), wanted);
    for file in &wanted[1..] {
        let said =
            format!("rrr-submit: '{file}' is submitted whole: its examples cannot be listed");
        assert!(ran.done.stderr.contains(&said), "{}", ran.done.stderr);
    }
}

#[test]
fn recorded_run_times_decide_the_split() {
    let setup = Setup::new(1);
    setup.suite.file("slow_spec.rb", RUBY);
    let run = |estimates: &[&str]| {
        let mut set = vec!["HSET", "rrrspec:estimate_sec:default"];
        set.extend(estimates);
        setup.server.run::<i64>(&set);
        let slave = [
            "--slave",
            "rrr-slave --adapter rspec",
            "--split-above",
            "50",
        ];
        setup.submit(|submit| submit.args(slave).arg("slow_spec.rb"))
    };
    let ran = run(&["slow_spec.rb", "60"]);
    assert_eq!(verdicts(&ran).len(), 2);
    let taskset = ran.done.receipt().taskset.as_str().to_owned();
    let key = format!("{taskset}:task:slow_spec.rb[1:1]");
    let estimate: String = setup.server.run(&["HGET", &key, "estimate_sec"]);
    assert_eq!(estimate, "60", "no part takes longer than its file");
    let ran = run(&["slow_spec.rb[1:1]", "2", "slow_spec.rb[1:2]", "3"]);
    assert_eq!(
        verdicts(&ran),
        [("slow_spec.rb".into(), "failed 3 1 1".into())]
    );
}

const IN_TURNS: &str = "import pytest
@pytest.fixture(scope='module', params=[1, 2])
def f(request): return request.param
def test_a(f): pass
class TestB:
    def test_b(self, f): assert f == 1
def test_c(): pass
";

#[test]
fn interleaved_pytest_groups_are_one_task_each() {
    let setup = Setup::new(2);
    setup.suite.file("test_slow.py", IN_TURNS);
    let slave = ["--slave", "rrr-slave --adapter pytest"];
    let list = LIST.lines().nth(1).unwrap();
    let ran = run(
        &setup,
        list,
        &[&slave[..], &["--split-above", "20"]].concat(),
    );
    expect(
        &ran,
        &[
            ("test_slow.py::TestB::test_b", "failed 1 0 1"),
            ("test_slow.py::test_a", "passed 2 0 0"),
            ("test_slow.py::test_c", "passed 1 0 0"),
        ],
    );
}

#[test]
fn a_file_that_loads_examples_of_another_stays_whole() {
    let setup = Setup::new(1);
    let loads = format!("require_relative 'more'\n{RUBY}");
    setup
        .suite
        .file("slow_spec.rb", &loads)
        .file("more.rb", "RSpec.describe('m') { it('x') { fail } }");
    let slave = ["--slave", "rrr-slave --adapter rspec"];
    let list = LIST.lines().next().unwrap();
    let ran = run(
        &setup,
        list,
        &[&slave[..], &["--split-above", "20"]].concat(),
    );
    expect(&ran, &[("slow_spec.rb", "failed 3 1 2")]);
}
