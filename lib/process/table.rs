//! Lists on stdout: a table for people, JSON lines for programs.

use crate::process::stdout::line;
use crate::process::text;
use serde_json::Map;
use serde_json::Value;
use std::io::IsTerminal;

/// One row of a list: a JSON object for programs, a line of a table for people.
#[derive(Default)]
pub(crate) struct Row {
    fields: Map<String, Value>,
    /// Columns with different content for people.
    table: Map<String, Value>,
}

impl Row {
    /// An empty row.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a field.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a column that appears only in the table; programs find the data in another field.
    pub(crate) fn only_in_table(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.table.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn cell(&self, column: &str) -> String {
        let text = match self.table.get(column).or_else(|| self.fields.get(column)) {
            None | Some(Value::Null) => "-".to_owned(),
            Some(Value::String(text)) if text.is_empty() => "-".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(items)) => {
                let words = items.iter().map(|item| match item {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                words.collect::<Vec<_>>().join(" ")
            }
            Some(other) => other.to_string(),
        };
        text::one_line(&text)
    }
}

/// Prints rows: as a table of these columns on a terminal, otherwise as JSON lines.
pub(crate) fn rows(columns: &[&str], rows: Vec<Row>) {
    if std::io::stdout().is_terminal() {
        table(columns, &rows);
    } else {
        json(&rows);
    }
}

/// Prints every field of the rows as JSON lines.
pub(crate) fn json(rows: &[Row]) {
    rows.iter().for_each(|row| {
        line(&text::harmless_json(
            Value::Object(row.fields.clone()).to_string(),
        ))
    });
}

/// Prints rows as a table of these columns. The last column has no maximum width.
pub(crate) fn table(columns: &[&str], rows: &[Row]) {
    let titles: Vec<String> = columns
        .iter()
        .map(|name| name.to_uppercase().replace('_', " "))
        .collect();
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| columns.iter().map(|column| row.cell(column)).collect())
        .collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|place| {
            let all = std::iter::once(&titles).chain(&cells);
            all.map(|row| console::measure_text_width(&row[place]))
                .max()
                .unwrap_or(0)
        })
        .collect();
    for row in std::iter::once(&titles).chain(&cells) {
        let padded = row.iter().zip(&widths).map(|(cell, width)| {
            console::pad_str(cell, *width, console::Alignment::Left, None).into_owned()
        });
        line(padded.collect::<Vec<_>>().join("  ").trim_end());
    }
}
