//! Every Redis key of the protocol, as types: the only module that spells `rrrspec:`.
//!
//! A key is parsed once, where it enters (a flag, an environment variable, a queue message), and
//! from then on its type states what it names. `Display` returns the exact bytes, so that parsing
//! and printing round-trip.

use crate::protocol::name::spec_file_error;
use std::fmt;
use std::str::FromStr;

/// The prefix of every key.
pub(crate) const PREFIX: &str = "rrrspec:";

/// Text that is not a key of the requested kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadKey {
    text: String,
    expected: &'static str,
}

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.text.escape_debug().take(200).collect();
        write!(f, "'{shown}' is not {}", self.expected)
    }
}

impl std::error::Error for BadKey {}

fn bad(text: &str, expected: &'static str) -> BadKey {
    BadKey {
        text: text.to_owned(),
        expected,
    }
}

macro_rules! key_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The key as stored in Redis.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl redis::ToRedisArgs for $name {
            fn write_redis_args<W: ?Sized + redis::RedisWrite>(&self, out: &mut W) {
                out.write_arg(self.0.as_bytes());
            }
        }

        impl redis::ToSingleRedisArg for $name {}

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

key_type! {
    /// `rrrspec:taskset:$TASKSET_ID`: one run of a suite.
    TasksetKey
}
key_type! {
    /// `rrrspec:taskset:$TASKSET_ID:task:$TASK_ID`: one spec file of a run; `$TASK_ID` is the file.
    TaskKey
}
key_type! {
    /// `…:task:$TASK_ID:trial:$TRIAL_ID`: one execution of a task.
    TrialKey
}
key_type! {
    /// `rrrspec:worker:$WORKER_ID`: one machine that runs slaves.
    WorkerKey
}
key_type! {
    /// `rrrspec:worker:$WORKER_ID:slave:$PID`: one process that runs trials.
    SlaveKey
}

/// Whether the text can be the part of a key between two colons: not empty, no colon, no control
/// character.
fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 256
        && !text
            .chars()
            .any(|c| c == ':' || c.is_control() || c.is_whitespace())
}

impl TasksetKey {
    /// A new, unique key.
    pub(crate) fn fresh() -> Self {
        Self(format!("{PREFIX}taskset:{}", uuid::Uuid::new_v4()))
    }

    /// The key of the taskset with this `$TASKSET_ID`.
    pub(crate) fn of_id(id: &str) -> Result<Self, BadKey> {
        format!("{PREFIX}taskset:{id}").parse()
    }

    /// The beginning of a generated id, which is unique among a few thousand; other ids whole.
    pub(crate) fn short(&self) -> &str {
        match uuid::Uuid::parse_str(self.id()) {
            Ok(_) => &self.id()[..8],
            Err(_) => self.id(),
        }
    }

    /// The `$TASKSET_ID`.
    pub(crate) fn id(&self) -> &str {
        &self.0[PREFIX.len() + "taskset:".len()..]
    }

    /// The key of this taskset's task for `spec_file`, which must have passed [`spec_file_error`].
    pub fn task(&self, spec_file: &str) -> TaskKey {
        TaskKey(format!("{}:task:{spec_file}", self.0))
    }

    /// `string`: the log of the taskset.
    pub(crate) fn log(&self) -> String {
        format!("{}:log", self.0)
    }

    /// `list` of [`SlaveKey`]: every slave that ever joined.
    pub(crate) fn slaves(&self) -> String {
        format!("{}:slave", self.0)
    }

    /// `list` of worker log keys: one for each time a worker joined.
    pub(crate) fn worker_logs(&self) -> String {
        format!("{}:worker_log", self.0)
    }

    /// `hash`: the log of `worker` for this taskset, from when it first joined.
    pub(crate) fn worker_log(&self, worker: &WorkerKey) -> String {
        format!("{}:worker_log:{worker}", self.0)
    }

    /// `list` of [`TaskKey`]: waiting to be reserved by a slave.
    pub(crate) fn task_queue(&self) -> String {
        format!("{}:task_queue", self.0)
    }

    /// `list` of [`TaskKey`]: all of them.
    pub(crate) fn tasks(&self) -> String {
        format!("{}:tasks", self.0)
    }

    /// `list` of [`TaskKey`]: those without a final status.
    pub(crate) fn tasks_left(&self) -> String {
        format!("{}:tasks_left", self.0)
    }

    /// `stream` of JSON events (rrr only).
    pub(crate) fn events(&self) -> String {
        format!("{}:events", self.0)
    }

    /// `stream` of short words that wake slaves up (rrr only).
    pub(crate) fn wake(&self) -> String {
        format!("{}:wake", self.0)
    }

    /// `hash` of the outcomes of suite ends, by slave (rrr only).
    pub(crate) fn ends(&self) -> String {
        format!("{}:ends", self.0)
    }

    /// `string`: the number of failed attempts of rrr-persist at the record (rrr only).
    pub fn persist_attempts(&self) -> String {
        format!("{}:persist_attempts", self.0)
    }
}

