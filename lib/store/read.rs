//! Reading Redis so that nothing in it stops the reader: any client can write invalid UTF-8 or a
//! text that is not a key, and a daemon that refused to read it would never make progress.

use super::Store;
use super::error::Refused;
use redis::{FromRedisValue, ParsingError, Value};
use std::collections::HashMap;
use std::ops::Deref;
use std::str::FromStr;

/// A text, with U+FFFD for invalid UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Text(String);

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl FromRedisValue for Text {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        match value {
            Value::BulkString(bytes) => Ok(Self(lossy(bytes))),
            other => String::from_redis_value(other).map(Self),
        }
    }
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The replies of a pipeline as rows of `width` replies each.
pub(crate) fn rows<T: FromRedisValue>(
    answers: Vec<Value>,
    width: usize,
) -> redis::RedisResult<Vec<T>> {
    let mut answers = answers.into_iter();
    let mut rows = Vec::with_capacity(answers.len() / width);
    while answers.len() >= width {
        let row = answers.by_ref().take(width).collect();
        rows.push(redis::from_redis_value(Value::Array(row))?);
    }
    Ok(rows)
}

/// The replies of a pipeline that ignores errors, as rows of `width` replies each. A row that names
/// a key of the wrong type gets its own error (L8); any other error fails the whole pipeline.
pub(crate) fn rows_each<T: FromRedisValue>(
    answers: Vec<Value>,
    width: usize,
) -> redis::RedisResult<Vec<Result<T, Refused>>> {
    let mut answers = answers.into_iter();
    let mut rows = Vec::with_capacity(answers.len() / width);
    while answers.len() >= width {
        let row: Vec<Value> = answers.by_ref().take(width).collect();
        let mut refused = None;
        for answer in &row {
            match answer {
                Value::ServerError(error) if error.code() == "WRONGTYPE" => {
                    refused = Some(Refused::of(error));
                }
                Value::ServerError(error) => return Err(error.clone().into()),
                _ => {}
            }
        }
        rows.push(match refused {
            Some(refused) => Err(refused),
            None => Ok(redis::from_redis_value(Value::Array(row))?),
        });
    }
    Ok(rows)
}

/// The `entries` that are a `K`.
pub(crate) fn parsed<K: FromStr>(entries: &[Vec<u8>]) -> Vec<K> {
    let parse = |bytes: &Vec<u8>| std::str::from_utf8(bytes).ok()?.parse().ok();
    entries.iter().filter_map(parse).collect()
}

/// All entries of a list, unchanged.
pub(crate) fn entries(store: &mut Store, list: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    store.call(|c, _| redis::cmd("LRANGE").arg(list).arg(0).arg(-1).query(c))
}

/// At most `count` entries of a list, from index `from`.
pub(crate) fn stretch(
    store: &mut Store,
    list: &str,
    from: usize,
    count: usize,
) -> anyhow::Result<Vec<Vec<u8>>> {
    let last = from + count - 1;
    store.call(|c, _| redis::cmd("LRANGE").arg(list).arg(from).arg(last).query(c))
}

/// The entries of a list that are a `K`, in order.
pub(crate) fn list<K: FromStr>(store: &mut Store, list: &str) -> anyhow::Result<Vec<K>> {
    Ok(parsed(&entries(store, list)?))
}

/// The entries of a list as text.
pub(crate) fn texts(store: &mut Store, list: &str) -> anyhow::Result<Vec<String>> {
    Ok(entries(store, list)?.into_iter().map(lossy).collect())
}

/// The members of a set that are a `K`.
pub(crate) fn set<K: FromStr>(store: &mut Store, set: &str) -> anyhow::Result<Vec<K>> {
    let members: Vec<Vec<u8>> = store.call(|c, _| redis::cmd("SMEMBERS").arg(set).query(c))?;
    Ok(parsed(&members))
}

/// The fields of a hash; empty if it does not exist.
pub(crate) fn hash(store: &mut Store, key: &str) -> anyhow::Result<HashMap<String, String>> {
    let fields: HashMap<Text, Text> = store.call(|c, _| redis::cmd("HGETALL").arg(key).query(c))?;
    let plain = |(name, value): (Text, Text)| (name.into(), value.into());
    Ok(fields.into_iter().map(plain).collect())
}

/// The numeric fields of a hash.
pub(crate) fn numbers<N: FromStr>(
    store: &mut Store,
    key: &str,
) -> anyhow::Result<HashMap<String, N>> {
    let number = |(name, value): (String, String)| Some((name, value.parse().ok()?));
    Ok(hash(store, key)?.into_iter().filter_map(number).collect())
}
