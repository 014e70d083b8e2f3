//! The fields of a hash, typed where the protocol names them, and exact to the byte where not.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// Bytes that are mostly text. JSON shows them as text, and when that is not exact, once more in
/// base64 under the same name with `_base64` behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// As text, for people.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

/// Fields with no place of their own: of later versions, of other implementations, or not of the
/// kind that the protocol says.
pub type Other = BTreeMap<String, Bytes>;

/// A hash as Redis has it, from which the known fields are taken one by one.
pub(super) struct Hash(pub Other);

impl Hash {
    pub fn new(pairs: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        let name = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        // '' is the protocol's nil.
        let set = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        Self(set.map(|(k, v)| (name(k), Bytes(v))).collect())
    }

    pub fn bytes(&mut self, name: &str) -> Bytes {
        self.0.remove(name).unwrap_or_default()
    }
}

/// A value of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Number(i64),
    Text(String),
}

/// The kinds of field that have a type and a column.
pub trait Field: Sized {
    /// Takes bytes only if printing the result gives these bytes back.
    fn read(bytes: &[u8]) -> Option<Self>;
    fn to_value(&self) -> Value;
    fn from_value(value: Value) -> Option<Self>;
}

impl Field for String {
    fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        // PostgreSQL's text has no place for NUL.
        (!text.contains('\0')).then(|| text.to_owned())
    }

    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Field for i64 {
    fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let number: i64 = text.parse().ok()?;
        (number.to_string() == text).then_some(number)
    }

    fn to_value(&self) -> Value {
        Value::Number(*self)
    }

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }
}

impl Hash {
    /// Takes a field. What is not of its kind stays among the others, as `NAME_raw`.
    pub fn field<T: Field>(&mut self, name: &str) -> Option<T> {
        let bytes = self.0.remove(name)?;
        let read = T::read(&bytes.0);
        if read.is_none() {
            self.0.insert(format!("{name}_raw"), bytes);
        }
        read
    }

    /// Makes room for a member of the record's own: a field of that name is `NAME_raw` too.
    pub fn aside(&mut self, name: &str) {
        if let Some(bytes) = self.0.remove(name) {
            self.0.insert(format!("{name}_raw"), bytes);
        }
    }
}

/// Declares what a hash becomes: its own fields first, then those of the protocol, which are
/// columns of the database too.
macro_rules! entity {
    ($(#[$doc:meta])* $name:ident { $($(#[$own_doc:meta])* $own:ident: $own_type:ty,)* }
     columns { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            $($(#[$own_doc])* pub $own: $own_type,)*
            $($(#[$field_doc])* #[serde(default, skip_serializing_if = "Option::is_none")] pub $field: Option<$type>,)*
            /// The fields that have no other place.
            #[serde(flatten, with = "crate::record::fields::other")]
            pub other: $crate::record::fields::Other,
        }

        impl $name {
            /// The names of the columns of [`Self::values`].
            pub const COLUMNS: &'static [&'static str] = &[$(stringify!($field)),*];

            fn read(mut hash: $crate::record::fields::Hash, $($own: $own_type),*) -> Self {
                $(hash.aside(stringify!($own));)*
                $(let $field = hash.field(stringify!($field));)*
                Self { $($own,)* $($field,)* other: hash.0 }
            }

            /// The protocol's fields as values of columns.
            pub fn values(&self) -> Vec<$crate::record::Value> {
                use $crate::record::fields::Field;
                vec![$(self.$field.as_ref().map_or($crate::record::Value::Null, Field::to_value)),*]
            }

            /// Of the values that [`Self::values`] gave.
            pub fn from_values(
                values: &mut dyn Iterator<Item = $crate::record::Value>,
                other: $crate::record::fields::Other,
                $($own: $own_type),*
            ) -> Self {
                use $crate::record::fields::Field;
                $(let $field = values.next().and_then(Field::from_value);)*
                Self { $($own,)* $($field,)* other }
            }
        }
    };
}
pub(super) use entity;

mod base64_text {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    pub fn encode(bytes: &[u8]) -> String {
        STANDARD.encode(bytes)
    }

    pub fn decode(text: &str) -> Result<Vec<u8>, String> {
        STANDARD.decode(text).map_err(|error| error.to_string())
    }
}

const EXACT: &str = "_base64";

/// How [`Other`] stands in JSON: each field beside the typed ones.
pub mod other {
    use super::*;

    pub fn serialize<S: Serializer>(fields: &Other, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(fields.iter().flat_map(|(name, bytes)| shown(name, bytes)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Other, D::Error> {
        let mut texts: BTreeMap<String, serde_json::Value> = BTreeMap::deserialize(deserializer)?;
        let exact: Vec<String> = texts
            .keys()
            .filter(|name| {
                name.strip_suffix(EXACT)
                    .is_some_and(|n| texts.contains_key(n))
            })
            .cloned()
            .collect();
        let mut fields = Other::new();
        for long in exact {
            let Some(serde_json::Value::String(text)) = texts.remove(&long) else {
                continue;
            };
            let name = long[..long.len() - EXACT.len()].to_owned();
            let bytes = base64_text::decode(&text).map_err(serde::de::Error::custom)?;
            texts.remove(&name);
            fields.insert(name, Bytes(bytes));
        }
        fields.extend(texts.into_iter().map(|(name, value)| {
            let text = match value {
                serde_json::Value::String(text) => text,
                value => value.to_string(),
            };
            (name, Bytes(text.into_bytes()))
        }));
        Ok(fields)
    }
}

/// The one or two members of a JSON object that hold `bytes`.
fn shown(name: &str, bytes: &Bytes) -> impl Iterator<Item = (String, String)> + use<> {
    let text = bytes.text();
    let exact = matches!(text, std::borrow::Cow::Owned(_))
        .then(|| (format!("{name}{EXACT}"), base64_text::encode(&bytes.0)));
    std::iter::once((name.to_owned(), text.into_owned())).chain(exact)
}

/// Declares how a field of [`Bytes`] stands in JSON, for `#[serde(flatten, with = …)]`.
macro_rules! bytes_member {
    ($name:ident, $exact:ident) => {
        pub mod $name {
            use super::*;

            #[derive(Serialize, Deserialize)]
            struct Members {
                #[serde(default)]
                $name: String,
                #[serde(default, skip_serializing_if = "Option::is_none")]
                $exact: Option<String>,
            }

            pub fn serialize<S: Serializer>(bytes: &Bytes, s: S) -> Result<S::Ok, S::Error> {
                let text = bytes.text();
                let $exact = matches!(text, std::borrow::Cow::Owned(_))
                    .then(|| base64_text::encode(&bytes.0));
                let $name = text.into_owned();
                Members { $name, $exact }.serialize(s)
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Bytes, D::Error> {
                let Members { $name, $exact } = Members::deserialize(d)?;
                Ok(Bytes(match $exact {
                    Some(text) => base64_text::decode(&text).map_err(serde::de::Error::custom)?,
                    None => $name.into_bytes(),
                }))
            }
        }
    };
}
bytes_member!(stdout, stdout_base64);
bytes_member!(stderr, stderr_base64);
bytes_member!(log, log_base64);
