//! What a real `go test -json` reports, by the `go` on PATH or the one that `RRR_TEST_GO` names.

use crate::harness::skipped;
use crate::setup::Setup;
use std::path::Path;

/// The program, if it works.
fn go() -> Option<String> {
    let go = std::env::var("RRR_TEST_GO").unwrap_or_else(|_| "go".into());
    let version = std::process::Command::new(&go).arg("version").output();
    version
        .is_ok_and(|done| done.status.success())
        .then_some(go)
}

fn package(suite: &Path, name: &str, test: &str) {
    let folder = suite.join(name);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("p.go"), format!("package {name}\n")).unwrap();
    if !test.is_empty() {
        let head = format!("package {name}\n\nimport (\n\t\"testing\"\n\t\"time\"\n)\n\n");
        let tail = "\nvar _ = time.Second\n";
        std::fs::write(folder.join("p_test.go"), head + test + tail).unwrap();
    }
}

#[test]
fn each_package_of_a_real_go_module_gets_its_own_verdict() {
    let Some(go) = go() else {
        return skipped("go is not installed");
    };
    let setup = Setup::with(1, |worker, suite| {
        std::fs::write(
            suite.path().join("go.mod"),
            "module example.org/m\n\ngo 1.19\n",
        )
        .unwrap();
        worker
            .env("GOFLAGS", "-mod=mod")
            .env("GOTOOLCHAIN", "local")
    });
    let suite = setup.suite.path();
    package(
        suite,
        "bench",
        "func TestA(t *testing.T) {}\nfunc BenchmarkB(b *testing.B) { for i := 0; i < b.N; i++ {} }\n",
    );
    package(
        suite,
        "fails",
        "func TestA(t *testing.T) { t.Run(\"sub\", func(t *testing.T) { t.Error(\"no\") }) }\nfunc TestB(t *testing.T) { t.Skip() }\n",
    );
    package(suite, "none", "");
    package(
        suite,
        "slow",
        "func TestSlow(t *testing.T) { time.Sleep(time.Minute) }\n",
    );
    // The cache must survive the environment that tests get.
    let cache = suite.join("cache");
    let slave = format!(
        "rrr-slave --report go-json -- env GOCACHE={} {go} test -count=1 -bench=. -timeout=5s -json ./{{}}",
        cache.display()
    );
    let packages = ["bench", "fails", "none", "slow"];
    let ran = setup.submit(|submit| {
        let args = ["--unknown-spec-timeout", "300", "--slave", &slave];
        submit.args(args).args(packages)
    });
    // Go 1.20 and later report a benchmark as they report a test.
    let bench = ran.verdict("bench");
    assert!(
        ["passed 1 0 0", "passed 2 0 0"].contains(&&*bench),
        "{bench}"
    );
    assert!(
        ran.verdict("fails").starts_with("failed "),
        "{}",
        ran.verdict("fails")
    );
    let failed: Vec<_> = ran.examples("fails");
    assert!(
        failed
            .iter()
            .any(|example| example["id"] == "example.org/m/fails.TestA/sub"
                && example["status"] == "failed"),
        "{failed:?}"
    );
    assert!(
        ran.verdict("none").starts_with("pending "),
        "{}",
        ran.verdict("none")
    );
    assert!(
        ran.verdict("slow").starts_with("failed "),
        "{}",
        ran.verdict("slow")
    );
    let slow = &ran.examples("slow")[0];
    assert_eq!(slow["id"], "example.org/m/slow.TestSlow");
    let message = slow["message"].as_str().unwrap();
    assert!(
        message.contains("panic: test timed out after 5s"),
        "{message}"
    );
}
