//! The Test Anything Protocol, versions 12 to 14. Only unindented lines count: a subtest is
//! summarised by its parent's line, which it must not contradict.

use super::content::Report;
use super::milliseconds;
use crate::protocol::example::{Example, Status};

/// Whether a TAP report can start with this line.
pub(crate) fn is_start(line: &str) -> bool {
    line.starts_with("TAP version ") || plan(line).is_some()
}

/// The number of tests in a plan `1..N` and, if given, the reason why there are none.
fn plan(line: &str) -> Option<(u64, Option<&str>)> {
    let rest = line.strip_prefix("1..")?;
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let number = rest[..digits].parse().ok()?;
    let behind = rest[digits..].trim();
    let comment = behind.strip_prefix('#').map(str::trim);
    (behind.is_empty() || comment.is_some()).then_some((number, comment))
}

pub(crate) fn read(text: &str, report: &mut Report) -> Result<(), String> {
    let mut reader = Reader::new(report);
    for line in text.lines() {
        reader.line(line);
    }
    reader.end()
}

/// The state between two lines.
struct Reader<'r> {
    report: &'r mut Report,
    planned: Option<u64>,
    /// The number of tests before the plan.
    before_plan: u64,
    /// The reason in the plan why there are no tests.
    reason: Option<String>,
    told: u64,
    /// The last reported test: the diagnostics that follow belong to it.
    last: Option<Example>,
    /// The indentation of the YAML block that is being read.
    yaml: Option<usize>,
    inner: Subtest,
    bailed_out: bool,
    /// The first fault of the report.
    trouble: Option<String>,
}

/// The subtest before the next unindented line, as far as it has lines.
#[derive(Default)]
struct Subtest {
    planned: Option<u64>,
    told: u64,
    failed: u64,
}

impl<'r> Reader<'r> {
    fn new(report: &'r mut Report) -> Self {
        Self {
            report,
            planned: None,
            before_plan: 0,
            reason: None,
            told: 0,
            last: None,
            yaml: None,
            inner: Subtest::default(),
            bailed_out: false,
            trouble: None,
        }
    }

    fn line(&mut self, line: &str) {
        let words = line.trim_start();
        let margin = line.len() - words.len();
        if let Some(begun) = self.yaml {
            if words.is_empty() || margin >= begun {
                return self.diagnostic(line, begun);
            }
            self.yaml = None;
        }
        if margin > 0 && words.trim_end() == "---" {
            self.yaml = Some(margin);
        } else if let Some(reason) = bail_out(words) {
            self.bailed_out = true;
            self.report.push_outside(format!("bailed out: {reason}"));
        } else if margin == 4 {
            self.inner(words);
        } else if margin > 0 {
            self.comment(line.strip_prefix("  ").unwrap_or_default());
        } else if let Some((number, comment)) = plan(line) {
            self.plan(number, comment);
        } else if let Some((number, example)) = test(line) {
            self.test(number, example);
        } else if let Some(comment) = line.strip_prefix("# ") {
            self.comment(comment);
        }
    }

    /// Reads a line of a YAML block; those of subtests are ignored.
    fn diagnostic(&mut self, line: &str, begun: usize) {
        let margin = line.len() - line.trim_start().len();
        if margin == begun && line.trim() == "..." {
            self.yaml = None;
        } else if begun < 4 {
            let line = line.get(begun..).unwrap_or_default();
            if let (Some(last), Some(time)) = (&mut self.last, line.strip_prefix("duration_ms: ")) {
                let time: Option<f64> = time.trim().parse().ok();
                last.duration_ms = time.and_then(|time| milliseconds(time / 1000.0));
            }
            self.comment(line);
        }
    }

    fn comment(&mut self, comment: &str) {
        let failed = |last: &&mut Example| last.status == Status::Failed;
        if let Some(last) = self.last.as_mut().filter(failed)
            && !comment.is_empty()
            && !comment.starts_with("Subtest: ")
        {
            let message = last.message.get_or_insert_default();
            if message.len() < 8 << 10 {
                message.push_str(super::content::clip(comment, 8 << 10));
                message.push('\n');
            }
        }
    }

    /// Reads a line of a subtest.
    fn inner(&mut self, line: &str) {
        if let Some((number, _)) = plan(line) {
            self.inner.planned = Some(number);
        } else if let Some((_, example)) = test(line) {
            self.inner.told += 1;
            self.inner.failed += u64::from(example.status == Status::Failed);
        } else {
            self.comment(line);
        }
    }

    fn plan(&mut self, number: u64, comment: Option<&str>) {
        if self.planned.replace(number).is_some() {
            self.trouble("it has two plans".into());
        }
        self.before_plan = self.told;
        self.reason = comment.map(str::to_owned);
        if self.told > 0 {
            // Comments at the end are about the whole run.
            self.settle();
        }
    }

