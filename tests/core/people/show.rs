//! rrr-show: every output format, read by the tools that consume it.

use crate::harness::*;
use serde_json::Value;
use std::path::{Path, PathBuf};

const RSPEC: &str = r#"cat >"$1" <<'EOF'
<testsuites><testsuite name="s" tests="3">
<testcase name="adds" classname="Calc" file="calc_spec.rb" line="3" time="0.01"/>
<testcase name="divides &amp; &lt;rounds&gt;" classname="Calc" file="calc_spec.rb" line="9"><failure message="expected 4">expected 4
got &#27; 5: 100%</failure></testcase>
<testcase name="later" classname="Calc" file="calc_spec.rb" line="20"><skipped message="not yet"/></testcase>
</testsuite></testsuites>
EOF
exit 1"#;

/// Finished runs: one with a file of every kind, and one whose file reports its examples.
struct Ran {
    server: Server,
    suite: Suite,
    key: String,
    calc: String,
}

fn ran() -> Ran {
    let (server, suite) = (Server::new(), Suite::new());
    let fleet = Fleet::plan(&server).without_persister().start();
    let worker = fleet.worker("box", 2, suite.path());
    suite
        .file("passes.sh", "exit 0")
        .file("pending.sh", "exit 77")
        .file(
            "fails.sh",
            "echo out; printf 'wrong: 50%% \\033[31mred\\033[0m, <b>\\n' >&2; exit 3",
        )
        .file("flaky #1.sh", "[ -e seen ] && exit 0; touch seen; exit 1");
    let done = submit(&server, &suite, &["--max-trials", "2"]).wait(PATIENCE);
    let key = done.events()[0]["taskset"].as_str().unwrap().to_owned();
    suite.file("calc_spec.sh", RSPEC);
    let slave = "rrr-slave --report junit -- sh {} {report}";
    let done = Tool::new(&server, "rrr-submit")
        .args([
            "--no-rsync",
            "--follow",
            "--max-trials",
            "2",
            "--slave",
            slave,
            "calc_spec.sh",
        ])
        .dir(suite.path())
        .run();
    let calc = done.events()[0]["taskset"].as_str().unwrap().to_owned();
    drop(worker);
    fleet.stop();
    Ran {
        server,
        suite,
        key,
        calc,
    }
}

impl Ran {
    fn show(&self, args: &[&str]) -> Tool {
        self.show_of(&self.key, args)
    }

    fn show_of(&self, key: &str, args: &[&str]) -> Tool {
        Tool::new(&self.server, "rrr-show")
            .arg(key)
            .args(args)
            .dir(self.suite.path())
    }

    fn text(&self, args: &[&str]) -> String {
        self.show(args).run().expect_code(0).stdout
    }

    fn text_of_calc(&self, args: &[&str]) -> String {
        self.show_of(&self.calc, args).run().expect_code(0).stdout
    }

    /// Writes the reports of both runs and returns their names.
    fn reports(&self) -> [&'static str; 2] {
        for (key, file) in [(&self.key, "junit.xml"), (&self.calc, "calc.xml")] {
            self.show_of(key, &["--format", "junit", "--file", file])
                .run()
                .expect_code(0);
        }
        ["junit.xml", "calc.xml"]
    }
}

