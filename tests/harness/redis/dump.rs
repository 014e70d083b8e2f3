//! All keys of a Redis, for tests of its exact content.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use redis::{Connection, FromRedisValue, cmd};
use serde_json::{Map, Value, json};

/// Keys, sorted by name.
pub type Keys = BTreeMap<String, Entry>;

/// A stream entry: its id, and its fields with their values.
type StreamEntry = (String, Vec<(Vec<u8>, Vec<u8>)>);

/// A key. `Display` prints type and content on one line: `hash {"a":"1"}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// `string`, `list`, `set`, `zset`, `hash` or `stream`.
    pub kind: String,
    /// Time to live; `None` if the key does not expire.
    pub ttl: Option<Duration>,
    /// A string as text, a hash as an object with sorted fields, a list as an array, a set
    /// as a sorted array, a sorted set as an object of scores, a stream as an array of objects.
    /// Invalid UTF-8 is replaced.
    pub value: Value,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.value)
    }
}

/// Reads every key. Keys that disappear during the scan are omitted.
#[track_caller]
pub fn keys(conn: &mut Connection) -> Keys {
    let names: Vec<Vec<u8>> = ask(conn, "KEYS", &[b"*"]);
    let entry = |name: Vec<u8>| {
        let kind: String = ask(conn, "TYPE", &[&name]);
        let ttl: i64 = ask(conn, "PTTL", &[&name]);
        let value = content(conn, &kind, &name)?;
        let ttl = u64::try_from(ttl).ok().map(Duration::from_millis);
        Some((text(&name), Entry { kind, ttl, value }))
    };
    names.into_iter().filter_map(entry).collect()
}

/// One line per key, `NAME: TYPE CONTENT`, sorted by name, without times to live.
pub fn lines(keys: &Keys) -> Vec<String> {
    let line = |(name, entry)| format!("{name}: {entry}");
    keys.iter().map(line).collect()
}

/// The keys without an expiry that should have one. Exempt are the few permanent keys of
/// rrr-protocol(7), and a taskset's hash, which stays until it is persisted.
pub fn immortal(keys: &Keys) -> Vec<&str> {
    const FIXED: [&str; 7] = [
        "rrrspec:rsync_info",
        "rrrspec:totals",
        "rrrspec:arbiter_queue",
        "rrrspec:dispatcher_queue",
        "rrrspec:persister_queue",
        "rrrspec:active_taskset",
        "rrrspec:worker",
    ];
    let stays = |name: &&str| FIXED.contains(name) || name.starts_with("rrrspec:estimate_");
    let without_ttl = keys.iter().filter(|(_, key)| key.ttl.is_none());
    without_ttl
        .map(|(name, _)| name.as_str())
        .filter(|name| !stays(name))
        .collect()
}

fn content(conn: &mut Connection, kind: &str, name: &[u8]) -> Option<Value> {
    let all: [&[u8]; 3] = [name, b"0", b"-1"];
    let value = match kind {
        "string" => Value::String(text(&ask::<Option<Vec<u8>>>(conn, "GET", &[name])?)),
        "list" => array(ask(conn, "LRANGE", &all)),
        "set" => {
            let mut members: Vec<Vec<u8>> = ask(conn, "SMEMBERS", &[name]);
            members.sort();
            array(members)
        }
        "zset" => {
            let scores: Vec<(Vec<u8>, f64)> =
                ask(conn, "ZRANGE", &[name, b"0", b"-1", b"WITHSCORES"]);
            let pairs = scores
                .iter()
                .map(|(member, score)| (text(member), json!(score)));
            Value::Object(pairs.collect())
        }
        "hash" => object(ask::<Vec<(Vec<u8>, Vec<u8>)>>(conn, "HGETALL", &[name])),
        "stream" => {
            let entries: Vec<StreamEntry> = ask(conn, "XRANGE", &[name, b"-", b"+"]);
            entries
                .into_iter()
                .map(|(_, fields)| object(fields))
                .collect()
        }
        "none" => return None,
        other => panic!("a key of the unknown type '{other}'"),
    };
    Some(value)
}

#[track_caller]
fn ask<T: FromRedisValue>(conn: &mut Connection, command: &str, args: &[&[u8]]) -> T {
    let result = cmd(command).arg(args).query(conn);
    result.unwrap_or_else(|error| panic!("{command}: {error}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn array(items: Vec<Vec<u8>>) -> Value {
    items.iter().map(|item| text(item)).collect()
}

fn object(mut fields: Vec<(Vec<u8>, Vec<u8>)>) -> Value {
    fields.sort();
    let pairs = fields
        .iter()
        .map(|(k, v)| (text(k), Value::String(text(v))));
    Value::Object(pairs.collect::<Map<_, _>>())
}
