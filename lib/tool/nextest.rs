//! The tests that cargo nextest lists: `cargo nextest list --message-format json`.

use super::{Listed, Question, halves};
use crate::process::exit;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::process::Command;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct List {
    rust_suites: BTreeMap<String, Suite>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Suite {
    binary_id: String,
    #[serde(default)]
    testcases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Case {
    filter_match: Match,
}

#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
enum Match {
    Matches,
    Mismatch { reason: String },
}

/// The list of nextest, created here or elsewhere.
pub(crate) fn list(question: &Question) -> anyhow::Result<Vec<Listed>> {
    let mut command = Command::new("cargo");
    command
        .args(["nextest", "list", "--message-format", "json"])
        .args(halves(question.words).0);
    parse(&question.said(&mut command)?)
}

/// Parses the list of nextest.
pub(crate) fn parse(json: &[u8]) -> anyhow::Result<Vec<Listed>> {
    let list: List = serde_json::from_slice(json).map_err(|error| {
        exit::usage(format!("not a cargo nextest list: {error}"))
            .hint("create it with: cargo nextest list --message-format json")
    })?;
    Ok(list.rust_suites.into_values().map(listed).collect())
}

fn listed(suite: Suite) -> Listed {
    let mut tests = Vec::new();
    let mut filtered = false;
    for (name, case) in suite.testcases {
        match case.filter_match {
            Match::Matches => tests.push(name),
            // A run of the whole binary excludes these too.
            Match::Mismatch { reason } if matches!(&*reason, "ignored" | "default-filter") => {}
            Match::Mismatch { .. } => filtered = true,
        }
    }
    Listed {
        binary: suite.binary_id,
        filtered: filtered && !tests.is_empty(),
        tests,
        whole: false,
    }
}