fn output(program: &str, args: &[&str]) -> String {
    let output = std::process::Command::new(program)
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect(program);
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The path of the schema in the crate junit-report, which cargo has downloaded.
fn published_schema() -> PathBuf {
    let version = output("rustc", &["-vV"]);
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .expect("a host");
    let args = [
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--offline",
        "--filter-platform",
        host,
    ];
    let metadata: Value = serde_json::from_str(&output(env!("CARGO"), &args)).expect("its JSON");
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages
        .iter()
        .find(|package| package["name"] == "junit-report")
        .unwrap();
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    manifest.with_file_name("tests").join("JUnit.xsd")
}

/// The additions of the dialect to the schema: place and content. Jenkins, GitLab and Buildkite
/// read all of them; no published schema has them all. Maven Surefire's has reruns, but no
/// `<testsuites>`, file or timestamp, and requires a `<stackTrace>` in each rerun.
const ADDITIONS: &[(&str, &str)] = &[
    (
        r#"<xs:element name="skipped" type="xs:string"/>"#,
        r#"<xs:element name="skipped"><xs:complexType mixed="true"><xs:attribute name="message" type="xs:string"/></xs:complexType></xs:element>
           <xs:complexType name="rerun" mixed="true"><xs:sequence><xs:element name="stackTrace" type="xs:string" minOccurs="0"/></xs:sequence><xs:attribute name="message" type="xs:string"/><xs:attribute name="type" type="xs:string" use="required"/></xs:complexType>"#,
    ),
    (
        r#"<xs:element ref="failure" minOccurs="0" maxOccurs="unbounded"/>"#,
        r#"<xs:element ref="failure" minOccurs="0" maxOccurs="unbounded"/>
           <xs:element name="flakyFailure" type="rerun" minOccurs="0" maxOccurs="unbounded"/>
           <xs:element name="flakyError" type="rerun" minOccurs="0" maxOccurs="unbounded"/>
           <xs:element name="rerunFailure" type="rerun" minOccurs="0" maxOccurs="unbounded"/>
           <xs:element name="rerunError" type="rerun" minOccurs="0" maxOccurs="unbounded"/>"#,
    ),
    (
        r#"<xs:attribute name="file" type="xs:string" use="optional"/>"#,
        r#"<xs:attribute name="file" type="xs:string"/><xs:attribute name="line" type="xs:positiveInteger"/>"#,
    ),
    (
        r#"<xs:element name="testsuites">
        <xs:complexType>
            <xs:sequence>
                <xs:element ref="testsuite" minOccurs="0" maxOccurs="unbounded"/>
            </xs:sequence>"#,
        r#"<xs:element name="testsuites">
        <xs:complexType>
            <xs:sequence>
                <xs:element ref="testsuite" minOccurs="0" maxOccurs="unbounded"/>
            </xs:sequence>
            <xs:attribute name="skipped" type="xs:nonNegativeInteger"/><xs:attribute name="timestamp" type="xs:dateTime"/>"#,
    ),
];

#[test]
fn junit_is_valid_by_a_published_schema_with_named_additions() {
    let ran = ran();
    let reports = ran.reports();
    let schema = std::fs::read_to_string(published_schema()).expect("a schema");
    let mut schema = schema.replace("\r\n", "\n");
    for (place, addition) in ADDITIONS {
        assert!(schema.contains(place), "the schema has no longer: {place}");
        schema = schema.replacen(place, addition, 1);
    }
    ran.suite.file("schema.xsd", &schema);
    let validate = |file: &str| {
        Tool::program("unused", "xmllint")
            .args(["--noout", "--schema", "schema.xsd", file])
            .dir(ran.suite.path())
            .run()
    };
    for report in reports {
        let done = validate(report);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
    }
    // The schema does refuse invalid reports.
    let report = std::fs::read_to_string(ran.suite.path().join("calc.xml")).unwrap();
    let broken = report
        .replace("<failure", "<failed")
        .replace("</failure", "</failed");
    ran.suite.file("broken.xml", &broken);
    assert_ne!(validate("broken.xml").code, Some(0));
}

/// The content of a report as read by junitparser, on which CI tools are built.
const READ: &str = "
import json, junitparser, sys
xml = junitparser.JUnitXml.fromfile(sys.argv[1])
cases = []
for suite in xml:
    for case in suite:
        kinds = [type(result).__name__ for result in case.result]
        cases.append([suite.name, case.classname, case.name, kinds])
print(json.dumps({'totals': [xml.tests, xml.failures, xml.errors, xml.skipped], 'cases': cases}))
";

#[test]
fn junit_is_read_correctly_by_junitparser() {
    let ran = ran();
    let mut cases = Vec::new();
    for (report, totals) in ran.reports().into_iter().zip([[4, 1, 0, 1], [3, 1, 0, 1]]) {
        // Debian's own Python has the packaged modules.
        let read = Tool::program("unused", "/usr/bin/python3")
            .args(["-c", READ, report])
            .dir(ran.suite.path())
            .run()
            .expect_code(0);
        let read: Value = serde_json::from_str(&read.stdout).unwrap();
        assert_eq!(read["totals"], serde_json::json!(totals), "{read}");
        cases.extend(read["cases"].as_array().unwrap().clone());
    }
    let kinds = |name: &str| {
        let case = cases.iter().find(|case| case[2] == name);
        case.unwrap_or_else(|| panic!("no {name}: {cases:?}"))[3].clone()
    };
    assert_eq!(kinds("fails.sh"), serde_json::json!(["Failure"]));
    assert_eq!(kinds("pending.sh"), serde_json::json!(["Skipped"]));
    assert_eq!(kinds("divides & <rounds>"), serde_json::json!(["Failure"]));
    assert_eq!(kinds("later"), serde_json::json!(["Skipped"]));
    assert_eq!(kinds("passes.sh"), serde_json::json!([]));
    let name = |case: &Value| format!("{} {}", case[1], case[2]);
    let names: std::collections::BTreeSet<String> = cases.iter().map(name).collect();
    assert_eq!(names.len(), cases.len(), "classname and name are unique");
    let read = |file: &str| std::fs::read_to_string(ran.suite.path().join(file)).unwrap();
    let (plain, calc) = (read("junit.xml"), read("calc.xml"));
    assert!(
        plain.contains("<flakyFailure message=\"failed, exit 1\""),
        "{plain}"
    );
    assert!(plain.contains("<rerunFailure"), "{plain}");
    assert!(calc.contains("file=\"calc_spec.rb\" line=\"9\""), "{calc}");
    assert!(!plain.contains('\x1b'), "{plain}");
}

#[test]
fn text_shows_failures_and_how_to_rerun_them() {
    let ran = ran();
    let text = ran.text(&[]);
    for wanted in [
        "--- fails.sh: failed (exit 3, 2 trials)\n",
        "wrong: 50% ␛[31mred␛[0m, <b>\n",
        "flaky #1.sh in trial 2: exit 1\n",
        "\n      sh fails.sh\n",
        "failed: 4 tasks = 2 passed + 1 failed + 1 pending; 1 flaky",
    ] {
        assert!(text.contains(wanted), "no '{wanted}' in\n{text}");
    }
    assert!(!text.contains('\x1b'));
    let text = ran.text_of_calc(&[]);
    assert!(
        text.contains("      at calc_spec.rb:9 divides & <rounds>\n"),
        "{text}"
    );
    assert!(text.contains("    got "), "{text}");
}

#[test]
fn tap_plans_every_task_and_escapes_its_names() {
    let tap = ran().text(&["--format", "tap"]);
    assert!(tap.starts_with("TAP version 14\n1..4\n"), "{tap}");
    let of = |name: &str| {
        tap.lines()
            .find(|line| line.contains(name))
            .unwrap_or_else(|| panic!("{tap}"))
    };
    assert!(of("passes.sh").starts_with("ok "), "{tap}");
    assert!(
        of("pending.sh").ends_with("pending.sh # SKIP pending"),
        "{tap}"
    );
    assert!(of("- fails.sh").starts_with("not ok "), "{tap}");
    assert!(of("flaky").ends_with("- flaky \\#1.sh"), "{tap}");
    let points = tap
        .lines()
        .filter(|line| line.starts_with("ok ") || line.starts_with("not ok "));
    assert_eq!(points.count(), 4);
}

#[test]
fn json_is_the_whole_record_and_jsonl_one_line_per_task() {
    let ran = ran();
    let json = ran.text(&["--format", "json"]);
    let document: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["tasks"].as_array().unwrap().len(), 4);
    assert_eq!(document["taskset"]["status"], "failed");
    let lines = ran
        .show(&["--format", "jsonl"])
        .run()
        .expect_code(0)
        .events();
    let of = |name: &str| lines.iter().find(|line| line["spec_file"] == name).unwrap();
    assert_eq!(of("fails.sh")["exit_code"], 3);
    assert_eq!(of("fails.sh")["status"], "failed");
    assert_eq!(of("fails.sh")["trial_status"], "failed");
    assert_eq!(of("flaky #1.sh")["flaky"], true);
    assert_eq!(of("passes.sh")["trials"], 1);
    // The document of rrr-persist gives the same output.
    ran.suite.file("document.json", &json);
    let args = ["--document", "document.json", "--format", "tap"];
    let again = Tool::new("unused", "rrr-show")
        .args(args)
        .dir(ran.suite.path())
        .run()
        .expect_code(0);
    assert_eq!(again.stdout, ran.text(&["--format", "tap"]));
}

