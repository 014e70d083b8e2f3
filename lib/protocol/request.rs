//! The fields of a taskset that its submitter chooses.

use crate::protocol::policy::{self, Policy};
use std::collections::HashMap;

/// The field with the stamp of the submitted tree. It is signed if present.
pub const TREE_STAMP: &str = "tree_stamp";

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
            ("rsync_name", self.rsync_name.clone()),
            ("setup_command", self.setup_command.clone()),
            ("slave_command", self.slave_command.clone()),
            ("worker_type", self.worker_type.clone()),
            ("taskset_class", self.taskset_class.clone()),
            ("max_workers", self.max_workers.to_string()),
            ("max_trials", self.max_trials.to_string()),
            (
                "unknown_spec_timeout_sec",
                self.unknown_spec_timeout_sec.to_string(),
            ),
            ("least_timeout_sec", self.least_timeout_sec.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if !self.tree_stamp.is_empty() {
            fields.insert(TREE_STAMP.to_owned(), self.tree_stamp.clone());
        }
        if let Some(policy) = self.policy.field(tasks) {
            fields.insert(policy::FIELD.to_owned(), policy);
        }
        fields
    }
}
