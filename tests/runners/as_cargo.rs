//! rrr runs the same tests as `cargo test`, in the same environment.

use crate::cargo::{package, task_names};
use crate::harness::*;
use crate::setup::Setup;
use std::os::unix::fs::PermissionsExt;

/// The targets that `cargo test` runs in addition to libtest's, with and without a failure.
fn unusual(suite: &Suite) {
    package(suite);
    let manifest = std::fs::read_to_string(suite.path().join("Cargo.toml")).unwrap();
    let more = "[[test]]\nname = \"own\"\nharness = false\n[[test]]\nname = \"lists\"\nharness = false\n\
                [[bench]]\nname = \"speed\"\nharness = false\ntest = true\n\
                [[example]]\nname = \"shown\"\ntest = true\n";
    suite
        .file("Cargo.toml", &format!("{manifest}{more}"))
        .file(
            "src/lib.rs",
            "/// ```\n/// assert_eq!(tiny::one(), 2);\n/// ```\n/// ```\n/// tiny::one();\n/// ```\npub fn one() -> u8 { 1 }",
        )
        .file(
            "tests/own.rs",
            "fn main() { println!(\"running 2 tests\"); std::process::exit(77) }",
        )
        .file(
            "tests/lists.rs",
            "fn main() {
                 let args: Vec<String> = std::env::args().collect();
                 if args.contains(&\"--list\".into()) { return println!(\"a b: test\\nc: test\"); }
                 assert!(!args.contains(&\"c\".into()), \"c fails\");
             }",
        )
        .file("benches/speed.rs", "fn main() { println!(\"as a test\") }")
        .file("examples/shown.rs", "fn main() {} #[test] fn works() {}");
}

#[test]
fn everything_that_cargo_test_runs_is_a_task() {
    let setup = Setup::with(1, |worker, suite| {
        unusual(suite);
        worker.env("CARGO_TARGET_DIR", suite.path().join("target"))
    });
    let expect = |per: &str, wanted: &[(&str, &str)]| {
        let ran = setup.run_from(&["--from", "cargo-test", "--per", per, "--", "--offline"]);
        let names: Vec<_> = wanted.iter().map(|(name, _)| *name).collect();
        assert_eq!(task_names(&ran), names, "{}", ran.done.stderr);
        for (name, verdict) in wanted {
            assert_eq!(ran.verdict(name), *verdict, "{name} {:?}", ran.trial(name));
        }
    };
    let doctests = ("doc/tests", "failed 1 0 1");
    // Cargo distinguishes only two kinds of exit code.
    let own = ("tiny::own", "failed 0 0 1");
    let speed = ("tiny::bench/speed", "passed 1 0 0");
    expect(
        "binary",
        &[
            doctests,
            speed,
            ("tiny::example/shown", "passed 1 0 0"),
            ("tiny::joined", "passed 2 0 0"),
            ("tiny::lists", "passed 1 0 0"),
            own,
        ],
    );
    expect(
        "test",
        &[
            doctests,
            speed,
            ("tiny::example/shown works", "passed 1 0 0"),
            ("tiny::joined m::dies", "passed 1 0 0"),
            ("tiny::joined m::knows_its_place", "passed 1 0 0"),
            ("tiny::lists a b", "passed 1 0 0"),
            ("tiny::lists c", "failed 0 0 1"),
            own,
        ],
    );
}

/// A test that records the environment of its process, and a build script and a configuration that
/// change it.
fn mirror(suite: &Suite) {
    suite
        .file(
            "Cargo.toml",
            "[package]\nname = \"mirror\"\nversion = \"1.2.3\"\nedition = \"2021\"\n\
             description = \"two\\nlines, it's `so`\"\n[workspace]\n",
        )
        .file(
            "build.rs",
            "fn main() {
                 println!(\"cargo:rustc-env=FROM_BUILD=a b\");
                 println!(\"cargo:rustc-link-search=native={}/l\", std::env::var(\"OUT_DIR\").unwrap());
             }",
        )
        .file(
            ".cargo/config.toml",
            "[env]\nPLAIN = \"it's\"\nFOLDER = { value = \"src\", relative = true }\n\
             GIVEN = \"configured\"\nFORCED = { value = \"configured\", force = true }\n\
             [target.'cfg(unix)']\nrunner = [\"./wrap.sh\", \"an argument\"]\n",
        )
        .file(
            "wrap.sh",
            "#!/bin/sh\nexport WRAPPED_BY=\"$1\"\nshift\nexec \"$@\"\n",
        )
        .file(
            "src/lib.rs",
            "#[test] fn other() {}
             #[test] fn sees() {
                 let mut all: Vec<String> = std::env::vars_os().map(|it| format!(\"{it:?}\")).collect();
                 all.sort();
                 all.push(format!(\"{:?}\", std::env::current_dir().unwrap()));
                 all.push(format!(\"{:?}\", std::env::args().collect::<Vec<_>>()));
                 if let Some(path) = std::env::var_os(\"MIRROR\") { std::fs::write(path, all.join(\"\\n\")).unwrap() }
             }",
        );
    let script = suite.path().join("wrap.sh");
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_test_has_the_same_environment_as_under_cargo_test() {
    let (native, ours) = (
        tempfile::NamedTempFile::new(),
        tempfile::NamedTempFile::new(),
    );
    let (native, ours) = (native.unwrap(), ours.unwrap());
    let given = |tool: Tool, suite: &Suite, mirror: &tempfile::NamedTempFile| {
        tool.env("CARGO_TARGET_DIR", suite.path().join("target"))
            .env("MIRROR", mirror.path())
            .env("GIVEN", "given")
            .env("FORCED", "given")
            .env("RUST_TEST_THREADS", "1")
    };
    let setup = Setup::with(1, |worker, suite| {
        mirror(suite);
        given(worker, suite, &ours)
    });
    let cargo = Tool::program(&setup.server, "cargo").args(["test", "--offline", "sees"]);
    given(cargo, &setup.suite, &native)
        .dir(setup.suite.path())
        .bound(PATIENCE * 10)
        .run()
        .expect_code(0);
    let ran = setup.run_from(&["--from", "cargo-test", "--", "--offline", "sees"]);
    assert_eq!(
        ran.verdict("mirror"),
        "passed 1 0 0",
        "{:?}",
        ran.trial("mirror")
    );
    // The run, the harness and the shell between worker and slave have variables of their own.
    let mine = [
        "RRR_", "TEST_", "XML_", "RRRSPEC_", "SLAVE_", "NUM_", "MIRROR", "_\"", "PWD", "SHLVL",
        "OLDPWD", "PATH", "HARNESS_",
    ];
    let lines = |file: &tempfile::NamedTempFile| -> Vec<String> {
        let text = std::fs::read_to_string(file.path()).unwrap();
        let is_mine = |line: &&str| {
            mine.iter()
                .any(|name| line.starts_with(&format!("(\"{name}")))
        };
        text.lines()
            .filter(|line| !is_mine(line))
            .map(str::to_owned)
            .collect()
    };
    let seen = lines(&ours);
    for variable in [
        "WRAPPED_BY",
        "FROM_BUILD",
        "OUT_DIR",
        "FOLDER",
        "PLAIN",
        "CARGO_PKG_DESCRIPTION",
    ] {
        let has = seen
            .iter()
            .any(|line| line.starts_with(&format!("(\"{variable}\"")));
        assert!(has, "{variable} {seen:#?}");
    }
    let native = lines(&native);
    let without = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter()
            .filter(|line| !other.contains(line))
            .cloned()
            .collect()
    };
    assert_eq!(without(&native, &seen), [""; 0], "missing here");
    assert_eq!(without(&seen, &native), [""; 0], "only here");
}
