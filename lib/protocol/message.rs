//! Messages of the arbiter's queue.

use crate::protocol::key::{self, TasksetKey, TrialKey};

/// A message in the arbiter's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Cancel(TasksetKey),
    CancelAll,
    Check(TasksetKey),
    Fail(TasksetKey),
    Trial(TrialKey),
}

impl Message {
    /// Parses a message. Errors: the reason why it is invalid.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not valid UTF-8".to_owned())?;
        let (verb, key) = text.split_once('\t').unwrap_or((text, ""));
        let taskset = || key.parse::<TasksetKey>().map_err(|error| error.to_string());
        match verb {
            "cancel" if key.is_empty() => Ok(Self::CancelAll),
            "cancel" => Ok(Self::Cancel(taskset()?)),
            "check" => Ok(Self::Check(taskset()?)),
            "fail" => Ok(Self::Fail(taskset()?)),
            "trial" => Ok(Self::Trial(
                key.parse()
                    .map_err(|error: key::BadKey| error.to_string())?,
            )),
            _ => Err("it is none of cancel, check, fail, trial".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_parsed_as_the_protocol_defines_them() {
        let taskset: TasksetKey = "rrrspec:taskset:a".parse().unwrap();
        assert_eq!(Message::parse(b"cancel"), Ok(Message::CancelAll));
        assert_eq!(
            Message::parse(b"check\trrrspec:taskset:a"),
            Ok(Message::Check(taskset.clone()))
        );
        assert_eq!(
            Message::parse(b"fail\trrrspec:taskset:a"),
            Ok(Message::Fail(taskset.clone()))
        );
        assert!(matches!(
            Message::parse(b"trial\trrrspec:taskset:a:task:b:trial:c"),
            Ok(Message::Trial(..))
        ));
    }

    #[test]
    fn invalid_messages_are_refused_with_a_reason() {
        for bad in [
            &b"bogus"[..],
            b"",
            b"\xff\xfe",
            b"check",
            b"trial\tx",
            b"check\tx",
            b"fail\t",
        ] {
            assert!(Message::parse(bad).is_err(), "{bad:?}");
        }
    }
}
