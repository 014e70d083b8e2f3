//! A taskset as people name it: its key, its id, the unique beginning of either, `last` or
//! `last-failed`.

use crate::process::exit::{Failure, usage};
use crate::protocol::key::TasksetKey;
use std::fmt;
use std::str::FromStr;

/// The newest taskset.
const LAST: &str = "last";
/// The newest taskset that failed.
const LAST_FAILED: &str = "last-failed";
/// Maximum tasksets named in a refusal.
pub(crate) const NAMED: usize = 5;

/// The taskset that a person means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TasksetRef {
    Last,
    LastFailed,
    /// The beginning of a key: a key by itself, but perhaps not that of a taskset.
    Named(TasksetKey),
}

/// A taskset that may be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Possible {
    pub key: TasksetKey,
    /// Seconds since 1970.
    pub created: i64,
}

impl FromStr for TasksetRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            LAST => Ok(Self::Last),
            LAST_FAILED => Ok(Self::LastFailed),
            _ => match text.parse().or_else(|_| TasksetKey::of_id(text)) {
                Ok(key) => Ok(Self::Named(key)),
                Err(_) => Err(format!(
                    "'{}' is not the key of a taskset",
                    text.escape_debug().take(200).collect::<String>()
                )),
            },
        }
    }
}

impl fmt::Display for TasksetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last => f.write_str(LAST),
            Self::LastFailed => f.write_str(LAST_FAILED),
            Self::Named(key) => key.fmt(f),
        }
    }
}

impl TasksetRef {
    /// The key, if it is complete and need not be looked up.
    pub(crate) fn complete(&self) -> Option<&TasksetKey> {
        match self {
            Self::Named(key) if uuid::Uuid::parse_str(key.id()).is_ok() => Some(key),
            _ => None,
        }
    }

    /// The taskset that is meant, as [`choose`](Self::choose). A name that matches none of `possible`
    /// is returned as it is: the caller reports that it does not exist.
    pub(crate) fn settle(&self, possible: Vec<Possible>) -> Result<Option<TasksetKey>, Failure> {
        let found = self.choose(possible)?;
        Ok(found.or_else(|| match self {
            Self::Named(key) => Some(key.clone()),
            Self::Last | Self::LastFailed => None,
        }))
    }

    /// The taskset among `possible` that is meant: the one with this very key, the only one with
    /// this beginning, or the newest. None if there is none.
    pub(crate) fn choose(
        &self,
        mut possible: Vec<Possible>,
    ) -> Result<Option<TasksetKey>, Failure> {
        if let Self::Named(key) = self {
            if possible.iter().any(|it| it.key == *key) {
                return Ok(Some(key.clone()));
            }
            possible.sort_by(|one, other| one.key.cmp(&other.key));
            possible.dedup_by(|one, other| one.key == other.key);
            if possible.len() > 1 {
                let keys: Vec<&str> = possible.iter().map(|found| found.key.id()).collect();
                let named = keys[..keys.len().min(NAMED)].join(", ");
                return Err(usage(format!("several tasksets begin with '{}'", key.id()))
                    .hint(format!("use more of the key: {named}")));
            }
        }
        // Of equally new ones, the last one listed is the newest.
        Ok(possible
            .into_iter()
            .max_by_key(|it| it.created)
            .map(|it| it.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> TasksetRef {
        text.parse().unwrap()
    }

    fn found(keys: &[(&str, i64)]) -> Vec<Possible> {
        let found = |(id, created): &(&str, i64)| Possible {
            key: TasksetKey::of_id(id).unwrap(),
            created: *created,
        };
        keys.iter().map(found).collect()
    }

    fn chosen(text: &str, keys: &[(&str, i64)]) -> Option<String> {
        let key = named(text).choose(found(keys)).unwrap();
        key.map(|key| key.id().to_owned())
    }

    #[test]
    fn a_key_an_id_and_its_beginning_name_the_same_taskset() {
        let id = "0b51a2f4-5c5e-4b4c-9d3b-000000000001";
        for text in [&format!("rrrspec:taskset:{id}"), id, "0b51a2f4", "0"] {
            assert_eq!(chosen(text, &[(id, 0)]).as_deref(), Some(id), "{text}");
        }
        assert!(named(id).complete().is_some());
        assert!(named("0b51a2f4").complete().is_none());
        assert!("a b".parse::<TasksetRef>().is_err());
        assert!("".parse::<TasksetRef>().is_err());
    }

    #[test]
    fn an_exact_key_wins_over_longer_ones_and_several_are_refused() {
        let keys = [("build-1", 0), ("build-12", 0)];
        assert_eq!(chosen("build-1", &keys).as_deref(), Some("build-1"));
        let refusal = named("build").choose(found(&keys)).unwrap_err();
        assert!(refusal.message.contains("several"), "{refusal:?}");
        assert!(refusal.hint.unwrap().contains("build-1, build-12"));
        assert_eq!(chosen("other", &[]), None);
    }

    #[test]
    fn last_is_the_newest() {
        let keys = [("a", 1), ("b", 7), ("c", 7), ("d", 3)];
        assert_eq!(chosen("last", &keys).as_deref(), Some("c"));
    }
}
