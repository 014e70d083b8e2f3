//! A suite of a JUnit report: the totals that it claims, and those of the cases that it lists.

use super::case::Case;
use super::{Element, attribute};
use crate::exec::report::content::{Location, Names, Report, clip};
use crate::protocol::example::Status;
use quick_xml::events::BytesStart;

/// More cases with the same name than any tool lists.
const REPEATS: usize = 100_000;

/// The totals of the listed cases.
#[derive(Default)]
pub(crate) struct Sums {
    /// Cases; a tool may list one per attempt.
    cases: u64,
    tests: u64,
    /// Elements that report a failure, and cases of which only the attributes do.
    bad: u64,
    skipped: u64,
}

/// A suite whose end has not been read.
pub(crate) struct Suite {
    name: String,
    tests: Option<u64>,
    bad: Option<u64>,
    skipped: Option<u64>,
    sums: Sums,
    dialect: Dialect,
    /// Whether each case has the status that doctest writes.
    all_run: bool,
    seen: Names,
    /// Cases with the same name, of which the earlier did not fail: two tests, or two attempts.
    repeats: Vec<(Location, Location)>,
}

/// The unit of the `tests` attribute.
#[derive(Clone, Copy, PartialEq)]
enum Dialect {
    Tests,
    /// Catch2 counts assertions.
    Assertions,
    /// doctest also counts assertions, and is recognised by its first attributes and its cases.
    Doctest,
    /// A mocha suite includes filtered tests in its count; the total of the root is right.
    Mocha,
    MochaSuite,
}

impl Dialect {
    fn of(tag: &BytesStart, name: &str, parent: Option<&Suite>) -> Result<Self, String> {
        let is_root = tag.local_name().as_ref() == "testsuites";
        if let Some(Self::Mocha | Self::MochaSuite) = parent.map(|parent| parent.dialect) {
            return Ok(Self::MochaSuite);
        } else if is_root && name == "Mocha Tests" {
            return Ok(Self::Mocha);
        } else if attribute(tag, "hostname")?.as_deref() == Some("tbd") {
            return Ok(Self::Assertions);
        }
        let first = tag.attributes().flatten().take(4);
        let first: Vec<_> = first
            .map(|attribute| attribute.key.as_ref().to_owned())
            .collect();
        Ok(if first == ["name", "errors", "failures", "tests"] {
            Self::Doctest
        } else {
            Self::Tests
        })
    }
}

impl Suite {
    pub(crate) fn new(tag: &BytesStart, parent: Option<&Suite>) -> Result<Self, String> {
        let name = attribute(tag, "name")?.unwrap_or_default();
        let number = |name| -> Result<Option<u64>, String> {
            let text = attribute(tag, name)?;
            Ok(text.and_then(|text| text.trim().replace(',', "").parse().ok()))
        };
        let bad = match (number("failures")?, number("errors")?) {
            (None, None) => None,
            (failures, errors) => Some(failures.unwrap_or(0).saturating_add(errors.unwrap_or(0))),
        };
        Ok(Self {
            tests: number("tests")?,
            bad,
            skipped: number("skipped")?,
            sums: Sums::default(),
            dialect: Dialect::of(tag, &name, parent)?,
            name,
            all_run: true,
            seen: Names::default(),
            repeats: Vec::new(),
        })
    }

    /// Counts an element directly below the suite or below one of its cases.
    pub(crate) fn add_outcome(&mut self, element: Element) {
        match element {
            Element::Failure | Element::Error => self.sums.bad += 1,
            Element::Skipped => self.sums.skipped += 1,
            _ => {}
        }
    }

    pub(crate) fn add_sums(&mut self, sums: &Sums) {
        self.sums.cases += sums.cases;
        self.sums.tests += sums.tests;
        self.sums.bad += sums.bad;
        self.sums.skipped += sums.skipped;
    }

    /// Adds a case. If an earlier case with the same name failed, this is a later attempt of the
    /// same test.
    pub(crate) fn add_case(&mut self, case: Case, report: &mut Report) -> Result<(), String> {
        self.sums.cases += 1;
        self.sums.tests += 1;
        self.sums.bad += u64::from(case.only_named_bad());
        self.all_run &= case.is_run;
        let name = (
            case.example.id.clone(),
            case.example.file.clone(),
            case.example.line,
        );
        let had_skipped = case.example.status == Status::Pending;
        let example = case.example();
        self.sums.skipped += u64::from(example.status == Status::Pending && !had_skipped);
        let place = match self.seen.get(&name) {
            Some(earlier) if earlier.status >= Status::Failed => {
                self.sums.tests -= 1;
                report.push_again(earlier, example)
            }
            Some(earlier) => {
                let later = report.push(example);
                if self.repeats.len() >= REPEATS {
                    return Err(format!("more than {REPEATS} cases have the same name"));
                }
                self.repeats.push((earlier, later));
                later
            }
            None => report.push(example),
        };
        self.seen.set(&name, place)
    }

    /// Compares the claimed totals with those of the listed cases.
    ///
    /// Errors: the difference.
    pub(crate) fn end(mut self, report: &mut Report) -> Result<Sums, (Sums, String)> {
        if self.tests.is_some_and(|tests| tests < self.sums.tests) {
            // pytest-rerunfailures lists each attempt and counts each test.
            for (earlier, later) in self.repeats.drain(..) {
                report.replace(earlier, later);
                self.sums.tests -= 1;
            }
        }
        match self.difference() {
            None => Ok(self.sums),
            Some(why) => {
                let name = clip(&self.name, 200);
                Err((self.sums, format!("suite '{name}' {why}")))
            }
        }
    }

    fn difference(&self) -> Option<String> {
        let by_assertion = match self.dialect {
            Dialect::Tests | Dialect::Mocha => false,
            Dialect::Assertions | Dialect::MochaSuite => true,
            Dialect::Doctest => self.all_run && self.sums.cases > 0,
        };
        let told = &self.sums;
        let unlisted = self.tests.unwrap_or(0).saturating_sub(told.cases);
        // Some tools count skipped tests without listing them.
        let not_skipped =
            unlisted.saturating_sub((self.skipped.unwrap_or(0)).saturating_sub(told.skipped));
        if not_skipped > 0 && !by_assertion {
            let (tests, listed) = (self.tests.unwrap_or(0), told.cases);
            return Some(format!("claims {tests} tests but lists {listed}"));
        }
        if let Some(bad) = self.bad.filter(|bad| *bad > told.bad) {
            let listed = told.bad;
            return Some(format!(
                "claims {bad} failures and errors but lists {listed}"
            ));
        }
        let skipped = self.skipped.unwrap_or(0);
        let listed = told.skipped.saturating_add(unlisted);
        (skipped > listed).then(|| format!("claims {skipped} skipped tests but lists {listed}"))
    }
}
