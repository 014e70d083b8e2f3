//! Times in the protocol's format: `2013-07-11 15:43:36 +0900`; a suffix ` UTC` is accepted too.

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, FixedOffset, Local, NaiveDateTime, SecondsFormat, TimeDelta, Utc};
use std::sync::LazyLock;

const PROTOCOL: &str = "%Y-%m-%d %H:%M:%S %z";

/// The format, parsed once.
static ITEMS: LazyLock<Vec<Item<'static>>> =
    LazyLock::new(|| StrftimeItems::new(PROTOCOL).collect());

/// The current time of this machine's clock, in the protocol's format.
pub fn now() -> String {
    let now = clock().with_timezone(&Local);
    now.format_with_items(ITEMS.iter()).to_string()
}

/// Milliseconds since 1970 in the protocol's format, in UTC.
pub fn protocol(unix_ms: i64) -> String {
    let time = DateTime::<Utc>::from_timestamp_millis(unix_ms).unwrap_or_default();
    time.format(PROTOCOL).to_string()
}

/// Parses a time that any implementation of the protocol wrote; `None` when it is invalid.
pub fn parse(text: &str) -> Option<DateTime<FixedOffset>> {
    if let Some(utc) = text.strip_suffix(" UTC") {
        return NaiveDateTime::parse_from_str(utc, "%Y-%m-%d %H:%M:%S")
            .ok()
            .map(|naive| naive.and_utc().fixed_offset());
    }
    DateTime::parse_from_str(text, PROTOCOL).ok()
}

/// Milliseconds since 1970 as RFC 3339 in UTC, the form of every event's `time`.
pub(crate) fn rfc3339(unix_ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(unix_ms)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Milliseconds since 1970 by this machine's clock.
pub fn unix_ms() -> i64 {
    clock().timestamp_millis()
}

/// This machine's clock. In debug builds `RRR_CLOCK_AHEAD` moves it forward by a number of seconds,
/// so that a test can check that nothing depends on synchronised clocks (C12).
fn clock() -> DateTime<Utc> {
    let now = Utc::now();
    if cfg!(debug_assertions)
        && let Some(seconds) = std::env::var("RRR_CLOCK_AHEAD")
            .ok()
            .and_then(|text| text.parse().ok())
    {
        return now + TimeDelta::seconds(seconds);
    }
    now
}

/// Parses a duration, `90m`, `12h`, `30d` or `8w`, to milliseconds.
pub(crate) fn span(text: &str) -> Result<i64, String> {
    let problem = || format!("invalid duration '{text}': expected 90m, 12h, 30d or 8w");
    let at = text.len() - text.chars().next_back().map_or(0, char::len_utf8);
    let minutes = match &text[at..] {
        "m" => 1,
        "h" => 60,
        "d" => 24 * 60,
        "w" => 7 * 24 * 60,
        _ => return Err(problem()),
    };
    let number: u32 = text[..at].parse().map_err(|_| problem())?;
    Ok(i64::from(number) * minutes * 60_000)
}

/// Whole seconds for the protocol: rounded up, at least one.
pub fn whole_seconds(ms: u64) -> u64 {
    ms.div_ceil(1000).max(1)
}

/// An estimate in milliseconds: the known ones, where they agree with the seconds. Another
/// implementation may have written newer seconds.
pub(crate) fn refined_ms(seconds: u64, known_ms: Option<u64>) -> u64 {
    let agrees = |ms: &u64| whole_seconds(*ms) == seconds;
    known_ms
        .filter(agrees)
        .unwrap_or(seconds.saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!(span("90m"), Ok(5_400_000));
        assert_eq!(span("30d"), Ok(2_592_000_000));
        for text in ["", "d", "30", "-1d", "1.5h", "30 d", "9999999999w", "3ü"] {
            assert!(span(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn offset_and_utc_name_the_same_moment() {
        let offset = parse("2013-07-11 15:43:36 +0900").unwrap();
        let utc = parse("2013-07-11 06:43:36 UTC").unwrap();
        assert_eq!(offset, utc);
        assert_eq!(
            offset.format(PROTOCOL).to_string(),
            "2013-07-11 15:43:36 +0900"
        );
    }

    #[test]
    fn an_invalid_time_is_none() {
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
