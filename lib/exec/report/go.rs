//! The JSON lines of `go test -json` (cmd/test2json).

use super::content::{Names, Report, clip};
use super::milliseconds;
use crate::protocol::example::{Example, Status};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    action: String,
    package: Option<String>,
    import_path: Option<String>,
    test: Option<String>,
    elapsed: Option<f64>,
    output: Option<String>,
    /// The package whose build failure made this one fail.
    failed_build: Option<String>,
}

/// Bytes of output kept per test or package, for its message.
const OUTPUT: usize = 4 << 10;
/// Bytes of output kept of all unfinished tests together.
const OUTPUTS: usize = 8 << 20;
/// Maximum number of unfinished tests, or packages: more than any run has at once.
const OPEN: usize = 50_000;

pub(crate) fn read(text: &str, report: &mut Report) -> Result<(), String> {
    let mut run = Run {
        report,
        packages: BTreeMap::new(),
        names: Names::default(),
        printed: 0,
        open: 0,
    };
    let mut lines = 0;
    for line in text.lines().filter(|line| line.starts_with('{')) {
        // The output of a test may look like JSON too.
        if let Ok(line) = serde_json::from_str::<Line>(line) {
            lines += 1;
            run.line(line)?;
        }
    }
    if lines == 0 {
        return Err("no line is a go test event".into());
    }
    run.end();
    Ok(())
}

/// All packages, finished or not.
struct Run<'r> {
    report: &'r mut Report,
    packages: BTreeMap<String, Package>,
    names: Names,
    /// Bytes of output kept.
    printed: usize,
    open: usize,
}

/// A package whose tests are running or have run.
#[derive(Default)]
struct Package {
    /// Whether the package has not finished.
    is_open: bool,
    /// The number of earlier runs of the package.
    round: u64,
    /// The tests that have started but not finished, by name; the package itself has an empty name.
    tests: BTreeMap<String, Open>,
    has_tests: bool,
    has_failed_test: bool,
    said_pass: bool,
    /// The output from the line that explains why the whole process ended.
    panic: String,
}

/// A test or package that has not finished.
#[derive(Default)]
struct Open {
    output: String,
    /// The outcome, from a line that test2json before Go 1.20 misses because the test had printed
    /// the beginning of the line.
    ended: Option<Status>,
}

