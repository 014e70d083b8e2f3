//! The command that runs a failed task again works when it is pasted into a shell.

use crate::harness::*;
use std::path::Path;

/// Runs a script with the tools on its PATH.
fn bash(folder: &Path, script: &str) -> Finished {
    let tools = bin("rrr-local").parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap();
    Tool::program("unused", "bash")
        .args(["-c", script])
        .env("PATH", format!("{tools}:{path}"))
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .dir(folder)
        .bound(PATIENCE * 10)
        .run()
}

/// Runs `call` in `folder`, in which one task fails, and then the command under that task. Both must
/// fail with the output `why`.
#[track_caller]
fn is_repeated(folder: &Path, call: &str, why: &str) {
    let first = bash(folder, &format!("{call} | cat")).stdout;
    assert!(first.contains(why), "{call}:\n{first}");
    let (_, failed) = first.split_once("Failed:\n").expect("a failure");
    let command = failed
        .lines()
        .skip(1)
        .map(str::trim)
        .find(|line| !line.starts_with("at "))
        .expect("a command");
    let again = bash(folder, command);
    let shown = format!("{}{}", again.stdout, again.stderr);
    assert_eq!(again.code, Some(1), "{command}:\n{shown}");
    assert!(
        shown.contains(why) || shown.contains("rrr-show"),
        "{command}:\n{shown}"
    );
}

const PLAIN: &str = "rrr-local --output plain --no-history --max-trials 1";

#[test]
fn the_command_for_a_failed_script_works_from_any_folder() {
    let suite = Suite::new();
    suite.file("sub dir/it's.sh", "echo 'why it failed'; exit 1");
    let call = format!("{PLAIN} --packaging-dir 'sub dir' \"it's.sh\" -- sh {{}}");
    is_repeated(suite.path(), &call, "why it failed");
    let report = "rrr-slave --report tap -- sh -c 'echo why it failed; echo not ok 1 >$1; exit 1' x {report}";
    let call = format!("{PLAIN} --packaging-dir 'sub dir' --slave \"{report}\" \"it's.sh\"")
        .replace("$1", "\\$1");
    is_repeated(suite.path(), &call, "failed");
}

#[test]
fn the_command_for_a_failed_rspec_or_pytest_file_works() {
    let suite = Suite::new();
    suite
        .file(
            "spec/a_spec.rb",
            "RSpec.describe('a') { it('x', :slow) { raise 'slow' }; it('y') { raise 'why it failed' } }",
        )
        .file(
            "tests/test_a.py",
            "import pytest
@pytest.mark.slow\ndef test_x(): raise Exception('slow')
def test_y(): raise Exception('why it failed')\n",
        )
        .file("pytest.ini", "[pytest]\nmarkers = slow\n");
    for call in [
        format!("{PLAIN} --from rspec -- --tag '~slow'"),
        format!("{PLAIN} --from pytest -- -m 'not slow'"),
        format!(
            "{PLAIN} --slave \"rrr-slave --adapter pytest --isolation none -- -m 'not slow'\" tests/test_a.py"
        ),
    ] {
        is_repeated(suite.path(), &call, "why it failed");
    }
}

#[test]
fn the_command_for_a_failed_cargo_test_works() {
    let suite = Suite::new();
    crate::cargo::package(&suite);
    for call in [
        format!("{PLAIN} --from cargo-test -- --lib"),
        format!("{PLAIN} --from cargo-test --per test -- --lib"),
        format!("{PLAIN} --from nextest --per test -- --lib"),
    ] {
        is_repeated(suite.path(), &call, "boom");
    }
}

#[test]
fn the_command_for_all_failures_of_a_run_works() {
    let suite = Suite::new();
    suite
        .file("sub/a.sh", "echo 'why it failed'; exit 1")
        .file("sub/b.sh", "exit 1")
        .file("sub/c.sh", "touch ran_again");
    let call = "export XDG_STATE_HOME=$PWD/state; cd sub/..; \
                rrr-local --output plain --max-trials 1 --packaging-dir sub";
    let first = bash(suite.path(), &format!("{call} a.sh b.sh c.sh -- sh {{}}"));
    let (_, command) = first.stdout.split_once("all of them: ").expect("a command");
    let command = command.lines().next().unwrap();
    std::fs::remove_file(suite.path().join("sub/ran_again")).unwrap();
    let script = format!("export XDG_STATE_HOME=$PWD/state; {command} --output plain");
    let again = bash(suite.path(), &script).expect_code(1);
    assert!(again.stdout.contains("why it failed"), "{again:#?}");
    assert!(
        again
            .stdout
            .contains("failed: 2 tasks = 0 passed + 2 failed"),
        "{again:#?}"
    );
    assert!(!suite.path().join("sub/ran_again").exists());
    let (_, record) = again.stdout.split_once("record: ").expect("a record");
    let script = format!("export XDG_STATE_HOME=$PWD/state; {record}");
    assert!(
        bash(suite.path(), &script)
            .expect_code(0)
            .stdout
            .contains("why it failed")
    );
}
