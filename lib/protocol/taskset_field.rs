//! The fields of a taskset's hash, each spelled once. rrr-protocol(7) describes them.

pub(crate) const STATUS: &str = "status";
pub(crate) const RSYNC_NAME: &str = "rsync_name";
pub(crate) const SETUP_COMMAND: &str = "setup_command";
pub(crate) const SLAVE_COMMAND: &str = "slave_command";
pub(crate) const WORKER_TYPE: &str = "worker_type";
pub(crate) const MAX_WORKERS: &str = "max_workers";
pub(crate) const MAX_TRIALS: &str = "max_trials";
pub(crate) const TASKSET_CLASS: &str = "taskset_class";
pub(crate) const UNKNOWN_SPEC_TIMEOUT_SEC: &str = "unknown_spec_timeout_sec";
pub(crate) const LEAST_TIMEOUT_SEC: &str = "least_timeout_sec";
pub(crate) const CREATED_AT: &str = "created_at";
pub(crate) const FINISHED_AT: &str = "finished_at";
pub(crate) const SUCCEEDED_COUNT: &str = "succeeded_count";
pub(crate) const FAILED_COUNT: &str = "failed_count";
pub(crate) const FLAKY_COUNT: &str = "flaky_count";
pub(crate) const FAIL_REASON: &str = "fail_reason";
pub(crate) const GIVEN: &str = "given";
pub const TREE_STAMP: &str = "tree_stamp";
pub(crate) const POLICY: &str = "policy";
pub(crate) const TASKS_DIGEST: &str = "tasks_digest";
pub(crate) const SIGNED_AT: &str = "signed_at";
pub(crate) const SIGNED_UNTIL: &str = "signed_until";
pub const SIGNATURE: &str = "signature";

/// The signed fields, in the order in which they are signed.
pub const SIGNED: [&str; 12] = [
    RSYNC_NAME,
    SETUP_COMMAND,
    SLAVE_COMMAND,
    WORKER_TYPE,
    MAX_WORKERS,
    MAX_TRIALS,
    TASKSET_CLASS,
    UNKNOWN_SPEC_TIMEOUT_SEC,
    LEAST_TIMEOUT_SEC,
    TASKS_DIGEST,
    SIGNED_AT,
    SIGNED_UNTIL,
];

/// The fields that are signed, after the others, if they are set: they were added in later versions,
/// and a taskset without them is signed as before.
pub const SIGNED_IF_SET: [&str; 2] = [TREE_STAMP, POLICY];

/// The worker type and the class of a taskset without one.
pub(crate) const DEFAULT: &str = "default";