impl Run<'_> {
    fn line(&mut self, line: Line) -> Result<(), String> {
        let name = line.package.or(line.import_path).unwrap_or_default();
        let test = line.test.unwrap_or_default();
        match line.action.as_str() {
            "build-output" => self.output(&name, "", &line.output.unwrap_or_default()),
            "build-fail" => {
                let package = self.packages.remove(&name).unwrap_or_default();
                let said = package.tests.into_values().map(|open| open.output);
                let said: String = said.collect();
                self.report
                    .push_outside(format!("cannot build '{name}'\n{said}"));
                Ok(())
            }
            "start" | "run" | "pause" | "cont" => self.begin(&name, &test),
            "output" => {
                self.begin(&name, &test)?;
                self.output(&name, &test, &line.output.unwrap_or_default())
            }
            "bench" => {
                let begun = self.benchmark(&name, &test).to_owned();
                self.finish(&name, &begun, Status::Passed, line.elapsed)
            }
            "pass" => self.finish(&name, &test, Status::Passed, line.elapsed),
            "skip" => self.finish(&name, &test, Status::Pending, line.elapsed),
            "fail" if test.is_empty() && line.failed_build.is_some() => {
                // The build has already reported the reason.
                self.finish_package(&name, Status::Error)
            }
            "fail" => self.finish(&name, &test, Status::Failed, line.elapsed),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, name: &str, test: &str) -> Result<(), String> {
        let package = self.packages.entry(name.to_owned()).or_default();
        if !package.is_open {
            package.is_open = true;
            self.open += 1;
        }
        if !package.tests.contains_key(test) {
            package.has_tests |= !test.is_empty();
            package.tests.insert(test.to_owned(), Open::default());
            self.open += 1;
        }
        if self.open > OPEN {
            return Err(format!("more than {OPEN} tests run at once"));
        }
        Ok(())
    }

    fn output(&mut self, name: &str, test: &str, text: &str) -> Result<(), String> {
        let package = self.packages.entry(name.to_owned()).or_default();
        let fatal = ["panic: ", "fatal error: ", "*** Test killed", "signal: "];
        if !package.panic.is_empty() || fatal.iter().any(|start| text.starts_with(start)) {
            let left = OUTPUT.saturating_sub(package.panic.len());
            package.panic.push_str(clip(text, left));
        }
        package.said_pass |= test.is_empty() && text == "PASS\n";
        let open = package.tests.entry(test.to_owned()).or_default();
        if let Some(status) = ended(text, test) {
            open.ended = Some(status);
        }
        let left = OUTPUT.saturating_sub(open.output.len());
        let text = clip(text, left.min(OUTPUTS.saturating_sub(self.printed)));
        open.output.push_str(text);
        self.printed += text.len();
        Ok(())
    }

    /// The name under which a benchmark started: it may end as BenchmarkA-8.
    fn benchmark<'t>(&mut self, name: &str, test: &'t str) -> &'t str {
        let begun = test.rsplit_once('-').map_or(test, |(begun, _)| begun);
        match self.packages.get_mut(name) {
            Some(package) if package.tests.contains_key(begun) => {
                if begun != test && package.tests.remove(test).is_some() {
                    self.open = self.open.saturating_sub(1);
                }
                begun
            }
            _ => test,
        }
    }

    fn finish(
        &mut self,
        name: &str,
        test: &str,
        status: Status,
        elapsed: Option<f64>,
    ) -> Result<(), String> {
        if test.is_empty() {
            return self.finish_package(name, status);
        }
        self.begin(name, test)?;
        let package = self.packages.entry(name.to_owned()).or_default();
        let open = package.tests.remove(test).unwrap_or_default();
        self.forget(&open);
        let mut example = Example::new(test, status);
        example.duration_ms = elapsed.and_then(milliseconds);
        if status != Status::Passed {
            example.message = Some(open.output);
        }
        self.push(name, example)
    }

    /// Adds the example of a test: within one run of its package the worst outcome counts, across
    /// several runs the last.
    fn push(&mut self, name: &str, mut example: Example) -> Result<(), String> {
        if !name.is_empty() {
            example.id = format!("{name}.{}", example.name);
        }
        let package = self.packages.entry(name.to_owned()).or_default();
        package.has_failed_test |= example.status >= Status::Failed;
        let this_run = (package.round, example.id.clone());
        let any_run = example.id.clone();
        let before = self.names.get(&this_run);
        if before.is_some_and(|before| before.status >= example.status) {
            return Ok(());
        }
        let place = self.report.push(example);
        match before.or_else(|| self.names.get(&any_run)) {
            Some(earlier) if before.is_none() && earlier.status >= Status::Failed => {
                self.report.replace(earlier, place);
            }
            Some(earlier) => {
                self.report.take_back(earlier);
            }
            None => {}
        }
        self.names.set(&this_run, place)?;
        self.names.set(&any_run, place)
    }

    fn forget(&mut self, open: &Open) {
        self.printed = self.printed.saturating_sub(open.output.len());
        self.open = self.open.saturating_sub(1);
    }

    fn finish_package(&mut self, name: &str, status: Status) -> Result<(), String> {
        let mut package = self.packages.remove(name).unwrap_or_default();
        let said = package.tests.remove("").unwrap_or_default();
        self.forget(&said);
        self.open = self.open.saturating_sub(1);
        let (mut tests, panic) = (std::mem::take(&mut package.tests), package.panic);
        let passed = status == Status::Passed && package.said_pass;
        let next = Package {
            round: package.round + 1,
            ..Package::default()
        };
        package.panic = String::new();
        let (mut failed, has_tests) = (package.has_failed_test, package.has_tests);
        self.packages.insert(name.to_owned(), package);
        while let Some((test, open)) = tests.pop_first() {
            self.forget(&open);
            let example = unfinished(test, open, passed, &panic);
            failed |= example.status >= Status::Failed;
            self.push(name, example)?;
        }
        self.packages.insert(name.to_owned(), next);
        if status == Status::Failed && !failed {
            let output = said.output;
            self.report
                .push_outside(format!("package '{name}' failed\n{output}"));
        } else if !has_tests && status < Status::Failed {
            // go reports success: there is nothing to test.
            let mut example = Example::new(name, Status::Pending);
            example.message = Some(said.output.trim().to_owned());
            self.report.push(example);
        }
        Ok(())
    }

    /// Reports everything that has not finished.
    fn end(self) {
        for (name, package) in self.packages.iter().filter(|(_, package)| package.is_open) {
            for (test, open) in package.tests.iter().filter(|(test, _)| !test.is_empty()) {
                let open = Open {
                    output: open.output.clone(),
                    ended: open.ended,
                };
                let mut example = unfinished(test.clone(), open, false, &package.panic);
                if !name.is_empty() {
                    example.id = format!("{name}.{test}");
                }
                self.report.push(example);
            }
            self.report
                .push_outside(format!("package '{name}' did not end"));
        }
    }
}

/// The example of a test without an end event; `passed`: its package reported that all tests
/// passed.
fn unfinished(test: String, open: Open, passed: bool, panic: &str) -> Example {
    let status = match open.ended {
        Some(status) => status,
        None if passed => Status::Passed,
        None => Status::Error,
    };
    let mut example = Example::new(test, status);
    example.message = match (status, open.ended) {
        (Status::Passed, _) => None,
        (_, Some(_)) => Some(open.output),
        (_, None)
            if open
                .output
                .contains(panic.lines().next().unwrap_or_default()) =>
        {
            let output = open.output;
            Some(format!("it began and did not end\n{output}"))
        }
        (_, None) => {
            let output = open.output;
            Some(format!("it began and did not end\n{panic}\n{output}"))
        }
    };
    example
}

/// The outcome of a test, from the line that the testing package prints, wherever in a line it
/// appears.
fn ended(text: &str, test: &str) -> Option<Status> {
    let (_, rest) = text.rsplit_once("--- ")?;
    let (word, rest) = rest.split_once(": ")?;
    let time = rest.strip_prefix(test)?.strip_prefix(" (")?;
    if test.is_empty() || !time.trim_end().ends_with("s)") {
        return None;
    }
    match word {
        "PASS" | "BENCH" => Some(Status::Passed),
        "FAIL" => Some(Status::Failed),
        "SKIP" => Some(Status::Pending),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
