//! Settings: the command line overrides the environment, which overrides .rrr.toml.

use crate::harness::*;
use serde_json::Value;

fn settings(suite: &Suite, args: &[&str], env: &[(&str, &str)]) -> Vec<Value> {
    let mut tool = Tool::new("unused", "rrr-submit")
        .arg("--print-config")
        .args(args);
    for (name, value) in env {
        tool = tool.env(name, value);
    }
    tool.dir(suite.path()).run().expect_code(0).events()
}

fn value_and_source(settings: &[Value], flag: &str) -> (String, String) {
    let row = settings
        .iter()
        .find(|row| row["flag"] == flag)
        .unwrap_or_else(|| panic!("no {flag}"));
    let text = |field: &str| match &row[field] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    (text("value"), text("from"))
}

#[test]
fn command_line_overrides_environment_overrides_file() {
    let suite = Suite::new();
    suite.file(
        ".rrr.toml",
        "max-trials = 7\nmax-workers = 8\nno-rsync = true\n",
    );
    let env = [("RRR_MAX_TRIALS", "5"), ("RRR_SETUP", "")];
    let seen = |args: &[&str], flag| value_and_source(&settings(&suite, args, &env), flag);
    let pair = |value: &str, from: &str| (value.to_owned(), from.to_owned());
    assert_eq!(
        seen(&["--max-trials", "3"], "max-trials"),
        pair("3", "command line")
    );
    assert_eq!(
        seen(&[], "max-trials"),
        pair("5", "environment: RRR_MAX_TRIALS")
    );
    assert_eq!(seen(&[], "max-workers"), pair("8", "./.rrr.toml"));
    assert_eq!(seen(&[], "no-rsync"), pair("true", "./.rrr.toml"));
    assert_eq!(seen(&[], "least-timeout"), pair("30", "default"));
    assert_eq!(
        seen(&[], "setup"),
        pair("", "default"),
        "an empty variable counts as unset"
    );
    assert_eq!(seen(&[], "slave"), pair("null", "not set"));
}

#[test]
fn an_empty_variable_of_a_subcommand_counts_as_unset() {
    let suite = Suite::new();
    let done = Tool::new("unused", "rrr-history")
        .args(["slowest", "--db", "sqlite:history.db"])
        .env("RRR_SINCE", "")
        .dir(suite.path())
        .run();
    done.expect_code(0);
}

