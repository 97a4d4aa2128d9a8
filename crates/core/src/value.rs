//! A value of any shape: what was written down in an older form, to be brought to the present one.

use crate::limits;
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A value of any shape, read from and written to any self-describing form. Maps keep their order,
/// and there is no float: nothing that was ever written holds one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number beyond [`Value::Int`].
    Uint(u64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Values in order.
    List(Vec<Value>),
    /// Values by key, in the order in which they were written.
    Map(Vec<(Value, Value)>),
}

impl Value {
    /// An empty map.
    #[must_use]
    pub fn map() -> Self {
        Self::Map(Vec::new())
    }

    /// The value of a field of a map.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&Self> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find(|(key, _)| key.is(field)).map(|(_, value)| value)
    }

    /// Takes a field out of a map.
    pub fn take(&mut self, field: &str) -> Option<Self> {
        let Self::Map(entries) = self else { return None };
        let place = entries.iter().position(|(key, _)| key.is(field))?;
        Some(entries.remove(place).1)
    }

    /// Puts a field into a map, in place of one that has its name. What is no map becomes one.
    pub fn put(&mut self, field: &str, value: Self) {
        drop(self.take(field));
        if !matches!(self, Self::Map(_)) {
            *self = Self::map();
        }
        if let Self::Map(entries) = self {
            entries.push((Self::from(field), value));
        }
    }

    fn is(&self, text: &str) -> bool {
        matches!(self, Self::Text(own) if own == text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Uint(value) => serializer.serialize_u64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::List(values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                values.iter().try_for_each(|value| list.serialize_element(value))?;
                list.end()
            }
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Below(limits::VALUE_DEPTH_MAX).deserialize(deserializer)
    }
}

/// A value that may be so many levels deep: hostile bytes must not use up the stack.
#[derive(Clone, Copy)]
struct Below(u8);

impl Below {
    fn next<E: de::Error>(self) -> Result<Self, E> {
        let deeper = || E::custom(format!("more than {} levels", limits::VALUE_DEPTH_MAX));
        self.0.checked_sub(1).map(Self).ok_or_else(deeper)
    }
}

impl<'de> DeserializeSeed<'de> for Below {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> de::Visitor<'de> for Below {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that is no float")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.next()?.deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Uint(value), Value::Int))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(bytes.to_vec()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        // The length that a hostile form states is no reason to reserve anything.
        let mut values = Vec::new();
        let below = self.next()?;
        while let Some(value) = list.next_element_seed(below)? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        let below = self.next()?;
        while let Some(entry) = map.next_entry_seed(below, below)? {
            entries.push(entry);
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_again_byte_for_byte() {
        let json =
            r#"{"b":[1,-2,true,null,"text",[]],"a":{"z":{},"y":18446744073709551615},"c":-1}"#;
        let value: Value = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), json);
        let bytes = rmp_serde::to_vec_named(&value).unwrap();
        let again: Value = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!(again, value);
        assert_eq!(rmp_serde::to_vec_named(&again).unwrap(), bytes);
        let bytes = rmp_serde::to_vec(&Value::Bytes(vec![1, 255])).unwrap();
        assert_eq!(rmp_serde::from_slice::<Value>(&bytes).unwrap(), Value::Bytes(vec![1, 255]));
    }

    #[test]
    fn a_float_is_refused_and_so_is_endless_depth() {
        assert!(serde_json::from_str::<Value>("[1.5]").is_err());
        let deep = vec![0x91; 100_000];
        assert!(rmp_serde::from_slice::<Value>(&deep).is_err());
    }

    #[test]
    fn fields_are_taken_and_put() {
        let mut value: Value = serde_json::from_str(r#"{"a":1,"b":2}"#).unwrap();
        assert_eq!(value.take("a"), Some(Value::Int(1)));
        assert_eq!(value.take("a"), None);
        value.put("b", Value::from("two"));
        value.put("c", Value::Null);
        assert_eq!(serde_json::to_string(&value).unwrap(), r#"{"b":"two","c":null}"#);
        assert_eq!(value.get("b"), Some(&Value::from("two")));
        let mut nothing = Value::Null;
        nothing.put("a", Value::map());
        assert_eq!(nothing.get("a"), Some(&Value::map()));
    }
}
