//! The JSON lines of `go test -json` (cmd/test2json).

use super::{Report, milliseconds};
use crate::example::{Example, Status};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    action: String,
    package: Option<String>,
    import_path: Option<String>,
    test: Option<String>,
    elapsed: Option<f64>,
    output: Option<String>,
}

/// Bytes kept of what one test or package printed, for its message.
const OUTPUT: usize = 16 << 10;

pub fn parse(text: &str) -> Result<Report, String> {
    let mut report = Report::default();
    let mut output: BTreeMap<(String, Option<String>), String> = BTreeMap::new();
    let mut open: BTreeSet<(String, Option<String>)> = BTreeSet::new();
    let mut bad: BTreeSet<String> = BTreeSet::new();
    let mut lines = 0;
    for line in text.lines().filter(|line| line.starts_with('{')) {
        let Ok(line) = serde_json::from_str::<Line>(line) else {
            continue;
        };
        lines += 1;
        let package = line.package.or(line.import_path).unwrap_or_default();
        let place = (package.clone(), line.test.clone());
        match line.action.as_str() {
            "start" | "run" => {
                open.insert(place);
            }
            "output" | "build-output" => {
                let kept = output.entry(place).or_default();
                if kept.len() < OUTPUT {
                    kept.push_str(line.output.as_deref().unwrap_or_default());
                }
            }
            "pass" | "fail" | "skip" | "bench" => {
                open.remove(&place);
                let said = output.remove(&place);
                match line.test {
                    Some(test) => {
                        let status = match line.action.as_str() {
                            "fail" => Status::Failed,
                            "skip" => Status::Pending,
                            _ => Status::Passed,
                        };
                        let mut example = Example::new(test, status);
                        example.id = format!("{package}.{}", example.name);
                        example.duration_ms = line.elapsed.and_then(milliseconds);
                        if status != Status::Passed {
                            example.message = said;
                        }
                        if status == Status::Failed {
                            bad.insert(package);
                        }
                        report.examples.push(example);
                    }
                    None if line.action == "fail" && !bad.contains(&package) => {
                        let said = said.unwrap_or_default();
                        report
                            .outside
                            .push(format!("package '{package}' failed\n{said}"));
                    }
                    None => {}
                }
            }
            "build-fail" => {
                let said = output.remove(&place).unwrap_or_default();
                report
                    .outside
                    .push(format!("cannot build '{package}'\n{said}"));
            }
            _ => {}
        }
    }
    if lines == 0 {
        return Err("no line of it is an event of go test".into());
    }
    for (package, test) in open {
        match test {
            Some(test) => {
                let mut example = Example::new(test, Status::Error);
                example.message = Some("it began and did not end".into());
                report.examples.push(example);
            }
            None => report
                .outside
                .push(format!("package '{package}' did not end")),
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:5: no\n"}
{"Action":"fail","Package":"p","Test":"TestA","Elapsed":0.01}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"skip","Package":"p","Test":"TestB","Elapsed":0}
{"Action":"run","Package":"p","Test":"TestC"}
{"Action":"pass","Package":"p","Test":"TestC","Elapsed":1.5}
{"Action":"fail","Package":"p","Elapsed":1.6}
"#;

    #[test]
    fn tests_keep_their_output_and_packages_their_end() {
        let report = parse(WHOLE).unwrap();
        use Status::{Failed, Passed, Pending};
        assert_eq!(
            [Passed, Pending, Failed].map(|s| report.count(s)),
            [1, 1, 1]
        );
        assert_eq!(report.examples[0].id, "p.TestA");
        let message = report.examples[0].message.as_deref();
        assert_eq!(message, Some("    a_test.go:5: no\n"));
        assert_eq!(report.verdict(), Some(crate::trial::Status::Failed));
    }

    #[test]
    fn a_package_that_panics_or_does_not_build_is_an_error() {
        let panics = r#"{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}"#;
        let build = r#"{"ImportPath":"p","Action":"build-output","Output":"x.go:1: no\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"start","Package":"p"}
{"Action":"fail","Package":"p","Elapsed":0}"#;
        for text in [panics, build] {
            let report = parse(text).unwrap();
            assert_eq!(
                report.verdict(),
                Some(crate::trial::Status::Error),
                "{text}"
            );
        }
        assert!(parse(build).unwrap().outside[0].contains("x.go:1: no"));
    }
}
