//! Rust tests, listed and run by cargo or nextest: the counts match theirs.

use crate::harness::*;
use crate::setup::Setup;

/// A package without dependencies, with a library, a test binary, and a program without tests.
pub fn package(suite: &Suite) {
    let manifest =
        "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n";
    suite
        .file("Cargo.toml", manifest)
        .file("src/main.rs", "fn main() {}")
        .file(
            "src/lib.rs",
            "#[test] fn adds() {}
             #[test] fn fails() { println!(\"seen\"); panic!(\"boom\") }
             #[test] #[should_panic] fn panics() { panic!() }
             #[test] #[ignore = \"slow\"] fn waits() {}",
        )
        .file(
            "tests/joined.rs",
            "mod m {
                 #[test] fn knows_its_place() {
                     assert_eq!(std::env::var(\"CARGO_PKG_NAME\").unwrap(), \"tiny\");
                     assert!(std::path::Path::new(\"src/lib.rs\").exists());
                     assert!(std::env::var_os(\"RRR_REDIS_URL\").is_none());
                     assert!(std::env::var_os(\"TEST_TMPDIR\").is_some());
                 }
                 #[test] fn dies() { if std::env::var_os(\"DIE\").is_some() { std::process::abort() } }
             }",
        );
}

/// A setup whose suite is that package.
fn setup() -> Setup {
    Setup::with(1, |worker, suite| {
        package(suite);
        worker.env("CARGO_TARGET_DIR", suite.path().join("target"))
    })
}

impl Setup {
    /// Submits the tests that cargo lists.
    pub fn run_from(&self, args: &[&str]) -> crate::setup::Ran<'_> {
        let target = self.suite.path().join("target");
        // Other processes may hold cargo's lock for a while.
        self.submit(|submit| {
            submit
                .args(args)
                .env("CARGO_TARGET_DIR", target)
                .bound(PATIENCE * 10)
        })
    }
}

pub fn task_names(ran: &crate::setup::Ran) -> Vec<String> {
    let finished = ran.done.events().into_iter();
    let finished = finished.filter(|event| event["event"] == "task_finished");
    let mut names: Vec<_> = finished
        .map(|event| event["spec_file"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn binaries_are_tasks_and_their_tests_are_counted() {
    let setup = setup();
    let ran = setup.run_from(&["--from", "cargo-test", "--", "--offline"]);
    assert_eq!(task_names(&ran), ["tiny", "tiny::joined"]);
    assert_eq!(ran.verdict("tiny"), "failed 2 1 1");
    assert_eq!(ran.verdict("tiny::joined"), "passed 2 0 0");
    let examples = ran.examples("tiny");
    let bad = examples.iter().find(|e| e["status"] == "failed").unwrap();
    assert_eq!(bad["id"], "tiny fails");
    let message = bad["message"].as_str().unwrap();
    assert!(
        message.contains("seen") && message.contains("boom"),
        "{bad}"
    );
}

#[test]
fn single_tests_are_tasks_under_the_options_of_their_binary() {
    let setup = setup();
    let options = ["--from", "cargo-test", "--per", "test", "--", "--offline"];
    let ran = setup.run_from(&options);
    let tests = [
        ("tiny adds", "passed 1 0 0"),
        ("tiny fails", "failed 0 0 1"),
        ("tiny panics", "passed 1 0 0"),
        ("tiny waits", "pending 0 1 0"),
        ("tiny::joined m::dies", "passed 1 0 0"),
        ("tiny::joined m::knows_its_place", "passed 1 0 0"),
    ];
    assert_eq!(task_names(&ran), tests.map(|(name, _)| name));
    for (name, verdict) in tests {
        assert_eq!(ran.verdict(name), verdict, "{name} {:?}", ran.trial(name));
    }
    let mut narrow = options.to_vec();
    narrow.extend(["--lib", "--", "--include-ignored", "--skip", "fails"]);
    let ran = setup.run_from(&narrow);
    assert_eq!(task_names(&ran), ["tiny adds", "tiny panics", "tiny waits"]);
    assert_eq!(ran.verdict("tiny waits"), "passed 1 0 0");
}

#[test]
fn a_missing_or_crashing_binary_is_an_error() {
    let setup = setup();
    let slave = [
        "--slave",
        "env DIE=1 rrr-slave --adapter cargo-test -- --offline",
    ];
    let list = "tiny::joined\ntiny::gone\n";
    let ran = setup.submit(|submit| submit.args(["--files-from", "-"]).args(slave).stdin(list));
    let died = ran.trial("tiny::joined");
    assert_eq!(
        (&*died["status"], &*died["signal"]),
        ("error", "6"),
        "{died:?}"
    );
    let gone = ran.trial("tiny::gone");
    assert_eq!(gone["status"], "error");
    assert!(
        gone["stderr"].contains("no test binary 'tiny::gone'"),
        "{gone:?}"
    );
}

#[test]
fn a_build_failure_is_reported_and_nothing_is_submitted() {
    let (server, suite) = (Server::new(), Suite::new());
    package(&suite);
    suite.file("src/lib.rs", "#[test] fn broken( {}");
    let done = Tool::new(&server, "rrr-submit")
        .args(["--no-rsync", "--from", "cargo-test", "--", "--offline"])
        .env("CARGO_TARGET_DIR", suite.path().join("target"))
        .dir(suite.path())
        .run()
        .expect_code(2);
    assert!(done.stderr.contains("src/lib.rs:1"), "{}", done.stderr);
    assert!(
        done.stderr.contains("hint: nothing was submitted"),
        "{}",
        done.stderr
    );
    assert_eq!(server.run::<u64>(&["DBSIZE"]), 0);
}

const LIST: &str = r#"{"rust-build-meta":{},"test-count":2,"rust-suites":{
    "p":{"binary-id":"p","testcases":{"a::b":{"ignored":false,"filter-match":{"status":"matches"}}}},
    "p::t":{"binary-id":"p::t","testcases":{"c":{"ignored":false,"filter-match":{"status":"matches"}}}}}}"#;

#[test]
fn a_list_that_nextest_made_elsewhere_gives_tasks() {
    let setup = Setup::new(1);
    for (per, names) in [("binary", ["p", "p::t"]), ("test", ["p a::b", "p::t c"])] {
        let slave = ["--slave", "rrr-slave -- test -n"];
        let ran = setup.submit(|submit| {
            let from = ["--from", "nextest", "--files-from", "-", "--per", per];
            submit.args(from).args(slave).stdin(LIST)
        });
        assert_eq!(task_names(&ran), names);
        assert_eq!(ran.done.receipt().succeeded, 2);
    }
}

/// scripts/test runs it where cargo-nextest is installed.
#[test]
#[ignore = "needs cargo-nextest"]
fn nextest_runs_binaries_and_tests_from_a_build_or_an_archive() {
    let setup = setup();
    let target = setup.suite.path().join("target");
    Tool::program(&setup.server, "cargo")
        .args([
            "nextest",
            "archive",
            "--offline",
            "--archive-file",
            "tests.tar.zst",
        ])
        .env("CARGO_TARGET_DIR", &target)
        .dir(setup.suite.path())
        .run()
        .expect_code(0);
    let ran = setup.run_from(&["--from", "nextest", "--", "--offline"]);
    assert_eq!(task_names(&ran), ["tiny", "tiny::joined"]);
    assert_eq!(
        ran.verdict("tiny"),
        "failed 2 1 1",
        "{:?}",
        ran.trial("tiny")
    );
    assert_eq!(ran.verdict("tiny::joined"), "passed 2 0 0");
    std::fs::remove_dir_all(target).unwrap();
    let archive = ["--archive-file", "tests.tar.zst"];
    let mut args = vec!["--from", "nextest", "--per", "test", "--"];
    args.extend(archive);
    let ran = setup.run_from(&args);
    for (name, verdict) in [
        ("tiny adds", "passed 1 0 0"),
        ("tiny fails", "failed 0 0 1"),
        ("tiny::joined m::dies", "passed 1 0 0"),
    ] {
        assert_eq!(ran.verdict(name), verdict, "{:?}", ran.trial(name));
    }
    let bad = &ran.examples("tiny fails")[0];
    assert_eq!(
        (&bad["id"], &bad["name"]),
        (&"tiny fails".into(), &"fails".into())
    );
    assert!(bad["message"].as_str().unwrap().contains("boom"), "{bad}");
}

/// As in the README: the tree is synced without build output and fetched on another machine.
#[test]
#[ignore = "needs cargo-nextest"]
fn a_nextest_archive_is_synced_and_runs_without_a_build() {
    let (server, suite) = (Server::new(), Suite::new());
    let (remote, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let _fleet = Fleet::start(&server);
    package(&suite);
    Tool::program(&server, "cargo")
        .args(["nextest", "archive", "--offline"])
        .args(["--archive-file", "tests.tar.zst"])
        .env("CARGO_TARGET_DIR", suite.path().join("target"))
        .dir(suite.path())
        .bound(PATIENCE * 10)
        .run()
        .expect_code(0);
    // The build is not available at its original path either.
    std::fs::rename(suite.path().join("target"), suite.path().join("target.old")).unwrap();
    std::fs::create_dir(suite.path().join("target")).unwrap();
    let options = "--archive --delete --exclude=/target --exclude=/target.old";
    let _worker = Tool::new(&server, "rrr-worker")
        .args(["--worker-id", "w", "--slaves", "1", "--working-dir"])
        .arg(work.path())
        .args(["--rsync-remote-path", &remote.path().display().to_string()])
        .spawn();
    let done = Tool::new(&server, "rrr-submit")
        .args(["--follow", "--max-trials", "1", "--rsync-name", "me"])
        .args(["--rsync-options", options, "--rsync-remote-path"])
        .arg(remote.path())
        .args(["--from", "nextest", "--"])
        .args(["--archive-file", "tests.tar.zst"])
        .dir(suite.path())
        .bound(PATIENCE * 10)
        .run()
        .expect_code(1);
    let receipt = done.receipt();
    assert_eq!((receipt.succeeded, receipt.failed), (1, 1));
    let finished = |file: &str| {
        let events = done.events().into_iter();
        let mut mine = events.filter(|event| event["spec_file"] == file);
        mine.find(|event| event["event"] == "trial_finished")
            .unwrap()
    };
    let counts = |event: &serde_json::Value| {
        ["passed", "pending", "failed"].map(|name| event[name].as_u64().unwrap())
    };
    assert_eq!(counts(&finished("tiny")), [2, 1, 1]);
    assert_eq!(counts(&finished("tiny::joined")), [2, 0, 0]);
    let tree = work.path().join("me");
    assert!(tree.join("tests.tar.zst").exists() && !tree.join("target").exists());
}
