//! Facts about a run that its events do not show, from the tool that follows it.

use crate::process::text::shell_word;
use crate::protocol::key::TasksetKey;

/// Facts about a run that its events do not show.
#[derive(Clone, Debug, Default)]
pub(crate) struct Background {
    /// Whether the taskset can be queried after the run.
    pub lasting: bool,
    /// The command that reruns everything that failed, if there is one.
    pub rerun: Option<String>,
    /// The folder of the suite, if it is not the current one.
    pub folder: Option<String>,
    /// The durations of comparable earlier runs, in milliseconds.
    pub earlier_ms: Vec<u64>,
}

/// The command that prints the outputs of the last trial of `spec_file`.
pub(crate) fn show_command(taskset: &TasksetKey, spec_file: &str) -> String {
    let (key, file) = (taskset.short(), shell_word(spec_file));
    format!("rrr-show {key} --task {file}")
}

impl Background {
    /// The background of a submitted taskset; `options`: what the submitter would repeat to rerun
    /// its failures, with a space in front.
    pub(crate) fn submitted(taskset: &TasksetKey, options: &str) -> Self {
        Self {
            lasting: true,
            rerun: Some(format!("rrr-submit --rerun-failed {taskset}{options}")),
            ..Self::default()
        }
    }
}
