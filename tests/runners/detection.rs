//! rrr-local without arguments: it finds the suite, and runs what the project's own tool would.

use crate::harness::*;
use serde_json::Value;

/// A project with these files.
fn with_files(files: &[(&str, &str)]) -> Project {
    let project = Project::new();
    for (name, text) in files {
        project.suite.file(name, text);
    }
    project
}

impl Project {
    fn local(&self, args: &[&str]) -> Tool {
        self.tool("rrr-local", args)
            .env("CARGO_TARGET_DIR", self.suite.path().join("target"))
            .bound(PATIENCE * 10)
    }

    fn listed(&self, args: &[&str]) -> Vec<String> {
        let done = self.local(&[&["--list"], args].concat()).run();
        let lines = done.expect_code(0).events();
        let name = |line: &Value| line["spec_file"].as_str().unwrap().to_owned();
        lines.iter().map(name).collect()
    }
}

/// The examples that passed, are pending and failed, and the files that passed and failed.
fn counts(done: &Finished) -> [u64; 5] {
    let events = done.events();
    let trials = events.iter().filter(|it| it["event"] == "trial_finished");
    let mut sum = [0; 5];
    for trial in trials {
        for (place, name) in ["passed", "pending", "failed"].iter().enumerate() {
            sum[place] += trial[name].as_u64().unwrap_or(0);
        }
    }
    let receipt = events.last().unwrap();
    sum[3] = receipt["succeeded"].as_u64().unwrap();
    sum[4] = receipt["failed"].as_u64().unwrap();
    sum
}

#[test]
fn an_rspec_project_runs_without_arguments() {
    let project = with_files(&[
        (
            ".rspec",
            "--require spec_helper\n--exclude-pattern spec/old/**/*\n",
        ),
        ("spec/spec_helper.rb", "HELPED = true"),
        (
            "spec/a_spec.rb",
            "RSpec.describe('a') { it('x') { expect(HELPED).to be true }
             it('y') { skip } }",
        ),
        (
            "spec/deep/b_spec.rb",
            "RSpec.describe('b') { it('z') { raise 'boom' } }",
        ),
        ("spec/old/c_spec.rb", "abort 'not part of the suite'"),
        ("lib/d_spec.rb", "abort 'not part of the suite'"),
    ]);
    let done = project.local(&["--max-trials", "1"]).run().expect_code(1);
    assert_eq!(counts(&done), [1, 1, 1, 1, 1], "{done:#?}");
    let choice = "rrr-local: running rspec (found .rspec); --from or '-- CMD' chooses otherwise\n";
    assert_eq!(done.stderr, choice);
    assert_eq!(
        project.listed(&[]),
        ["spec/a_spec.rb", "spec/deep/b_spec.rb"]
    );
    assert_eq!(project.listed(&["spec/deep"]), ["spec/deep/b_spec.rb"]);
    assert_eq!(project.listed(&["lib/d_spec.rb"]), ["lib/d_spec.rb"]);
    let line = project.local(&["spec/a_spec.rb:2", "--max-trials", "1"]);
    assert_eq!(counts(&line.run().expect_code(0)), [0, 1, 0, 1, 0]);
}

#[test]
fn a_pytest_project_runs_without_arguments() {
    let project = with_files(&[
        (
            "pytest.ini",
            "[pytest]\npython_files = check_*.py\ntestpaths = checks\n",
        ),
        ("checks/conftest.py", "collect_ignore = ['check_old.py']"),
        (
            "checks/check_a.py",
            "import pytest\ndef test_x(): pass\ndef test_y(): assert 1 == 2
@pytest.mark.skip\ndef test_z(): pass\n",
        ),
        ("checks/unit/check_b.py", "def test_x(): pass\n"),
        (
            "checks/check_old.py",
            "raise Exception('not part of the suite')",
        ),
        ("test_other.py", "raise Exception('not part of the suite')"),
    ]);
    let done = project.local(&["--max-trials", "1"]).run().expect_code(1);
    assert_eq!(counts(&done), [2, 1, 1, 1, 1], "{done:#?}");
    assert_eq!(
        project.listed(&[]),
        ["checks/check_a.py", "checks/unit/check_b.py"]
    );
    assert_eq!(
        project.listed(&["checks/unit/"]),
        ["checks/unit/check_b.py"]
    );
    let node = "checks/check_a.py::test_x";
    assert_eq!(
        counts(&project.local(&[node]).run().expect_code(0)),
        [1, 0, 0, 1, 0]
    );
    // Options of the tool.
    let some = project.local(&["--", "-k", "test_x"]).run().expect_code(0);
    assert_eq!(counts(&some), [2, 0, 0, 2, 0]);
}

#[test]
fn a_cargo_project_runs_without_arguments() {
    let project = with_files(&[]);
    crate::cargo::package(&project.suite);
    let done = project.local(&["--max-trials", "1"]).run().expect_code(1);
    assert_eq!(counts(&done)[..3], [4, 1, 1], "{done:#?}");
}

#[test]
fn two_kinds_of_tests_are_not_guessed_between() {
    let project = with_files(&[
        ("Cargo.toml", "[package]\nname = \"x\"\n"),
        ("spec/a_spec.rb", "RSpec.describe('a') { it('x') {} }"),
        ("tests/test_a.py", "def test_x(): pass"),
    ]);
    let done = project.local(&[]).run().expect_code(2);
    let message =
        "found several test suites: rspec (spec/) and pytest (tests/) and cargo-test (Cargo.toml)";
    assert!(done.stderr.contains(message), "{done:#?}");
    assert!(
        done.stderr.contains("--from rspec or --from pytest"),
        "{done:#?}"
    );
    assert_eq!(project.listed(&["--from", "rspec"]), ["spec/a_spec.rb"]);
    // A file or a folder says which one is meant.
    assert_eq!(project.listed(&["tests"]), ["tests/test_a.py"]);
    assert_eq!(project.listed(&["tests/test_a.py"]), ["tests/test_a.py"]);
}

#[test]
fn the_first_project_file_is_written_and_then_used() {
    let project = with_files(&[
        ("spec/a_spec.rb", "RSpec.describe('a') { it('x') {} }"),
        ("tests/test_a.py", "def test_x(): pass"),
    ]);
    let init = |args: &[&str]| project.local(&[&["--init"], args].concat()).run();
    init(&[]).expect_code(2);
    init(&["--from", "pytest"]).expect_code(0);
    assert_eq!(project.listed(&[]), ["tests/test_a.py"]);
    let again = init(&[]).expect_code(2);
    assert!(again.stderr.contains("already exists"), "{again:#?}");
    assert_eq!(
        counts(&project.local(&[]).run().expect_code(0)),
        [1, 0, 0, 1, 0]
    );
}

#[test]
fn a_project_that_cannot_be_listed_is_refused_with_its_error() {
    let broken = "raise Exception('the configuration is broken')";
    let project = with_files(&[("conftest.py", broken), ("test_a.py", "def test_x(): pass")]);
    let done = project.local(&[]).run().expect_code(2);
    assert!(
        done.stderr.contains("pytest cannot list its files"),
        "{done:#?}"
    );
    assert!(
        done.stderr.contains("the configuration is broken"),
        "{done:#?}"
    );
    let nothing = with_files(&[("pytest.ini", "[pytest]\n"), ("a.txt", "")]);
    let done = nothing.local(&[]).run().expect_code(4);
    assert!(
        done.stderr.contains("pytest found no test files"),
        "{done:#?}"
    );
    let wrong = nothing.local(&["--from", "cargo-test", "a.txt"]).run();
    assert!(wrong.expect_code(2).stderr.contains("cannot be combined"));
}