#[test]
fn the_nearer_of_two_exclusive_settings_wins() {
    let suite = Suite::new();
    suite.file(".rrr.toml", "slave = 'file'\n").file("a.sh", "");
    let env = [("RRR_SLAVE", "environment")];
    let rows = settings(&suite, &["a.sh", "--", "sh", "{}"], &env);
    assert_eq!(value_and_source(&rows, "slave").1, "not set");
    assert_eq!(value_and_source(&rows, "command").0, r#"["sh","{}"]"#);
    let rows = settings(&suite, &[], &env);
    assert_eq!(value_and_source(&rows, "slave").0, "environment");
    suite.file(".rrr.toml", "command = ['sh', '{}']\n");
    let rows = settings(&suite, &[], &env);
    assert_eq!(value_and_source(&rows, "command").0, "null");
}

#[test]
fn an_invalid_project_file_is_refused_with_a_hint() {
    for (text, wanted) in [
        (
            "max-trial = 2",
            "'./.rrr.toml': unknown setting 'max-trial'\nhint: did you mean 'max-trials'?",
        ),
        (
            "max-trials = 0",
            "'./.rrr.toml': invalid value '0' for '--max-trials <N>'",
        ),
        ("max-trials =", "'./.rrr.toml' is not TOML"),
        (
            "rsync-options = '--rsh=sh'",
            "'./.rrr.toml' contains the option '--rsh=sh'",
        ),
        ("packaging-dir = '/'", "'packaging-dir' is not allowed here"),
    ] {
        let suite = Suite::new();
        suite.file(".rrr.toml", text).file("a.sh", "");
        for tool in ["rrr-submit", "rrr-local"] {
            let args = ["a.sh", "--", "sh", "{}"];
            let done = Tool::new("unused", tool)
                .args(args)
                .dir(suite.path())
                .run()
                .expect_code(2);
            assert!(done.stderr.contains(wanted), "{tool}: {}", done.stderr);
        }
    }
}

#[test]
fn a_suite_with_a_project_file_needs_no_flags() {
    let suite = Suite::new();
    suite.file(
        ".rrr.toml",
        "command = ['sh', '{}']\nmax-trials = 1\njobs = 1\nno-rsync = true\n",
    );
    suite.file("a.sh", "echo ran >>ran");
    let done = Tool::new("unused", "rrr-local")
        .arg("a.sh")
        .dir(suite.path())
        .run()
        .expect_code(0);
    assert_eq!(done.events_named("taskset_finished")[0]["succeeded"], 1);
    assert_eq!(suite.lines("ran"), ["ran"]);
}

#[test]
fn s7_a_project_file_cannot_redirect_a_password() {
    let suite = Suite::new();
    suite
        .file(".rrr.toml", "redis = 'redis://elsewhere'")
        .file("a.sh", "");
    let done = Tool::new("unused", "rrr-submit")
        .env_remove("RRR_REDIS_URL")
        .env("RRR_REDIS_PASSWORD_FILE", "/etc/hostname")
        .args(["a.sh", "--", "sh", "{}"])
        .dir(suite.path())
        .run()
        .expect_code(2);
    assert!(
        done.stderr.contains("would receive your password"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_variable_never_widens_the_cancelled_set() {
    let server = Server::new();
    let done = Tool::new(&server, "rrr-cancel")
        .env("RRR_RSYNC_NAME", "alice")
        .arg("rrrspec:taskset:x")
        .run()
        .expect_code(2);
    assert!(done.stderr.contains("does not exist"), "{}", done.stderr);
}

#[test]
fn a_misspelt_tool_or_flag_is_refused_with_the_nearest_name() {
    let run = |name: &str, args: &[&str]| {
        let done = Tool::new("unused", name).args(args).run().expect_code(2);
        done.stderr
    };
    let said = run("rrr", &["submti"]);
    assert!(said.contains("hint: did you mean 'submit'?"), "{said}");
    let said = run("rrr-submit", &["--max-trails", "2"]);
    assert!(
        said.starts_with("rrr-submit: unexpected argument '--max-trails'"),
        "{said}"
    );
    assert!(
        said.contains("hint: a similar argument exists: '--max-trials'"),
        "{said}"
    );
    let said = run("rrr-list", &[]);
    assert!(said.contains("<WHAT>\nhint: rrr-list --help"), "{said}");
}

#[test]
fn s7_a_project_file_cannot_set_options_that_run_code() {
    for (key, value, variable) in [
        ("from", "cargo-test", "RRR_FROM"),
        ("split-above", "10%", "RRR_SPLIT_ABOVE"),
    ] {
        let suite = Suite::new();
        suite.file(".rrr.toml", &format!("{key} = '{value}'\n"));
        let tool = |name: &str, args: &[&str]| {
            let tool = Tool::new("unused", name).arg("--print-config").args(args);
            tool.dir(suite.path()).run()
        };
        let refused = tool("rrr-submit", &[]).expect_code(2);
        let hint = format!("hint: pass --{key} or set {variable} if you trust the tree");
        let said = &refused.stderr;
        assert!(said.contains("would run code from the tree"), "{said}");
        assert!(said.contains(&hint), "{said}");
        // The submitter has set it explicitly, or excluded it.
        let rows = tool("rrr-submit", &[&format!("--{key}={value}")]).expect_code(0);
        let from = value_and_source(&rows.events(), key);
        assert_eq!(from, (value.to_owned(), "command line".to_owned()));
        tool("rrr-submit", &["--rerun-failed", "rrrspec:taskset:x"]).expect_code(0);
        let rows = tool("rrr-local", &[]).expect_code(0).events();
        assert_eq!(value_and_source(&rows, key).1, "./.rrr.toml");
    }
}
