//! The expected run time of each file, and its time limit.

use super::eta::Ratios;
use crate::entity::estimates;
use crate::entity::taskset::Record;
use crate::protocol::task::{self, DEFAULT_LEAST_SEC, DEFAULT_UNKNOWN_SEC};
use crate::protocol::taskset_field as field;
use crate::protocol::time::whole_seconds;
use crate::store::Store;
use std::collections::HashMap;

/// The expectations for the files of a taskset.
pub(crate) struct Expectations {
    /// Expected milliseconds, by spec file.
    estimates: HashMap<String, u64>,
    unknown_sec: u64,
    least_sec: u64,
    /// The accuracy of the estimates so far.
    pub(super) ratios: Ratios,
}

impl Expectations {
    /// Expectations from these estimates in milliseconds, with the default limits.
    pub(crate) fn new(estimates: HashMap<String, u64>) -> Self {
        Self {
            estimates,
            unknown_sec: DEFAULT_UNKNOWN_SEC,
            least_sec: DEFAULT_LEAST_SEC,
            ratios: Ratios::default(),
        }
    }

    /// The expectations for the taskset with this record.
    pub(crate) fn load(store: &mut Store, record: &Record) -> anyhow::Result<Self> {
        let seconds = |name, default| record.number(name).unwrap_or(default);
        Ok(Self {
            unknown_sec: seconds(field::UNKNOWN_SPEC_TIMEOUT_SEC, DEFAULT_UNKNOWN_SEC),
            least_sec: seconds(field::LEAST_TIMEOUT_SEC, DEFAULT_LEAST_SEC),
            ..Self::new(estimates::expected_ms(store, record.class())?)
        })
    }

    /// The expected duration of the file in milliseconds, if known.
    pub(crate) fn ms(&self, spec_file: &str) -> Option<u64> {
        self.estimates.get(spec_file).copied()
    }

    /// Learns from the duration of a finished file.
    pub(crate) fn learn(&mut self, spec_file: &str, took_ms: u64) {
        if let Some(estimate) = self.ms(spec_file) {
            self.ratios.add(took_ms, estimate);
        }
    }

    /// The time limit of the file, and the flag or estimate that sets it: `30s, --least-timeout`.
    pub(crate) fn limit(&self, spec_file: &str) -> String {
        let estimate = self.ms(spec_file).map(whole_seconds);
        let (soft, _) = task::timeouts(estimate, self.unknown_sec, self.least_sec);
        let cause = match estimate {
            Some(estimate) if soft > self.least_sec => format!("2 × its estimate of {estimate}s"),
            None if soft > self.least_sec => "--unknown-spec-timeout".to_owned(),
            _ => "--least-timeout".to_owned(),
        };
        format!("{soft}s, {cause}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_names_the_flag_or_estimate_that_sets_it() {
        let estimates = [("quick".to_owned(), 900), ("slow".to_owned(), 59_000)];
        let expected = Expectations::new(estimates.into());
        assert_eq!(expected.limit("quick"), "30s, --least-timeout");
        assert_eq!(expected.limit("slow"), "118s, 2 × its estimate of 59s");
        assert_eq!(expected.limit("new"), "300s, --unknown-spec-timeout");
    }
}
