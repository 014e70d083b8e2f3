//! The long form, for scripts/prove: every proof with its figures, as one JSON line.

use crate::model::{self, Mutation};
use crate::{assignment, fuzz, replay};
use std::time::Duration;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
#[ignore = "runs for minutes: scripts/prove"]
fn prove() {
    let minutes = setting("RRR_PROVE_MINUTES", 10);
    let (states, traces) = (
        setting("RRR_PROVE_STATES", 60_000_000),
        setting("RRR_PROVE_TRACES", 10_000),
    );
    let mut findings = Vec::new();
    let models = model::long_form(states as usize, &mut findings);
    let assignment_states = assignment::long_form(&mut findings);
    let seed = fastrand::u64(..1 << 40);
    findings.extend(replay::long_form(seed, traces));
    let faults = Mutation::ALL.len() + assignment::MUTATIONS.len();
    let found = model::seeded_faults_found() + assignment::seeded_faults_found();
    let executions = fuzz::long_form(Duration::from_secs(60 * minutes));
    let line = serde_json::json!({
        "states": models.states,
        "depth": models.depth,
        "models": models.models,
        "assignment_states": assignment_states,
        "seeded_faults": faults,
        "seeded_faults_found": found,
        "traces": traces,
        "seed": seed,
        "fuzz_executions": executions,
        "findings": findings,
    });
    println!("{line}");
    assert!(found == faults && line["findings"].as_array().is_some_and(Vec::is_empty));
}
