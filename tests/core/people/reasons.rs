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
        done.stdout.contains("FAIL   a.sh (timeout, 1."),
        "{done:#?}"
    );
    assert!(
        done.stdout.contains("s, limit: 1s, --least-timeout)"),
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
            assert!(done.stdout.contains(part), "{part}: {}", done.stdout);
        }
    }
}

#[test]
fn junit_shows_the_output_of_each_failed_trial() {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let _worker = fleet.worker("box", 1, suite.path());
    suite
        .file("bad.sh", "echo out; echo 'boom <&>' >&2; exit 3")
        .file(
            "flaky.sh",
            "[ -e seen ] && exit 0; touch seen; echo once; exit 4",
        );
    let done = submit(&server, &suite, &["--max-trials", "2"]).wait(PATIENCE);
    let key = done.events()[0]["taskset"].as_str().unwrap().to_owned();
    let show = |args: &[&str]| Tool::new(&server, "rrr-show").arg(&key).args(args).run();
    let xml = show(&["--format", "junit"]).expect_code(0).stdout;
    for wanted in [
        "type=\"failed\">stdout:\nout\nstderr:\nboom &lt;&amp;&gt;\n</failure>",
        "<rerunFailure message=\"failed, exit 3\" type=\"failed\">\n    <stackTrace>stdout:\nout\n",
        "<flakyFailure message=\"failed, exit 4\" type=\"failed\">\n    <stackTrace>once\n</stackTrace>",
    ] {
        assert!(xml.contains(wanted), "no {wanted} in\n{xml}");
    }
    let text = show(&[]).expect_code(0).stdout;
    assert!(
        text.contains("flaky.sh in trial 2: exit 4: once\n"),
        "{text}"
    );
    let task = |args: &[&str]| show(&[&["--task", "flaky.sh"], args].concat());
    assert_eq!(task(&["--attempt", "1"]).expect_code(0).stdout, "once\n");
    assert_eq!(task(&["--attempt", "2"]).expect_code(0).stdout, "");
    assert_eq!(task(&[]).expect_code(0).stdout, "", "the last trial");
    let missing = task(&["--attempt", "3"]).expect_code(2).stderr;
    assert!(
        missing.contains("'flaky.sh' has 2 trials, not 3"),
        "{missing}"
    );
}

#[test]
fn quiet_shows_failures_only_and_verbose_passes_too() {
    let suite = Suite::new();
    suite
        .file("bad.sh", "echo why; exit 1")
        .file("flaky.sh", "[ -e seen ] && exit 0; touch seen; exit 1")
        .file("good.sh", "echo fine");
    let run = |flag: &str| {
        let _ = std::fs::remove_file(suite.path().join("seen"));
        Tool::new("unused", "rrr-local")
            .args(["--output", "plain", "--no-history", flag])
            .args(["bad.sh", "flaky.sh", "good.sh", "--", "sh", "{}"])
            .dir(suite.path())
            .run()
            .expect_code(1)
            .stdout
    };
    let quiet = run("-q");
    assert!(quiet.starts_with("FAIL   bad.sh (exit 1, "), "{quiet}");
    assert!(
        !quiet.contains("again") && !quiet.contains("joined"),
        "{quiet}"
    );
    assert!(quiet.contains("flaky.sh in trial 2"), "{quiet}");
    let verbose = run("--verbose");
    assert!(verbose.contains("pass   good.sh ("), "{verbose}");
    assert!(verbose.contains("\n    fine\n"), "{verbose}");
    let both = Tool::new("unused", "rrr-local").args(["-qv", "a", "--", "true"]);
    both.dir(suite.path()).run().expect_code(2);
}
