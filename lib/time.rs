//! Times as the protocol writes them: `2013-07-11 15:43:36 +0900`, read with ` UTC` too.

use chrono::{DateTime, FixedOffset, Local, NaiveDateTime, SecondsFormat, Utc};

const PROTOCOL: &str = "%Y-%m-%d %H:%M:%S %z";

/// This moment on this machine's clock, in the protocol's format.
pub fn now() -> String {
    Local::now().format(PROTOCOL).to_string()
}

/// Reads a time that any implementation of the protocol wrote; `None` when it is not one.
pub fn parse(text: &str) -> Option<DateTime<FixedOffset>> {
    if let Some(utc) = text.strip_suffix(" UTC") {
        return NaiveDateTime::parse_from_str(utc, "%Y-%m-%d %H:%M:%S")
            .ok()
            .map(|naive| naive.and_utc().fixed_offset());
    }
    DateTime::parse_from_str(text, PROTOCOL).ok()
}

/// Milliseconds since 1970 as RFC 3339 in UTC, the form of every event's `time`.
pub fn rfc3339(unix_ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(unix_ms)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Milliseconds since 1970 on this machine's clock.
pub fn unix_ms() -> i64 {
    Utc::now().timestamp_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_readings_name_the_same_moment() {
        let offset = parse("2013-07-11 15:43:36 +0900").unwrap();
        let utc = parse("2013-07-11 06:43:36 UTC").unwrap();
        assert_eq!(offset, utc);
        assert_eq!(
            offset.format(PROTOCOL).to_string(),
            "2013-07-11 15:43:36 +0900"
        );
    }

    #[test]
    fn what_is_not_a_time_is_none() {
        for text in [
            "",
            "now",
            "2013-07-11",
            "2013-07-11 15:43:36",
            "2013-07-11T15:43:36Z",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn events_carry_milliseconds() {
        assert_eq!(rfc3339(1_373_525_016_007), "2013-07-11T06:43:36.007Z");
    }
}
