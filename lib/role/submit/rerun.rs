//! What a finished run left undone, as a new submission under the same settings.

use super::Task;
use crate::key::TasksetKey;
use crate::record::{self, Taskset};
use crate::store::Store;
use crate::task::{DEFAULT_LEAST_SEC, DEFAULT_UNKNOWN_SEC};
use crate::taskset::{DEFAULT_MAX_TRIALS, DEFAULT_MAX_WORKERS, Request};
use crate::{cli, db, exit, history, name, task};

/// What `earlier` asked for, and those of its tasks that did not pass. A taskset that has gone from
/// Redis is looked up in the database at `place`.
pub fn of(
    store: &mut Store,
    place: &db::Place,
    earlier: &TasksetKey,
    rsync_name: &str,
) -> anyhow::Result<(Request, Vec<Task>)> {
    let document = match record::gather(store, earlier)? {
        Some(document) => Some(document),
        // Its outputs are of no interest here, so it does not matter whether they can be read.
        None => history::find(place, None, earlier)?.map(|(document, _)| document),
    };
    let document = document.ok_or_else(|| {
        cli::usage(format!(
            "there is no taskset '{earlier}' in Redis or in the database"
        ))
        .hint("pass --db URL when it is in another database, or name its files instead")
    })?;
    let open = document
        .taskset
        .status()
        .is_none_or(|status| !status.is_final());
    if open {
        return Err(cli::usage(format!("'{earlier}' has not ended"))
            .hint(format!("wait for it: rrr-wait {earlier}"))
            .into());
    }
    let passed = |task: &record::Task| {
        matches!(
            task.status(),
            Some(task::Status::Passed | task::Status::Pending)
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
        return Err(cli::usage(format!("'{earlier}' has the spec file {wrong}")).into());
    }
    if tasks.is_empty() {
        let message = format!("no task of '{earlier}' failed: there is nothing to run again");
        return Err(exit::failure(exit::NOTHING, message).into());
    }
    Ok((request(&document.taskset, rsync_name), tasks))
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
            .unwrap_or_else(|| "default".into()),
        max_workers: count(taskset.max_workers, DEFAULT_MAX_WORKERS),
        max_trials: count(taskset.max_trials, DEFAULT_MAX_TRIALS),
        taskset_class: taskset.class().to_owned(),
        unknown_spec_timeout_sec: count(taskset.unknown_spec_timeout_sec, DEFAULT_UNKNOWN_SEC),
        least_timeout_sec: count(taskset.least_timeout_sec, DEFAULT_LEAST_SEC),
        tree_stamp: String::new(),
    }
}
