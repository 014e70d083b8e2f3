//! Lua scripts: one atomic transition each, built from the shared parts they name and their own
//! file.

use redis::{FromRedisValue, Value};
use std::sync::LazyLock;

/// A script that is sent by its digest, and in full only if Redis does not know it.
pub(crate) type Script = LazyLock<redis::Script>;

/// Joins the parts of a script after the constants that Lua and Rust share.
pub(crate) fn compose(parts: &[&str]) -> redis::Script {
    // The TTL is a string: Redis would convert a number at every call.
    let mut code = format!(
        "local KEY_TTL, STOPPED_ALLOWANCE, MAX_BATCH = '{}', {}, {}\n",
        super::KEY_TTL,
        crate::protocol::limits::STOPPED_ALLOWANCE,
        crate::protocol::limits::MAX_BATCH
    );
    for part in parts {
        code.push_str(part);
    }
    redis::Script::new(&code)
}

/// `lua!("trial_judge", "event", "close", "judge")`: the script trial_judge.lua with three shared parts.
#[macro_export]
macro_rules! lua {
    ($name:literal $(, $shared:literal)*) => {
        std::sync::LazyLock::new(|| {
            $crate::store::script::compose(&[
                $(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/lib/lua/shared/", $shared, ".lua")),)*
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/lib/lua/", $name, ".lua")),
            ])
        })
    };
}

/// A script's reply: a list whose places are described in the script's header.
pub(crate) struct Answer(Vec<Value>);

impl FromRedisValue for Answer {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        Vec::<Value>::from_redis_value(value).map(Self)
    }
}

impl Answer {
    /// The text at `place`, lossily decoded; empty when there is none.
    pub(crate) fn text(&self, place: usize) -> String {
        match self.0.get(place) {
            Some(Value::BulkString(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            Some(Value::SimpleString(text)) => text.clone(),
            Some(Value::Int(number)) => number.to_string(),
            _ => String::new(),
        }
    }

    /// The bytes at `place`.
    pub(crate) fn bytes(&self, place: usize) -> Option<&[u8]> {
        match self.0.get(place) {
            Some(Value::BulkString(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// The number at `place`; 0 if there is none.
    pub(crate) fn number(&self, place: usize) -> i64 {
        self.text(place).parse().unwrap_or(0)
    }

    /// The number of places.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