impl FromStr for TasksetKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        const EXPECTED: &str = "a taskset key (rrrspec:taskset:ID)";
        match text
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.strip_prefix("taskset:"))
        {
            Some(id) if is_id(id) => Ok(Self(text.to_owned())),
            _ => Err(bad(text, EXPECTED)),
        }
    }
}

/// Splits `rrrspec:taskset:ID:task:REST` into the length of the taskset key and REST.
fn split_task(text: &str) -> Option<(usize, &str)> {
    let rest = text.strip_prefix(PREFIX)?.strip_prefix("taskset:")?;
    let (id, rest) = rest.split_once(':')?;
    let task_id = rest.strip_prefix("task:")?;
    is_id(id).then_some((PREFIX.len() + "taskset:".len() + id.len(), task_id))
}

impl TaskKey {
    /// The taskset of this task.
    pub(crate) fn taskset(&self) -> TasksetKey {
        let (length, _) = split_task(&self.0).expect("a task key was checked when it was made");
        TasksetKey(self.0[..length].to_owned())
    }

    /// The `$TASK_ID`, which is the spec file.
    pub(crate) fn spec_file(&self) -> &str {
        let (_, id) = split_task(&self.0).expect("a task key was checked when it was made");
        id
    }

    /// `list` of [`TrialKey`].
    pub fn trials(&self) -> String {
        format!("{}:trial", self.0)
    }
}

impl FromStr for TaskKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        match split_task(text) {
            Some((_, spec_file)) if spec_file_error(spec_file).is_none() => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(bad(text, "a task key (rrrspec:taskset:ID:task:SPEC_FILE)")),
        }
    }
}

impl TrialKey {
    /// The task of this trial.
    pub(crate) fn task(&self) -> TaskKey {
        let at = self.0.rfind(":trial:").expect("a trial key has a trial");
        TaskKey(self.0[..at].to_owned())
    }
}

impl FromStr for TrialKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        const EXPECTED: &str = "a trial key (rrrspec:taskset:ID:task:SPEC_FILE:trial:ID)";
        let (task, id) = text.rsplit_once(":trial:").ok_or(bad(text, EXPECTED))?;
        if !is_id(id) || task.parse::<TaskKey>().is_err() {
            return Err(bad(text, EXPECTED));
        }
        Ok(Self(text.to_owned()))
    }
}

impl WorkerKey {
    /// The key of the worker called `id`.
    pub(crate) fn new(id: &str) -> Result<Self, BadKey> {
        format!("{PREFIX}worker:{id}")
            .parse()
            .map_err(|_| bad(id, "a worker id: no colon, space or control character"))
    }

    /// The `$WORKER_ID`.
    pub(crate) fn id(&self) -> &str {
        &self.0[PREFIX.len() + "worker:".len()..]
    }

    /// The key of this worker's slave called `name` (the protocol's `$PID`).
    pub(crate) fn slave(&self, name: &str) -> SlaveKey {
        SlaveKey(format!("{}:slave:{name}", self.0))
    }

    /// `list` of [`TasksetKey`]: those that the dispatcher assigned to this worker.
    pub fn queue(&self) -> String {
        format!("{}:worker_queue", self.0)
    }

    /// `string` with an expiry: exists while the worker is alive.
    pub fn heartbeat(&self) -> String {
        format!("{}:heartbeat", self.0)
    }
}

impl FromStr for WorkerKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        match text
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.strip_prefix("worker:"))
        {
            Some(id) if is_id(id) => Ok(Self(text.to_owned())),
            _ => Err(bad(text, "a worker key (rrrspec:worker:ID)")),
        }
    }
}

impl SlaveKey {
    /// The worker that started this slave.
    pub(crate) fn worker(&self) -> WorkerKey {
        let at = self.0.rfind(":slave:").expect("a slave key has a slave");
        WorkerKey(self.0[..at].to_owned())
    }

    /// Whether it is a slave of another implementation: they are named by a process id alone.
    pub(crate) fn is_foreign(&self) -> bool {
        let at = self.0.rfind(":slave:").expect("a slave key has a slave");
        !self.0[at..].contains('-')
    }

    /// `list` of [`TrialKey`]: the trials of this slave, oldest first.
    pub fn trials(&self) -> String {
        format!("{}:trial", self.0)
    }

    /// `string`: the slave's stderr.
    pub(crate) fn log(&self) -> String {
        format!("{}:log", self.0)
    }

    /// `string` with an expiry: exists while the slave is alive.
    pub fn heartbeat(&self) -> String {
        format!("{}:heartbeat", self.0)
    }
}

impl FromStr for SlaveKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        const EXPECTED: &str = "a slave key (rrrspec:worker:ID:slave:PID)";
        let (worker, pid) = text.rsplit_once(":slave:").ok_or(bad(text, EXPECTED))?;
        if !is_id(pid) || worker.parse::<WorkerKey>().is_err() {
            return Err(bad(text, EXPECTED));
        }
        Ok(Self(text.to_owned()))
    }
}

/// `hash`: the cluster's rsync defaults.
pub(crate) fn rsync_info() -> String {
    format!("{PREFIX}rsync_info")
}

