//! Errors name the problem and a remedy that does no harm.

use crate::harness::*;

/// Runs the tool in the suite's folder; returns its stderr.
#[track_caller]
fn refused(suite: &Suite, name: &str, args: &[&str]) -> String {
    let tool = Tool::new("redis://127.0.0.1:1", name).args(args);
    tool.dir(suite.path()).run().expect_code(2).stderr
}

#[test]
fn a_command_that_does_not_exist_is_refused_before_the_run() {
    let suite = Suite::new();
    suite.file("a.sh", "exit 0");
    for (args, wrong) in [
        (
            &["a.sh", "--", "no-such-command"][..],
            "command not found: 'no-such-command'",
        ),
        (
            &["a.sh", "--", "./no-such-command", "{}"],
            "command not found: './no-such-command'",
        ),
        (
            &["--slave", "no-such-command x", "a.sh"],
            "command not found: 'no-such-command'",
        ),
        (&["--slave", "", "a.sh"], "the slave command is empty"),
        (&["--slave", "  ", "a.sh"], "the slave command is empty"),
    ] {
        let stderr = refused(&suite, "rrr-local", args);
        assert!(
            stderr.contains(wrong) && stderr.contains("\nhint: "),
            "{args:?}: {stderr}"
        );
    }
    // The shell's own words are commands, too.
    let slave = "cd . && exec rrr-slave -- sh {}";
    let local = Tool::new("unused", "rrr-local").args(["--slave", slave, "a.sh"]);
    local.dir(suite.path()).run().expect_code(0);
}

#[test]
fn a_public_key_or_a_folder_is_never_to_be_hidden_with_chmod() {
    let (server, suite) = (Server::new(), Suite::new());
    Tool::new(&server, "rrr-keygen")
        .arg("key")
        .dir(suite.path())
        .run()
        .expect_code(0);
    std::fs::create_dir(suite.path().join("folder")).unwrap();
    for (key, wrong) in [
        ("key.pub", "it is a public key"),
        ("folder", "not a regular file"),
    ] {
        let args = ["--no-rsync", "--sign-key", key, "a.sh", "--", "true"];
        let stderr = refused(&suite, "rrr-submit", &args);
        assert!(
            stderr.contains(wrong) && !stderr.contains("chmod"),
            "{stderr}"
        );
    }
}

#[test]
fn the_words_of_libraries_are_translated() {
    let suite = Suite::new();
    for (name, args, wrong) in [
        (
            "rrr-worker",
            &["--slaves", "0"][..],
            "it must be from 1 to 65535",
        ),
        (
            "rrr-local",
            &["--max-trials", "0", "a.sh", "--", "true"],
            "it must be at least 1",
        ),
        (
            "rrr-list",
            &["--redis", "redis://h:99999", "tasksets"],
            "its host, port or database is invalid",
        ),
        (
            "rrr-submit",
            &["--timeout", "3", "--no-rsync", "a.sh", "--", "true"],
            "--timeout needs --follow",
        ),
    ] {
        let stderr = refused(&suite, name, args);
        assert!(
            stderr.contains(wrong) && stderr.contains("\nhint: "),
            "{args:?}: {stderr}"
        );
        for word in ["InvalidClientConfig", "..=", "expected u"] {
            assert!(!stderr.contains(word), "{stderr}");
        }
    }
}

#[test]
fn an_invalid_value_names_the_variable_that_set_it() {
    let suite = Suite::new();
    let history = |args: &[&str]| {
        let tool = Tool::new("unused", "rrr-history")
            .args(args)
            .env("RRR_FORMAT", "junit");
        tool.dir(suite.path()).run().stderr
    };
    let stderr = history(&["flaky"]);
    assert!(
        stderr.contains("(set by the variable RRR_FORMAT)"),
        "{stderr}"
    );
    let stderr = history(&["flaky", "--format", "nonsense"]);
    assert!(
        stderr.contains("'nonsense'") && !stderr.contains("variable"),
        "{stderr}"
    );
}

#[test]
fn a_missing_temporary_folder_is_named_with_its_remedy() {
    let suite = Suite::new();
    suite.file("a.sh", "exit 0");
    let local = Tool::new("unused", "rrr-local").args(["a.sh", "--", "sh", "{}"]);
    let done = local
        .env("TMPDIR", "/no/such/folder")
        .dir(suite.path())
        .run();
    let stderr = done.expect_code(2).stderr;
    assert!(stderr.contains("set TMPDIR"), "{stderr}");
}

#[test]
fn the_last_of_two_values_of_a_flag_wins() {
    let suite = Suite::new();
    suite.file("a.sh", "exit 1");
    let args = [
        "--max-trials",
        "3",
        "--max-trials",
        "1",
        "a.sh",
        "--",
        "sh",
        "{}",
    ];
    let local = Tool::new("unused", "rrr-local")
        .args(args)
        .dir(suite.path());
    let done = local.run().expect_code(1);
    assert_eq!(done.events_named("trial_finished").len(), 1);
}
