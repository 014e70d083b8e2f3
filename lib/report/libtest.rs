//! What Rust's test binaries print for people, which is all that a stable toolchain has: a line for
//! each test, what the failed ones said, and a last line with the counts.

use super::Report;
use crate::example::{Example, Status};

/// Whether the line begins the output of a test binary.
pub fn is_start(line: &str) -> bool {
    let number = line
        .strip_prefix("running ")
        .and_then(|rest| rest.strip_suffix(" tests").or(rest.strip_suffix(" test")));
    number.is_some_and(|number| number.parse::<u64>().is_ok())
}

pub fn parse(text: &str) -> Result<Report, String> {
    let mut report = Report::default();
    let mut tests: Vec<Example> = Vec::new();
    // The test whose output is being read.
    let mut speaks: Option<usize> = None;
    let (mut begun, mut ended) = (0, 0);
    for line in text.lines() {
        if is_start(line) {
            begun += 1;
        } else if let Some(totals) = line.strip_prefix("test result: ").and_then(totals) {
            ended += 1;
            speaks = None;
            if line.contains(" FAILED. 0 passed; 0 failed;") {
                let nobody = "a binary failed without a failed test";
                report.outside.push(nobody.into());
            }
            settle(&mut report.examples, std::mem::take(&mut tests), totals);
        } else if let Some(name) = section(line) {
            speaks = tests.iter().position(|test| test.name == name);
        } else if line == "failures:" {
            speaks = None;
        } else if let Some(place) = speaks {
            let message = tests[place].message.get_or_insert_default();
            message.push_str(line);
            message.push('\n');
        } else {
            tests.extend(test(line));
        }
    }
    if begun == 0 {
        return Err("no line of it says how many tests are run".into());
    }
    if ended < begun {
        let missing = begun - ended;
        report.examples.append(&mut tests);
        report
            .outside
            .push(format!("{missing} of {begun} test binaries did not end"));
    }
    Ok(report)
}

/// `test NAME ... ok`, or how else it ended.
fn test(line: &str) -> Option<Example> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let name = name.strip_suffix(" - should panic").unwrap_or(name);
    let (word, more) = outcome.split_once([' ', ',']).unwrap_or((outcome, ""));
    let status = match word {
        "ok" | "bench:" => Status::Passed,
        "FAILED" => Status::Failed,
        "ignored" => Status::Pending,
        _ => return None,
    };
    let mut example = Example::new(name, status);
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

/// How many passed, failed and were ignored: `ok. 3 passed; 0 failed; 1 ignored; 0 measured; …`.
fn totals(rest: &str) -> Option<[(Status, u64); 3]> {
    let (_, counts) = rest.split_once(". ")?;
    let count = |word: &str| {
        counts.split(';').find_map(|part| {
            let number = part.trim().strip_suffix(word)?;
            number.trim().parse::<u64>().ok()
        })
    };
    Some([
        (Status::Passed, count("passed")? + count("measured")?),
        (Status::Failed, count("failed")?),
        (Status::Pending, count("ignored")?),
    ])
}

/// Takes as many tests as the last line counts: a line may be unreadable because a process that a
/// test started wrote into the midst of it, or may have been printed by such a process.
fn settle(examples: &mut Vec<Example>, tests: Vec<Example>, totals: [(Status, u64); 3]) {
    let mut left = totals;
    for test in tests {
        let room = left.iter_mut().find(|(status, _)| *status == test.status);
        if let Some((_, room)) = room.filter(|(_, room)| *room > 0) {
            *room -= 1;
            examples.push(test);
        }
    }
    for (status, missing) in left {
        // A count beyond reason is not worth a list of nobodies.
        for _ in 0..missing.min(100_000) {
            examples.push(Example::new("(its line cannot be read)", status));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "
running 4 tests
test adds ... ok
test panics - should panic ... ok
test fails ... FAILED
test waits ... ignored, slow

failures:

---- fails stdout ----
seen
test result: is what a test may print

thread 'fails' panicked at src/lib.rs:3:58:


failures:
    fails

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.13s

running 1 test
test joins ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    fn counts(report: &Report) -> [u64; 3] {
        [Status::Passed, Status::Pending, Status::Failed].map(|status| report.count(status))
    }

    #[test]
    fn tests_are_counted_as_their_last_line_counts_them() {
        let report = parse(WHOLE).unwrap();
        assert_eq!(counts(&report), [3, 1, 1]);
        assert!(report.outside.is_empty());
        let bad = &report.examples[2];
        assert_eq!(bad.name, "fails");
        let message = bad.message.as_deref().unwrap();
        assert!(message.starts_with("seen\n") && message.contains("src/lib.rs:3:58"));
        assert_eq!(report.examples[1].name, "panics");
        assert_eq!(report.examples[3].message.as_deref(), Some("slow"));
    }

    #[test]
    fn lines_that_others_wrote_into_or_made_up_change_no_count() {
        let text = WHOLE
            .replace("test adds ... ok", "test adds ... noise\nok")
            .replace(
                "test joins ... ok",
                "test joins ... ok\ntest made_up ... FAILED",
            );
        let report = parse(&text).unwrap();
        assert_eq!(counts(&report), [3, 1, 1]);
    }

    #[test]
    fn a_binary_that_dies_half_way_is_never_a_pass() {
        let lines: Vec<&str> = WHOLE.lines().collect();
        for end in 2..lines.len() {
            let report = parse(&lines[..end].join("\n")).unwrap();
            assert_ne!(
                report.verdict(),
                Some(crate::trial::Status::Passed),
                "{end}"
            );
        }
    }
}
