//! Reruns: the tasks of a finished run that did not pass, as a new submission with the same
//! settings.

use super::Task;
use crate::archive::db::value::Value;
use crate::archive::document::{self, Document, Taskset};
use crate::process::exit;
use crate::protocol::limits::{DEFAULT_MAX_TRIALS, DEFAULT_MAX_WORKERS};
use crate::protocol::name;
use crate::protocol::policy::Policy;
use crate::protocol::request::Request;
use crate::protocol::status::TaskStatus;
use crate::protocol::task::{DEFAULT_LEAST_SEC, DEFAULT_UNKNOWN_SEC};
use crate::protocol::taskset_field as field;
use crate::suite::signing::Signer;
use std::collections::HashMap;

/// The flags that an earlier run has settled.
pub(crate) const SETTINGS: [&str; 14] = [
    "files",
    "command",
    "files_from",
    "null",
    "from",
    "per",
    "split_above",
    "setup",
    "slave",
    "max_trials",
    "max_workers",
    "taskset_class",
    "unknown_spec_timeout",
    "least_timeout",
];

/// The request of the run with this record, with those of its tasks that did not pass. With a
/// `signer` it must have been signed with the same key: otherwise anyone who can write to Redis
/// could have anything signed.
pub(crate) fn of(
    document: &Document,
    rsync_name: &str,
    signer: Option<&Signer>,
) -> anyhow::Result<(Request, Vec<Task>)> {
    let earlier = &document.key;
    if let Some(signer) = signer {
        check_signature(document, signer)?;
    }
    let open = document
        .taskset
        .status()
        .is_none_or(|status| !status.is_final());
    if open {
        return Err(exit::usage(format!("taskset '{earlier}' has not finished"))
            .hint(format!("wait for it: rrr-wait {earlier}"))
            .into());
    }
    let passed = |task: &document::Task| {
        matches!(
            task.status(),
            Some(TaskStatus::Passed | TaskStatus::Pending)
        )
    };
    let tasks: Vec<Task> = document
        .tasks
        .iter()
        .filter(|task| !passed(task))
        .map(|task| {
            let estimate = task.estimate_sec.and_then(|sec| u64::try_from(sec).ok());
            (task.spec_file().to_owned(), estimate)
        })
        .collect();
    let wrong = |(file, _): &Task| Some(format!("'{file}': {}", name::spec_file_error(file)?));
    if let Some(wrong) = tasks.iter().find_map(wrong) {
        return Err(exit::usage(format!(
            "taskset '{earlier}' has an invalid spec file: {wrong}"
        ))
        .into());
    }
    if tasks.is_empty() {
        let message = format!("no task of '{earlier}' failed: nothing to rerun");
        return Err(exit::failure(exit::NOTHING, message).into());
    }
    Ok((request(&document.taskset, rsync_name), tasks))
}

/// Refuses to sign tasks that this key has not signed before.
fn check_signature(document: &Document, signer: &Signer) -> Result<(), exit::Failure> {
    let mut fields: HashMap<String, String> = HashMap::new();
    for (name, value) in Taskset::COLUMNS.iter().zip(document.taskset.values()) {
        let text = match value {
            Value::Null => continue,
            Value::Number(number) => number.to_string(),
            Value::Text(text) => text,
        };
        fields.insert((*name).to_owned(), text);
    }
    for (name, value) in &document.taskset.other {
        fields.insert(name.clone(), value.text().into_owned());
    }
    let files = || document.tasks.iter().map(|task| task.key.spec_file());
    let checked = signer.has_signed(&document.key, &fields, files());
    let renamed = document
        .tasks
        .iter()
        .find(|task| task.spec_file() != task.key.spec_file());
    match (checked, renamed) {
        (Ok(()), None) => Ok(()),
        (Ok(()), Some(task)) => Err(format!("task '{}' names another spec file", task.key)),
        (Err(why), _) => Err(why),
    }
    .map_err(|why| {
        exit::usage(format!("refusing to sign the remaining tasks of '{}': {why}", document.key))
            .hint("name the files and the command instead; a rerun is signed only if the same key signed the first run")
    })
}

fn request(taskset: &Taskset, rsync_name: &str) -> Request {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    fn count<N: TryFrom<i64>>(field: Option<i64>, default: N) -> N {
        let number = field.and_then(|number| N::try_from(number).ok());
        number.unwrap_or(default)
    }
    Request {
        rsync_name: rsync_name.to_owned(),
        setup_command: text(&taskset.setup_command),
        slave_command: text(&taskset.slave_command),
        worker_type: taskset
            .worker_type
            .clone()
            .unwrap_or_else(|| field::DEFAULT.into()),
        max_workers: count(taskset.max_workers, DEFAULT_MAX_WORKERS),
        max_trials: count(taskset.max_trials, DEFAULT_MAX_TRIALS),
        taskset_class: taskset.class().to_owned(),
        unknown_spec_timeout_sec: count(taskset.unknown_spec_timeout_sec, DEFAULT_UNKNOWN_SEC),
        least_timeout_sec: count(taskset.least_timeout_sec, DEFAULT_LEAST_SEC),
        tree_stamp: String::new(),
        policy: Policy::default(),
    }
}
