//! Invariants of a finished taskset, whatever happened during its run.

use serde_json::Value;

use crate::harness::dump::Keys;
use crate::harness::server::Server;
use crate::harness::tool::Tool;

/// The findings of `rrr-fsck` after the end of a run. Daemons may still be handling the last
/// message, so a finding must persist for the tool's usual pause.
#[track_caller]
pub fn findings(server: &Server) -> Vec<String> {
    let fsck = Tool::new(server, "rrr-fsck").run();
    let found: Vec<String> = fsck.stdout.lines().map(str::to_owned).collect();
    assert_eq!(fsck.code, Some(i32::from(!found.is_empty())), "{fsck:#?}");
    found
}

/// The violated invariants of a succeeded or failed taskset, in a dump of all keys.
pub fn violations(keys: &Keys, taskset: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |good: bool, what: &str| {
        if !good {
            wrong.push(format!("{taskset}: {what}"));
        }
    };
    let list = |name: &str| array(keys, &format!("{taskset}:{name}"));
    let Some(hash) = keys.get(taskset).map(|key| &key.value) else {
        return vec![format!("{taskset}: it does not exist")];
    };
    let count = |field: &str| hash[field].as_str().map_or(0, |text| text.parse().unwrap());
    let status = hash["status"].as_str().unwrap_or_default();
    let tasks = list("tasks");
    let (mut succeeded, mut failed) = (0, 0);
    for task in &tasks {
        let verdict = keys[task].value["status"].as_str().unwrap_or_default();
        match verdict {
            "passed" | "pending" => succeeded += 1,
            "failed" => failed += 1,
            _ => check(false, &format!("I2: '{task}' has no status")),
        }
        let trials = array(keys, &format!("{task}:trial"));
        let states = trials.iter().map(|trial| &keys[trial].value["status"]);
        let states: Vec<&str> = states.filter_map(Value::as_str).collect();
        let good = ["passed", "pending"];
        let has_passed = states.iter().any(|state| good.contains(state));
        let judged_right = has_passed || !good.contains(&verdict);
        check(
            judged_right,
            &format!("I3: '{task}' is {verdict} after {states:?}"),
        );
        let all_ended = states.len() == trials.len();
        check(all_ended, &format!("I5: a trial of '{task}' has not ended"));
    }
    let counted = (count("succeeded_count"), count("failed_count"));
    let settled = format!("I2: {counted:?} counted, ({succeeded}, {failed}) settled");
    check(counted == (succeeded, failed), &settled);
    let wanted = if failed == 0 { "succeeded" } else { "failed" };
    check(
        status == wanted,
        &format!("I3: it is '{status}', not '{wanted}'"),
    );
    check(list("tasks_left").is_empty(), "I4: tasks are left");
    check(list("task_queue").is_empty(), "I5: tasks are queued");
    let active = array(keys, "rrrspec:active_taskset");
    check(
        !active.iter().any(|key| key == taskset),
        "I8: it is still active",
    );
    let events = events(keys, taskset);
    let count = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    check(count("taskset_finished") == 1, "I1: it did not finish once");
    check(
        count("task_finished") == tasks.len(),
        "I1: not each task finished once",
    );
    wrong
}

/// The events of a taskset, in order.
pub fn events(keys: &Keys, taskset: &str) -> Vec<Value> {
    let stream = keys.get(&format!("{taskset}:events"));
    let entries = stream.and_then(|key| key.value.as_array());
    let texts = entries
        .into_iter()
        .flatten()
        .flat_map(|entry| entry.as_object().expect("an entry of a stream").values());
    let parse = |text: &Value| serde_json::from_str(text.as_str().unwrap_or_default());
    texts
        .map(|text| parse(text).expect("JSON in the events"))
        .collect()
}

fn array(keys: &Keys, name: &str) -> Vec<String> {
    let entries = keys.get(name).and_then(|key| key.value.as_array());
    let text = |entry: &Value| entry.as_str().unwrap_or_default().to_owned();
    entries.into_iter().flatten().map(text).collect()
}