#[test]
fn s9_a_trials_output_is_printed_without_escapes_unless_raw() {
    let ran = ran();
    let done = ran.show(&["--task", "fails.sh"]).run().expect_code(0);
    assert_eq!(done.stdout, "out\n");
    assert_eq!(done.stderr, "wrong: 50% ␛[31mred␛[0m, <b>\n");
    let done = ran
        .show(&["--task", "fails.sh", "--raw"])
        .run()
        .expect_code(0);
    assert_eq!(done.stderr, "wrong: 50% \x1b[31mred\x1b[0m, <b>\n");
    let json = ran
        .show(&["--task", "fails.sh", "--format", "json"])
        .run()
        .expect_code(0);
    let trial = json.events()[0]["key"].as_str().unwrap().to_owned();
    let done = Tool::new(&ran.server, "rrr-show")
        .args(["--trial", &trial])
        .run()
        .expect_code(0);
    assert_eq!(done.stdout, "out\n");
    let done = ran.show(&["--task", "fail.sh"]).run().expect_code(2);
    assert!(
        done.stderr.contains("hint: did you mean 'fails.sh'?"),
        "{}",
        done.stderr
    );
    ran.show(&["--log"]).run().expect_code(0);
}

#[test]
fn github_gets_annotations_and_a_summary_within_its_limits() {
    let (server, suite) = (Server::new(), Suite::new());
    let text = "i=0; while [ $i -lt 400 ]; do echo \"line $i: 100% wrong, ::error::x\"; i=$((i+1)); done; exit 1";
    suite.many(700, text);
    let fleet = Fleet::plan(&server).without_persister().start();
    let _worker = fleet.worker("box", 2, suite.path());
    let done = submit(&server, &suite, &["--max-trials", "1"])
        .wait(PATIENCE)
        .expect_code(1);
    let key = done.events()[0]["taskset"].as_str().unwrap().to_owned();
    let done = Tool::new(&server, "rrr-show")
        .args([key.as_str(), "--format", "github"])
        .env("GITHUB_STEP_SUMMARY", suite.path().join("summary"))
        .run()
        .expect_code(0);
    let errors: Vec<&str> = done
        .stdout
        .lines()
        .filter(|line| line.starts_with("::"))
        .collect();
    assert_eq!(errors.len(), 10, "ten of a kind for each step");
    for error in errors {
        assert!(error.starts_with("::error file=t0"), "{error}");
        assert!(error.contains("100%25 wrong, ::error::x%0Aline"), "{error}");
    }
    let summary = std::fs::read_to_string(suite.path().join("summary")).unwrap();
    assert!(summary.len() <= 1 << 20, "{}", summary.len());
    assert!(
        summary.len() > 900_000,
        "as much as fits: {}",
        summary.len()
    );
    assert!(
        summary.contains(" more failures."),
        "the omission is reported"
    );
    assert!(
        summary.contains("700 tasks = 0 passed + 700 failed"),
        "{}",
        &summary[..500]
    );
}

