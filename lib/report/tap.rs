//! The Test Anything Protocol. Only the lines at the margin count: a subtest is summed up by the
//! line of its parent.

use super::Report;
use crate::example::{Example, Status};

/// Whether this is how such a report can begin.
pub fn is_start(line: &str) -> bool {
    line.starts_with("TAP version ") || plan(line).is_some()
}

/// The number of tests in a plan `1..N`, and why there are none, if it says so.
fn plan(line: &str) -> Option<(usize, Option<&str>)> {
    let rest = line.strip_prefix("1..")?;
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let number = rest[..digits].parse().ok()?;
    let behind = rest[digits..].trim();
    let comment = behind.strip_prefix('#').map(str::trim);
    (behind.is_empty() || comment.is_some()).then_some((number, comment))
}

pub fn parse(text: &str) -> Result<Report, String> {
    let mut report = Report::default();
    let mut planned = None;
    // Where diagnostics go: to the test that was told last, if it failed.
    let mut message: Option<String> = None;
    for line in text.lines() {
        if let Some(reason) = line.strip_prefix("Bail out!") {
            report
                .outside
                .push(format!("bailed out: {}", reason.trim()));
        } else if let Some((number, comment)) = plan(line) {
            if planned.replace(number).is_some() {
                return Err("it has two plans".into());
            }
            if number == 0 {
                let mut example = Example::new("all tests", Status::Pending);
                example.message = comment.map(str::to_owned);
                report.examples.push(example);
            }
        } else if let Some(example) = test(line) {
            settle(&mut report, message.take());
            if example.status == Status::Failed {
                message = Some(String::new());
            }
            report.examples.push(example);
        } else if let Some(message) = &mut message {
            let diagnostic = line
                .strip_prefix("# ")
                .or_else(|| line.strip_prefix("  "))
                .unwrap_or_default();
            if !diagnostic.is_empty()
                && !matches!(diagnostic, "---" | "...")
                && message.len() < 64 << 10
            {
                message.push_str(diagnostic);
                message.push('\n');
            }
        }
    }
    settle(&mut report, message);
    let told = report.examples.len();
    match planned {
        _ if !report.outside.is_empty() => Ok(report),
        Some(0) if told == 1 => Ok(report),
        Some(number) if number == told && number > 0 => Ok(report),
        Some(number) => Err(format!("{number} tests were planned and {told} reported")),
        None => Err("it has no plan '1..N': it may be cut short".into()),
    }
}

fn settle(report: &mut Report, message: Option<String>) {
    if let (Some(message), Some(last)) = (message, report.examples.last_mut())
        && !message.is_empty()
    {
        last.message = Some(message);
    }
}

/// Reads `ok 1 - name # SKIP why`.
fn test(line: &str) -> Option<Example> {
    let (passed, rest) = match line.strip_prefix("not ok") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok")?),
    };
    if !(rest.is_empty() || rest.starts_with(' ')) {
        return None;
    }
    let rest = rest.trim_start();
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let number = &rest[..digits];
    let rest = rest[digits..].trim_start();
    let rest = rest.strip_prefix("- ").unwrap_or(rest);
    let (name, directive) = match directive_at(rest) {
        Some(place) => (rest[..place].trim(), rest[place + 1..].trim()),
        None => (rest.trim(), ""),
    };
    let directive_is = |word: &str| {
        (directive.get(..word.len())).is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    let status = if passed && directive_is("skip") || !passed && directive_is("todo") {
        Status::Pending
    } else if passed {
        Status::Passed
    } else {
        Status::Failed
    };
    let name = if name.is_empty() { number } else { name };
    let mut example = Example::new(name, status);
    if status == Status::Pending {
        example.message = Some(directive.to_owned());
    }
    Some(example)
}

/// Where the `#` of a directive stands: not one that is escaped.
fn directive_at(text: &str) -> Option<usize> {
    text.match_indices('#')
        .map(|(place, _)| place)
        .find(|place| !text[..*place].ends_with('\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_subtests_and_diagnostics_are_understood() {
        let report = parse(
            "TAP version 14\n1..6\nok 1 - adds\n    not ok 1 - inner\n    1..1\nnot ok 2 - outer\n  ---\n  message: no\n  ...\n# more\nok 3 # SKIP no db\nnot ok 4 - later # TODO soon\nok\nok 6 - \\# is no directive\n",
        )
        .unwrap();
        let statuses: Vec<_> = report.examples.iter().map(|e| e.status).collect();
        use Status::{Failed, Passed, Pending};
        assert_eq!(statuses, [Passed, Failed, Pending, Pending, Passed, Passed]);
        assert_eq!(
            report.examples[1].message.as_deref(),
            Some("message: no\nmore\n")
        );
        assert_eq!(report.examples[3].name, "later");
    }

    #[test]
    fn a_report_without_its_plan_or_with_too_few_tests_is_refused() {
        assert!(parse("ok 1\n").is_err());
        assert!(parse("1..2\nok 1\n").is_err());
        assert!(parse("ok 1\nok 2\n1..1\n").is_err());
        assert!(parse("ok 1\n1..1\n").is_ok());
    }

    #[test]
    fn a_skipped_file_is_pending_and_a_bail_out_an_error() {
        let report = parse("1..0 # SKIP no network\n").unwrap();
        assert_eq!(report.verdict(), Some(crate::trial::Status::Pending));
        let report = parse("1..2\nok 1\nBail out! no disk\n").unwrap();
        assert_eq!(report.verdict(), Some(crate::trial::Status::Error));
    }
}