/// `list` of messages to the arbiter.
pub(crate) fn arbiter_queue() -> String {
    format!("{PREFIX}arbiter_queue")
}

/// `list` whose entries only mean "look again".
pub(crate) fn dispatcher_queue() -> String {
    format!("{PREFIX}dispatcher_queue")
}

/// `list` of [`TasksetKey`]: finished, but not persisted yet.
pub(crate) fn persister_queue() -> String {
    format!("{PREFIX}persister_queue")
}

/// `list` of [`TasksetKey`]: submitted and not finished, oldest first.
pub(crate) fn active_taskset() -> String {
    format!("{PREFIX}active_taskset")
}

/// `set` of [`WorkerKey`].
pub(crate) fn workers() -> String {
    format!("{PREFIX}worker")
}

/// `hash` of whole seconds by spec file.
pub(crate) fn estimate_sec(class: &str) -> String {
    format!("{PREFIX}estimate_sec:{class}")
}

/// `hash` of milliseconds by spec file (rrr only).
pub(crate) fn estimate_ms(class: &str) -> String {
    format!("{PREFIX}estimate_ms:{class}")
}

/// `string` with an expiry: the taskset that is syncing into the remote folder `name` (rrr only).
pub(crate) fn rsync_lock(name: &str) -> String {
    format!("{PREFIX}rsync_lock:{name}")
}

/// `string` with an expiry: exists while a daemon of this role is running (rrr only).
pub(crate) fn role(name: &str) -> String {
    format!("{PREFIX}role:{name}")
}

/// `hash`: the counters that rrr-persist keeps over all finished tasksets (rrr only).
pub(crate) fn totals() -> String {
    format!("{PREFIX}totals")
}

/// `list` of the messages of `queue` that could not be handled (rrr only).
pub(crate) fn dead(queue: &str) -> String {
    format!("{queue}:dead")
}

/// The taskset in the key `name`, whatever suffix follows.
pub(crate) fn taskset_of(name: &str) -> Option<TasksetKey> {
    let rest = name.strip_prefix(PREFIX)?.strip_prefix("taskset:")?;
    let id = rest.split(':').next()?;
    format!("{PREFIX}taskset:{id}").parse().ok()
}

/// The slave in the key `name`, whatever suffix follows.
pub(crate) fn slave_of(name: &str) -> Option<SlaveKey> {
    let (worker, rest) = name.split_once(":slave:")?;
    let pid = rest.split(':').next()?;
    format!("{worker}:slave:{pid}").parse().ok()
}

/// Whether the key `name` is permanent: the list of all keys that have no expiry by design.
pub(crate) fn lasts(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return false;
    };
    matches!(
        rest,
        "rsync_info"
            | "arbiter_queue"
            | "dispatcher_queue"
            | "persister_queue"
            | "active_taskset"
            | "worker"
            | "arbiter_queue:dead"
            | "persister_queue:dead"
            | "totals"
    ) || rest.starts_with("estimate_sec:")
        || rest.starts_with("estimate_ms:")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trips<K: FromStr<Err = BadKey> + fmt::Display>(text: &str) {
        let key: K = text.parse().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(key.to_string(), text);
    }

    #[test]
    fn keys_round_trip() {
        round_trips::<TasksetKey>("rrrspec:taskset:8f1c");
        round_trips::<TaskKey>("rrrspec:taskset:8f1c:task:spec/a_spec.rb");
        round_trips::<TaskKey>("rrrspec:taskset:8f1c:task:t/a.py::TestA::test_b[x:task:y]");
        round_trips::<TrialKey>("rrrspec:taskset:8f1c:task:spec/a b'\"ü.rb:trial:17");
        round_trips::<WorkerKey>("rrrspec:worker:host.example");
        round_trips::<SlaveKey>("rrrspec:worker:host.example:slave:123-ab");
    }

    #[test]
    fn a_trial_key_knows_its_task_taskset_and_file() {
        let trial: TrialKey = "rrrspec:taskset:T:task:a:task:b.rb:trial:9"
            .parse()
            .unwrap();
        assert_eq!(trial.task().spec_file(), "a:task:b.rb");
        assert_eq!(trial.task().taskset().id(), "T");
        let made = trial.task().taskset().task("a:task:b.rb");
        assert_eq!(made, trial.task());
    }

    #[test]
    fn keys_of_another_kind_are_refused() {
        assert!("rrrspec:taskset:".parse::<TasksetKey>().is_err());
        assert!("rrrspec:taskset:a:log".parse::<TasksetKey>().is_err());
        assert!("taskset:a".parse::<TasksetKey>().is_err());
        assert!("rrrspec:taskset:a:task:".parse::<TaskKey>().is_err());
        assert!(
            "rrrspec:taskset:a:task:/etc/passwd"
                .parse::<TaskKey>()
                .is_err()
        );
        assert!("rrrspec:taskset:a:task:b".parse::<TrialKey>().is_err());
        assert!("rrrspec:worker:a:slave:1".parse::<WorkerKey>().is_err());
        assert!("rrrspec:worker:a".parse::<SlaveKey>().is_err());
    }
}
