//! The protocol as a state machine: the scripts of lib/lua, the processes that call them, and the
//! faults that may strike them. See README.md.

mod actions;
mod judge;
mod list;
mod mutation;
mod processes;
mod properties;
mod reserve;
mod scripts;
mod state;

pub use actions::{Action, Fate, Protocol};
pub use mutation::Mutation;
pub use scripts::Answer;
pub use state::*;

use stateright::{Checker, HasDiscoveries, Model};

/// The number of states that the short form generates for each configuration.
const STATES: usize = 300_000;

/// Every fault, for single traces.
pub const EVERYTHING: Budget = Budget {
    kills: 2,
    false_deaths: 2,
    lost_replies: 3,
    delays: 3,
    cancels: 1,
    malformed: 1,
    duplicates: 1,
    lost_lists: 1,
    crashes: 0,
};

/// One of each fault.
const FAULTS: Budget = Budget {
    kills: 1,
    false_deaths: 1,
    lost_replies: 1,
    delays: 1,
    cancels: 1,
    malformed: 0,
    duplicates: 0,
    lost_lists: 0,
    crashes: 0,
};

fn protocol() -> Protocol {
    Protocol {
        tasks: 3,
        max_trials: 2,
        budget: FAULTS,
        foreign: false,
        mutation: None,
    }
}

/// The model without its mutation, and the faults under which the mutation shows.
fn seeded(mutation: Mutation) -> Protocol {
    let (mut tasks, mut max_trials, mut budget) = (1, 2, Budget::default());
    match mutation {
        Mutation::LostListSucceeds => (tasks, budget.lost_lists) = (2, 1),
        Mutation::NoTasksSucceed => tasks = 0,
        Mutation::RetryNeedsAnotherSlave => budget.kills = 1,
        Mutation::PoppedBeforeEffect => (budget.cancels, budget.crashes) = (1, 1),
        Mutation::PoppedBeforeTrial | Mutation::RecordedWithoutMessage => budget.crashes = 1,
        Mutation::CountedBeforeStatus => budget.crashes = 1,
        Mutation::LateResultOverwrites => budget.false_deaths = 1,
        Mutation::RequeuedAgain => max_trials = 3,
        Mutation::JudgedAfterTheEnd | Mutation::WrittenAfterPersisted => budget.cancels = 1,
        Mutation::FinishedCopiesStay
        | Mutation::VerdictUnguarded
        | Mutation::JoinWithoutHeartbeat
        | Mutation::SpeculatedAgain
        | Mutation::HandedOverAgain => {}
    }
    Protocol {
        tasks,
        max_trials,
        budget,
        foreign: false,
        mutation: None,
    }
}

/// Explores at least this many states, or all of them; stops at the first broken rule.
fn explore(model: Protocol, states: usize) -> impl Checker<Protocol> {
    let checker = model.checker().threads(2).target_state_count(states);
    checker.finish_when(HasDiscoveries::Any).spawn_bfs().join()
}

/// The first broken rule, with the steps that lead to it.
fn finding(checker: &impl Checker<Protocol>) -> Option<String> {
    let (name, path) = checker.discoveries().into_iter().next()?;
    let steps = path.into_actions().into_iter();
    let steps: Vec<String> = steps.map(|step| format!("  {step:?}\n")).collect();
    Some(format!("{name}\n{}", steps.concat()))
}

/// The configurations to explore, and the share of the states for each: all faults at once, which
/// only the first steps can cover; fewer tasks or faults, deeper or to the end; and a slave that knows
/// only PROTOCOL.txt.
fn configurations() -> [(Protocol, f64); 5] {
    let all = protocol();
    let one = Protocol { tasks: 1, ..all };
    let two = Protocol {
        tasks: 2,
        budget: Budget {
            delays: 0,
            lost_replies: 0,
            ..FAULTS
        },
        ..all
    };
    let hostile = Protocol {
        tasks: 2,
        budget: Budget {
            malformed: 1,
            duplicates: 1,
            lost_lists: 1,
            kills: 1,
            ..Budget::default()
        },
        ..all
    };
    let foreign = Protocol {
        tasks: 2,
        foreign: true,
        ..all
    };
    [
        (all, 0.5),
        (one, 0.2),
        (two, 0.1),
        (hostile, 0.1),
        (foreign, 0.1),
    ]
}

/// The figures of an exploration.
#[derive(Debug, Default)]
pub struct Explored {
    pub states: usize,
    pub depth: usize,
    /// One object for each configuration.
    pub models: Vec<serde_json::Value>,
}

/// Explores each configuration; adds broken rules to the findings.
pub fn long_form(states: usize, findings: &mut Vec<String>) -> Explored {
    let mut sum = Explored::default();
    for (model, share) in configurations() {
        let checker = explore(model, (states as f64 * share) as usize);
        sum.models.push(serde_json::json!({
            "states": checker.unique_state_count(),
            "depth": checker.max_depth(),
            "tasks": model.tasks,
            "model": format!("{model:?}"),
        }));
        sum.states += checker.unique_state_count();
        sum.depth = sum.depth.max(checker.max_depth());
        findings.extend(finding(&checker));
    }
    sum
}

pub fn seeded_faults_found() -> usize {
    let found = |mutation: &&Mutation| {
        let model = Protocol {
            mutation: Some(**mutation),
            ..seeded(**mutation)
        };
        finding(&explore(model, STATES)).is_some()
    };
    Mutation::ALL.iter().filter(found).count()
}

#[test]
fn no_rule_is_broken_in_the_first_states() {
    let mut findings = Vec::new();
    let explored = long_form(STATES, &mut findings);
    assert_eq!(findings, [""; 0]);
    assert!(explored.states > STATES / 10, "{explored:?}");
}

#[test]
fn each_seeded_fault_is_found() {
    for mutation in Mutation::ALL {
        let sound = seeded(mutation);
        let checker = explore(sound, STATES);
        assert_eq!(finding(&checker), None, "without {mutation:?}");
        let mutation = Some(mutation);
        let found = finding(&explore(Protocol { mutation, ..sound }, STATES));
        let found = found.unwrap_or_else(|| panic!("{mutation:?} is not found"));
        println!("{mutation:?}: {found}");
    }
}
