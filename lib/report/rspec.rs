//! What RSpec's JSON formatter writes: one line, with whatever the tests printed around it.

use super::{Report, milliseconds};
use crate::example::{Example, Status};
use serde::Deserialize;

#[derive(Deserialize)]
struct Document {
    examples: Vec<Entry>,
    summary: Summary,
    #[serde(default)]
    messages: Vec<String>,
}

#[derive(Deserialize)]
struct Summary {
    example_count: u64,
    failure_count: u64,
    #[serde(default)]
    errors_outside_of_examples_count: u64,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    id: String,
    full_description: String,
    status: Status,
    file_path: Option<String>,
    line_number: Option<u64>,
    run_time: Option<f64>,
    pending_message: Option<String>,
    exception: Option<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    #[serde(default)]
    class: String,
    message: Option<String>,
    backtrace: Option<Vec<String>>,
}

pub fn parse(text: &str) -> Result<Report, String> {
    let line = text
        .lines()
        .rev()
        .find(|line| line.starts_with('{') && line.contains("\"examples\""))
        .ok_or("no line of it is the JSON of RSpec")?;
    let document: Document =
        serde_json::from_str(line).map_err(|error| format!("not the JSON of RSpec: {error}"))?;
    let mut report = Report {
        examples: document.examples.into_iter().map(example).collect(),
        outside: Vec::new(),
    };
    let summary = document.summary;
    let told = report.examples.len() as u64;
    if told != summary.example_count || report.count(Status::Failed) != summary.failure_count {
        return Err(format!(
            "its summary tells of {} examples and {} failures, its list of {told} and {}",
            summary.example_count,
            summary.failure_count,
            report.count(Status::Failed)
        ));
    }
    if summary.errors_outside_of_examples_count > 0 {
        report.outside = document.messages;
        report.outside.push(format!(
            "{} error(s) outside of examples",
            summary.errors_outside_of_examples_count
        ));
    }
    Ok(report)
}

fn example(entry: Entry) -> Example {
    let failure = entry.exception.map(|exception| {
        let mut lines = vec![format!(
            "{}: {}",
            exception.class,
            exception.message.unwrap_or_default()
        )];
        lines.extend(exception.backtrace.unwrap_or_default().into_iter().take(10));
        lines.join("\n")
    });
    Example {
        id: entry.id,
        name: entry.full_description,
        file: entry.file_path,
        line: entry.line_number,
        status: entry.status,
        duration_ms: entry.run_time.and_then(milliseconds),
        message: failure.or(entry.pending_message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"{"id":"./a_spec.rb[1:1]","description":"x","full_description":"A x","status":"passed","file_path":"./a_spec.rb","line_number":3,"run_time":0.0125,"pending_message":null}"#;

    #[test]
    fn the_line_is_found_among_what_the_tests_printed() {
        let text = format!(
            "{{ hello\n{{\"version\":\"3.12.0\",\"examples\":[{EXAMPLE}],\"summary\":{{\"example_count\":1,\"failure_count\":0}},\"summary_line\":\"\"}}\nbye\n"
        );
        let report = parse(&text).unwrap();
        assert_eq!(report.examples[0].duration_ms, Some(13));
        assert_eq!(report.verdict(), Some(crate::trial::Status::Passed));
    }

    #[test]
    fn errors_outside_of_examples_make_an_error_and_a_wrong_sum_is_refused() {
        let text = |count: u32, outside: u32| {
            format!(
                "{{\"examples\":[{EXAMPLE}],\"messages\":[\"boom\"],\"summary\":{{\"example_count\":{count},\"failure_count\":0,\"errors_outside_of_examples_count\":{outside}}}}}"
            )
        };
        let report = parse(&text(1, 1)).unwrap();
        assert_eq!(report.verdict(), Some(crate::trial::Status::Error));
        assert_eq!(report.outside[0], "boom");
        assert!(parse(&text(2, 0)).is_err());
    }
}
