//! Messages of the arbiter's queue.

use crate::protocol::key::{self, TasksetKey, TrialKey};

/// A message in the arbiter's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Cancel(TasksetKey),
    CancelAll,
    Check(TasksetKey),
    Fail(TasksetKey),
    Trial(TrialKey),
}

impl Message {
    /// Reads one message, or says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
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
