//! The fields of a hash: typed where the protocol defines them, byte-exact otherwise.

use crate::archive::db::value::Value;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// Bytes that are usually text. JSON shows them as text and, when that is not exact, also in base64
/// under the same name with the suffix `_base64`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// The bytes as text, for people.
    pub(crate) fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

/// Fields without a typed member: those of later versions or other implementations, and those whose
/// value does not have the type that the protocol requires.
pub type Other = BTreeMap<String, Bytes>;

/// A hash as read from Redis, from which the known fields are taken one by one.
pub(super) struct Hash(pub Other);

impl Hash {
    pub(crate) fn new(pairs: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        let name = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        // '' is the protocol's nil.
        let set = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        Self(set.map(|(k, v)| (name(k), Bytes(v))).collect())
    }

    pub(crate) fn bytes(&mut self, name: &str) -> Bytes {
        self.0.remove(name).unwrap_or_default()
    }
}

/// The types of fields that have a column.
pub trait Field: Sized {
    /// Parses the bytes, but only if printing the result yields exactly these bytes.
    fn read(bytes: &[u8]) -> Option<Self>;
    fn to_value(&self) -> Value;
    fn from_value(value: Value) -> Option<Self>;
}

impl Field for String {
    fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        // PostgreSQL's text type cannot hold NUL.
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
    /// Takes a field. A value of the wrong type stays among the others, as `NAME_raw`.
    pub(crate) fn field<T: Field>(&mut self, name: &str) -> Option<T> {
        let bytes = self.0.remove(name)?;
        let read = T::read(&bytes.0);
        if read.is_none() {
            self.0.insert(format!("{name}_raw"), bytes);
        }
        read
    }

    /// Makes room for a member that the record defines: a field of that name becomes `NAME_raw`
    /// too.
    pub(crate) fn aside(&mut self, name: &str) {
        if let Some(bytes) = self.0.remove(name) {
            self.0.insert(format!("{name}_raw"), bytes);
        }
    }
}

/// Declares the struct for a hash: its additional members first, then those of the protocol, which
/// are also columns of the database.
macro_rules! entity {
    ($(#[$doc:meta])* $name:ident { $($(#[$own_doc:meta])* $own:ident: $own_type:ty,)* }
     columns { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            $($(#[$own_doc])* pub $own: $own_type,)*
            $($(#[$field_doc])* #[serde(default, skip_serializing_if = "Option::is_none")] pub $field: Option<$type>,)*
            /// All other fields.
            #[serde(flatten, with = "crate::archive::document::fields::other")]
            pub other: $crate::archive::document::fields::Other,
        }

        impl $name {
            /// The names of the columns of [`Self::values`].
            pub(crate) const COLUMNS: &'static [&'static str] = &[$(stringify!($field)),*];

            fn read(mut hash: $crate::archive::document::fields::Hash, $($own: $own_type),*) -> Self {
                $(hash.aside(stringify!($own));)*
                $(let $field = hash.field(stringify!($field));)*
                Self { $($own,)* $($field,)* other: hash.0 }
            }

            /// The protocol's fields as column values.
            pub(crate) fn values(&self) -> Vec<$crate::archive::db::value::Value> {
                use $crate::archive::document::fields::Field;
                vec![$(self.$field.as_ref().map_or($crate::archive::db::value::Value::Null, Field::to_value)),*]
            }

            /// Rebuilds the entity from the values that [`Self::values`] returned.
            pub(crate) fn from_values(
                values: &mut dyn Iterator<Item = $crate::archive::db::value::Value>,
                other: $crate::archive::document::fields::Other,
                $($own: $own_type),*
            ) -> Self {
                use $crate::archive::document::fields::Field;
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

    pub(crate) fn encode(bytes: &[u8]) -> String {
        STANDARD.encode(bytes)
    }

    pub(crate) fn decode(text: &str) -> Result<Vec<u8>, String> {
        STANDARD.decode(text).map_err(|error| error.to_string())
    }
}

const EXACT: &str = "_base64";

/// The JSON form of [`Other`]: each field beside the typed ones.
pub(crate) mod other {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        fields: &Other,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(fields.iter().flat_map(|(name, bytes)| shown(name, bytes)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Other, D::Error> {
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

/// Declares the JSON form of a [`Bytes`] field, for `#[serde(flatten, with = …)]`.
macro_rules! bytes_member {
    ($name:ident, $exact:ident) => {
        pub(crate) mod $name {
            use super::*;

            #[derive(Serialize, Deserialize)]
            struct Members {
                #[serde(default)]
                $name: String,
                #[serde(default, skip_serializing_if = "Option::is_none")]
                $exact: Option<String>,
            }

            pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, s: S) -> Result<S::Ok, S::Error> {
                let text = bytes.text();
                let $exact = matches!(text, std::borrow::Cow::Owned(_))
                    .then(|| base64_text::encode(&bytes.0));
                let $name = text.into_owned();
                Members { $name, $exact }.serialize(s)
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Bytes, D::Error> {
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