#[test]
fn markdown_shows_the_same() {
    let ran = ran();
    let markdown = ran.text(&["--format", "markdown"]);
    for wanted in [
        "## ❌ failed\n",
        "failed: 4 tasks = 2 passed + 1 failed + 1 pending; 1 flaky",
        "#### `fails.sh`\n\nfailed (exit 3, 2 trials)\n",
        "- `flaky #1.sh` in trial 2: `exit 1`\n",
        "| took | file |\n| ---: | --- |\n",
    ] {
        assert!(markdown.contains(wanted), "no '{wanted}' in\n{markdown}");
    }
    let calc = ran.text_of_calc(&["--format", "markdown"]);
    assert!(calc.contains("**`divides & <rounds>`**"), "{calc}");
}

#[test]
fn a_missing_or_invalid_record_is_refused_with_a_hint() {
    let server = Server::new();
    let show = |args: &[&str]| {
        Tool::new(&server, "rrr-show")
            .args(args)
            .run()
            .expect_code(2)
            .stderr
    };
    assert!(show(&["rrrspec:taskset:x"]).contains("hint: "));
    assert!(show(&["x"]).contains("taskset 'rrrspec:taskset:x' does not exist"));
    assert!(show(&["last"]).contains("'last' matches no taskset"));
    assert!(show(&["a b"]).contains("'a b' is not the key of a taskset"));
    assert!(show(&[]).contains("required"));
    assert!(show(&["rrrspec:taskset:x", "--format", "html"]).contains("markdown"));
    assert!(show(&["--document", "/no/such"]).contains("cannot read the document"));
}