    fn test(&mut self, number: &str, mut example: Example) {
        self.settle();
        self.told += 1;
        if example.name.is_empty() {
            example = Example {
                id: self.told.to_string(),
                name: self.told.to_string(),
                ..example
            };
        }
        let inner = std::mem::take(&mut self.inner);
        if !number.is_empty() && number.parse() != Ok(self.told) {
            let due = self.told;
            self.trouble(format!("test {number} is out of sequence: {due} was due"));
        }
        let wrong = inner.failed > 0 || inner.planned != Some(inner.told);
        if example.status == Status::Passed && inner.planned.is_some() && wrong {
            let name = super::content::clip(&example.name, 200);
            self.trouble(format!("'{name}' is ok but its subtest is not"));
        }
        self.last = Some(example);
    }

    fn settle(&mut self) {
        if let Some(last) = self.last.take() {
            self.report.push(last);
        }
    }

    fn trouble(&mut self, what: String) {
        self.trouble.get_or_insert(what);
    }

    fn end(mut self) -> Result<(), String> {
        self.settle();
        if self.planned == Some(0) && self.told == 0 && !self.bailed_out {
            let mut example = Example::new("all tests", Status::Pending);
            example.message = self.reason.take();
            self.report.push(example);
        }
        if let Some(trouble) = self.trouble {
            return Err(trouble);
        }
        let told = self.told;
        match self.planned {
            _ if self.bailed_out => Ok(()),
            Some(number) if number != told => {
                Err(format!("{number} tests were planned and {told} reported"))
            }
            Some(_) if (1..told).contains(&self.before_plan) => {
                Err("its plan is between its tests".into())
            }
            Some(_) => Ok(()),
            None => Err("it has no plan '1..N': it may be truncated".into()),
        }
    }
}

/// The reason in a `Bail out!` line.
fn bail_out(line: &str) -> Option<&str> {
    const WORDS: &str = "Bail out!";
    let start = line.get(..WORDS.len())?;
    start
        .eq_ignore_ascii_case(WORDS)
        .then(|| line[WORDS.len()..].trim())
}

/// Parses `ok 1 - name # SKIP why` into the number and the rest.
fn test(line: &str) -> Option<(&str, Example)> {
    let (passed, rest) = match line.strip_prefix("not ok") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok")?),
    };
    if !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
        return None;
    }
    let rest = rest.trim();
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    // A name may begin with digits.
    let is_number = matches!(rest[digits..].chars().next(), None | Some(' ' | '\t'));
    let (number, rest) = rest.split_at(if is_number { digits } else { 0 });
    let rest = rest.trim_start();
    let rest = match rest.strip_prefix('-') {
        Some(name) if name.is_empty() || name.starts_with([' ', '\t']) => name.trim_start(),
        _ => rest,
    };
    let (name, directive) = directive(rest).unwrap_or((rest, Directive::None));
    let (name, duration) = timed(name);
    let status = match directive {
        Directive::Skip(_) if passed => Status::Pending,
        Directive::Todo(_) if !passed => Status::Pending,
        _ if passed => Status::Passed,
        _ => Status::Failed,
    };
    let mut example = Example::new(unescape(name.trim()), status);
    example.duration_ms = duration;
    if status == Status::Pending
        && let Directive::Skip(why) | Directive::Todo(why) = directive
    {
        example.message = Some(why.to_owned());
    }
    Some((number, example))
}

/// A directive, with its text.
enum Directive<'a> {
    None,
    Skip(&'a str),
    Todo(&'a str),
}

/// Splits `name # SKIP why`. Text that is not a directive is part of the name.
fn directive(text: &str) -> Option<(&str, Directive<'_>)> {
    for (place, _) in text.match_indices('#') {
        let (before, behind) = (&text[..place], &text[place + 1..]);
        let escapes = before.len() - before.trim_end_matches('\\').len();
        let is_apart =
            (before.is_empty() || before.ends_with([' ', '\t'])) && behind.starts_with([' ', '\t']);
        if escapes % 2 == 1 || !is_apart {
            continue;
        }
        let words = behind.trim();
        let end = words.find([' ', '\t', ':']).unwrap_or(words.len());
        match words[..end].to_ascii_lowercase().as_str() {
            "skip" => return Some((before, Directive::Skip(words))),
            "todo" => return Some((before, Directive::Todo(words))),
            _ => {}
        }
    }
    None
}

/// Splits off the duration that node-tap and vitest append: `name # time=1.5ms`.
fn timed(name: &str) -> (&str, Option<u64>) {
    let trimmed = name.trim_end();
    let trimmed = trimmed.strip_suffix('{').map_or(trimmed, str::trim_end);
    let time = trimmed.rsplit_once("# time=").and_then(|(name, time)| {
        let time: f64 = time.strip_suffix("ms")?.parse().ok()?;
        (name.is_empty() || name.ends_with(' ')).then_some((name, milliseconds(time / 1000.0)?))
    });
    time.map_or((name, None), |(name, time)| (name, Some(time)))
}

/// A name without the backslashes before `#` and before backslashes.
fn unescape(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(place) = rest.find('\\') {
        plain.push_str(&rest[..place]);
        let behind = &rest[place + 1..];
        match behind.chars().next().filter(|c| matches!(c, '#' | '\\')) {
            Some(c) => {
                plain.push(c);
                rest = &behind[1..];
            }
            None => {
                plain.push('\\');
                rest = behind;
            }
        }
    }
    plain + rest
}

#[cfg(test)]
mod tests;
