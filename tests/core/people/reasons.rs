//! The reason of a failure is on the screen as soon as it is known.

use crate::harness::*;
use crate::people::terminal::Terminal;

#[test]
fn a_failure_is_shown_while_its_next_trial_still_runs() {
    let (server, suite) = (Server::new(), Suite::new());
    suite.file(
        "a.sh",
        "[ -e first ] || { touch first; echo the reason; exit 1; }
         until [ -e go ]; do sleep 0.02; done; echo the reason; exit 1",
    );
    let state = Suite::new();
    let state = state.path().to_str().unwrap();
    let args = ["--max-trials", "2", "a.sh", "--", "sh", "{}"];
    let env = [("XDG_STATE_HOME", state)];
    let mut terminal = Terminal::start(&server, 80, suite.path(), "rrr-local", &args, &env);
    let screen = terminal.wait_for("the reason", |screen| screen.contains("    the reason"));
    assert!(screen.contains("again  a.sh (exit 1, "), "{screen}");
    assert!(!screen.contains("FAIL"), "{screen}");
    std::fs::write(suite.path().join("go"), "").unwrap();
    let (code, end) = terminal.end();
    assert_eq!(code, 1);
    assert!(end.contains("    (as in the first trial, above)"), "{end}");
    assert!(
        end.contains("Failed:\n  a.sh: failed in 2 trials\n      sh a.sh\n"),
        "{end}"
    );
}

#[test]
fn a_timeout_names_its_limit() {
    let suite = Suite::new();
    suite.file("a.sh", "sleep 60");
    let args = [
        "--max-trials",
        "1",
        "--unknown-spec-timeout",
        "1",
        "--least-timeout",
        "1",
    ];
    let done = Tool::new("unused", "rrr-local")
        .args(args)
        .args([
            "--output",
            "plain",
            "--no-history",
            "a.sh",
            "--",
            "sh",
            "{}",
        ])
        .dir(suite.path())
        .run()
        .expect_code(1);
    assert!(
        done.stderr.contains("FAIL   a.sh (timeout, 1."),
        "{done:#?}"
    );
    assert!(
        done.stderr.contains("s, limit: 1s, --least-timeout)"),
        "{done:#?}"
    );
}

#[test]
fn each_runner_shows_the_assertion_itself() {
    for (file, text, flags, wanted) in [
        (
            "a_spec.rb",
            "RSpec.describe('a') { it('adds') { expect(1 + 1).to eq 3 } }",
            &["--from", "rspec"][..],
            &["a_spec.rb:1: a adds", "expected: 3", "got: 2"][..],
        ),
        (
            "test_a.py",
            "def test_adds():\n    assert 1 + 1 == 3\n",
            &["--from", "pytest"],
            &["test_a.py:1: test_adds", ">       assert 1 + 1 == 3"],
        ),
        (
            "a.sh",
            "echo 'expected 3, got 2' >&2; exit 1",
            &["--slave", "rrr-slave -- bash {}"],
            &["(exit 1, ", "expected 3, got 2"],
        ),
    ] {
        let suite = Suite::new();
        suite.file(file, text);
        let done = Tool::new("unused", "rrr-local")
            .args(["--max-trials", "1", "--output", "plain", "--no-history"])
            .args(flags)
            .arg(file)
            .dir(suite.path())
            .run()
            .expect_code(1);
        for part in wanted {
            assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
        }
    }
}
