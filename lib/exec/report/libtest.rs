//! The human-readable output of Rust's test binaries, which is all that a stable toolchain offers:
//! one line per test, the output of the failed ones, and a last line with the counts.

use super::content::{Location, Report};
use super::milliseconds;
use crate::protocol::example::{Example, Status};
use std::collections::HashMap;

/// The number of tests, if the line is the first of a test binary's output.
fn begun(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("running ")?;
    let number = rest.strip_suffix(" tests").or(rest.strip_suffix(" test"))?;
    number.parse().ok()
}

/// Whether the line is the first of a test binary's output.
pub(crate) fn is_start(line: &str) -> bool {
    begun(line).is_some()
}

pub(crate) fn read(text: &str, report: &mut Report) -> Result<(), String> {
    let mut reader = Reader {
        report,
        open: Vec::new(),
        ended: None,
        speaks: None,
        begun: 0,
    };
    for line in text.lines() {
        reader.line(line)?;
    }
    reader.end()
}

/// A binary that has started.
struct Binary {
    planned: u64,
    /// The tests with a line of output, by outcome.
    told: [u64; 3],
    /// The last places of each status, to take back lines that were made up by something else.
    places: [Vec<Location>; 3],
    /// The tests that did not pass, by name, to attach their output.
    bad: HashMap<String, Location>,
    /// Binaries that started and ended during this one: a test ran them, unless this one has died.
    inside: Vec<(Binary, Totals)>,
}

/// The counts in the last line of a binary.
#[derive(Clone, Copy)]
struct Totals {
    /// Passed, pending, failed.
    counts: [u64; 3],
    says_failed: bool,
}

/// The statuses in the order of the counts.
const STATUSES: [Status; 3] = [Status::Passed, Status::Pending, Status::Failed];
/// Nesting depth of binaries: more than any test starts.
const DEPTH: usize = 1000;
/// Places that are remembered per status.
const PLACES: usize = 100_000;

struct Reader<'r> {
    report: &'r mut Report,
    /// Binaries that have not ended: each was started by a test of the previous one, or the
    /// previous one died.
    open: Vec<Binary>,
    /// The binary that ended last. Another line with its counts may follow; that line is then the
    /// real one.
    ended: Option<(Binary, Totals)>,
    /// The test whose output is being read.
    speaks: Option<Location>,
    begun: u64,
}

