//! Tasks: one spec file of a taskset.

/// Seconds for a task without an estimate, unless the taskset sets its own value.
pub(crate) const DEFAULT_UNKNOWN_SEC: u64 = 300;
/// Minimum seconds for any task, unless the taskset sets its own value.
pub(crate) const DEFAULT_LEAST_SEC: u64 = 30;

/// Maximum time of a trial in seconds, one year: clocks overflow, and the field may contain any
/// number.
const LONGEST_SEC: u64 = 365 * 24 * 3600;

/// The timeouts of a trial in seconds, by the protocol's rules. At the first it is asked to stop,
/// at the second it is killed.
pub(crate) fn timeouts(estimate_sec: Option<u64>, unknown_sec: u64, least_sec: u64) -> (u64, u64) {
    let (soft, hard) = match estimate_sec {
        Some(estimate) => (
            estimate.saturating_mul(2).max(least_sec),
            estimate.saturating_mul(3).max(least_sec),
        ),
        None => {
            let soft = unknown_sec.max(least_sec);
            (soft, soft.saturating_add(30))
        }
    };
    (soft.min(LONGEST_SEC), hard.min(LONGEST_SEC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_scale_with_the_estimate_above_the_minimum() {
        assert_eq!(timeouts(Some(100), 300, 30), (200, 300));
        assert_eq!(timeouts(Some(1), 300, 30), (30, 30));
        assert_eq!(timeouts(Some(12), 300, 30), (30, 36));
        assert_eq!(timeouts(None, 300, 30), (300, 330));
        assert_eq!(timeouts(None, 1, 30), (30, 60), "without an estimate too");
        let longest = (LONGEST_SEC, LONGEST_SEC);
        assert_eq!(timeouts(Some(u64::MAX), 300, 30), longest);
        assert_eq!(timeouts(None, u64::MAX, 30), longest);
    }
}
