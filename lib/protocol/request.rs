//! The fields of a taskset that its submitter chooses.

use crate::protocol::policy::Policy;
use crate::protocol::taskset_field as field;
use std::collections::HashMap;

/// The rsync name of the runs of rrr-local, which upload no tree.
pub(crate) const LOCAL: &str = "local";

/// The submitter's choices for a taskset.
#[derive(Clone, Debug)]
pub struct Request {
    pub rsync_name: String,
    pub setup_command: String,
    pub slave_command: String,
    pub worker_type: String,
    pub max_workers: u32,
    pub max_trials: u32,
    pub taskset_class: String,
    pub unknown_spec_timeout_sec: u64,
    pub least_timeout_sec: u64,
    /// The stamp by which a worker recognises the tree; empty for none.
    pub tree_stamp: String,
    /// Which trial decides, and how many failures end the run.
    pub policy: Policy,
}

impl Request {
    /// Returns the corresponding fields of a taskset of this many tasks, in the form of the protocol.
    pub fn fields(&self, tasks: usize) -> HashMap<String, String> {
        let mut fields: HashMap<String, String> = [
            (field::RSYNC_NAME, self.rsync_name.clone()),
            (field::SETUP_COMMAND, self.setup_command.clone()),
            (field::SLAVE_COMMAND, self.slave_command.clone()),
            (field::WORKER_TYPE, self.worker_type.clone()),
            (field::TASKSET_CLASS, self.taskset_class.clone()),
            (field::MAX_WORKERS, self.max_workers.to_string()),
            (field::MAX_TRIALS, self.max_trials.to_string()),
            (
                field::UNKNOWN_SPEC_TIMEOUT_SEC,
                self.unknown_spec_timeout_sec.to_string(),
            ),
            (field::LEAST_TIMEOUT_SEC, self.least_timeout_sec.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if !self.tree_stamp.is_empty() {
            fields.insert(field::TREE_STAMP.to_owned(), self.tree_stamp.clone());
        }
        if let Some(policy) = self.policy.field(tasks) {
            fields.insert(field::POLICY.to_owned(), policy);
        }
        fields
    }
}