impl Reader<'_> {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if let Some(planned) = begun(line) {
            self.begun += 1;
            if self.open.is_empty() {
                self.settle();
            }
            if self.open.len() >= DEPTH {
                return Err(format!(
                    "more than {DEPTH} test binaries started and did not end"
                ));
            }
            self.open.push(Binary {
                planned,
                told: [0; 3],
                places: Default::default(),
                bad: HashMap::new(),
                inside: Vec::new(),
            });
        } else if let Some(totals) = line.strip_prefix("test result: ").and_then(totals) {
            self.result(totals)?;
        } else if let Some(name) = section(line) {
            let binary = self.open.last();
            self.speaks = binary.and_then(|binary| binary.bad.get(name)).copied();
        } else if matches!(line, "failures:" | "successes:") {
            self.speaks = None;
        } else if let Some(place) = self.speaks {
            self.report.say(place, line);
            self.report.say(place, "\n");
        } else if let Some(example) = test(line) {
            self.test(example);
        }
        Ok(())
    }

    fn test(&mut self, example: Example) {
        let Some(binary) = self.open.last_mut() else {
            return;
        };
        let Some(at) = STATUSES.iter().position(|status| *status == example.status) else {
            return;
        };
        // More lines than announced tests: a process started by a test wrote them.
        if binary.told.iter().sum::<u64>() >= binary.planned.saturating_add(PLACES as u64) {
            return;
        }
        let name = (at == 2).then(|| example.name.clone());
        let place = self.report.push(example);
        binary.told[at] += 1;
        if binary.places[at].len() < PLACES {
            binary.places[at].push(place);
        }
        if let Some(name) = name
            && self.report.get(place).is_some()
        {
            binary.bad.insert(name, place);
        }
    }

    /// Ends the innermost binary that announced as many tests as the line counts.
    fn result(&mut self, totals: Totals) -> Result<(), String> {
        let sum = totals.counts.iter().sum::<u64>();
        let fits = |binary: &Binary| binary.planned == sum;
        let stopped_early =
            |binary: &Binary| totals.counts[2] > 0 && totals.says_failed && sum < binary.planned;
        let place = self.open.iter().rposition(fits).or_else(|| {
            let last = self.open.last().filter(|last| stopped_early(last));
            last.map(|_| self.open.len() - 1)
        });
        let Some(place) = place else {
            if let Some((binary, latest)) = &mut self.ended
                && self.open.is_empty()
                && binary.planned == sum
            {
                *latest = totals;
            }
            return Ok(());
        };
        self.speaks = None;
        for nested in self.open.split_off(place + 1) {
            self.drop(nested);
        }
        let Some(mut binary) = self.open.pop() else {
            return Ok(());
        };
        for (nested, _) in std::mem::take(&mut binary.inside) {
            self.drop(nested);
        }
        match self.open.last_mut() {
            None => self.ended = Some((binary, totals)),
            Some(outer) if outer.inside.len() < DEPTH => outer.inside.push((binary, totals)),
            Some(_) => return Err(format!("more than {DEPTH} nested test binaries")),
        }
        Ok(())
    }

    /// Takes back the results of a nested test binary: they are the output of a test.
    fn drop(&mut self, binary: Binary) {
        self.begun -= 1;
        for place in binary.places.iter().flatten() {
            self.report.take_back(*place);
        }
        for (nested, _) in binary.inside {
            self.drop(nested);
        }
    }

    /// Adjusts the counts of the finished binary to those of its last line.
    fn settle(&mut self) {
        if let Some((binary, totals)) = self.ended.take() {
            self.add(binary, totals);
        }
    }

    fn add(&mut self, mut binary: Binary, totals: Totals) {
        for (at, status) in STATUSES.into_iter().enumerate() {
            let (told, counted) = (binary.told[at], totals.counts[at]);
            for _ in counted..told {
                if let Some(place) = binary.places[at].pop() {
                    self.report.take_back(place);
                }
            }
            // Lines that cannot be read because a process wrote into the middle of them.
            let mut missing = counted.saturating_sub(told);
            if missing > 0 && status == Status::Failed {
                self.report
                    .push(Example::new("(its line cannot be read)", status));
                missing -= 1;
            }
            self.report.count_more(status, missing);
        }
        let failed = totals.counts[2] > 0;
        if totals.says_failed && !failed {
            self.report
                .push_outside("a test binary failed without a failed test");
        } else if failed && !totals.says_failed {
            self.report
                .push_outside("a test binary with failed tests reports success");
        }
    }

    fn end(mut self) -> Result<(), String> {
        self.settle();
        if self.begun == 0 {
            return Err("no line announces the number of tests".into());
        }
        let missing = self.open.len();
        for (binary, totals) in std::mem::take(&mut self.open)
            .into_iter()
            .flat_map(|open| open.inside)
        {
            self.add(binary, totals);
        }
        if missing > 0 {
            let begun = self.begun;
            self.report
                .push_outside(format!("{missing} of {begun} test binaries did not end"));
        }
        Ok(())
    }
}

/// `test NAME ... ok`, or another outcome.
fn test(line: &str) -> Option<Example> {
    let rest = line.strip_prefix("test ")?;
    // A name may contain the dots too.
    let mut parts = rest.match_indices(" ... ");
    parts.find_map(|(place, dots)| outcome(&rest[..place], &rest[place + dots.len()..]))
}

fn outcome(name: &str, outcome: &str) -> Option<Example> {
    let name = name.strip_suffix(" - should panic").unwrap_or(name);
    let (word, more) = outcome.split_once([' ', ',']).unwrap_or((outcome, ""));
    let status = match word {
        "ok" | "bench:" => Status::Passed,
        "FAILED" => Status::Failed,
        "ignored" => Status::Pending,
        _ => return None,
    };
    let mut example = Example::new(name, status);
    let time = more
        .strip_prefix('<')
        .and_then(|time| time.strip_suffix("s>"));
    example.duration_ms = time.and_then(|time| milliseconds(time.parse().ok()?));
    if status == Status::Pending && !more.trim().is_empty() {
        example.message = Some(more.trim().to_owned());
    }
    Some(example)
}

/// The test of a line `---- NAME stdout ----`.
fn section(line: &str) -> Option<&str> {
    let name = line.strip_prefix("---- ")?.strip_suffix(" ----")?;
    Some(name.strip_suffix(" stdout").unwrap_or(name))
}

/// The counts of the last line: `ok. 3 passed; 0 failed; 1 ignored; 0 measured; …`.
fn totals(rest: &str) -> Option<Totals> {
    let (word, counts) = rest.split_once(". ")?;
    let count = |word: &str| {
        counts.split(';').find_map(|part| {
            let number = part.trim().strip_suffix(word)?;
            number.trim().parse::<u32>().ok().map(u64::from)
        })
    };
    Some(Totals {
        counts: [
            count("passed")? + count("measured")?,
            count("ignored")?,
            count("failed")?,
        ],
        says_failed: word != "ok",
    })
}

#[cfg(test)]
mod tests;
