//! One line of NDJSON: an object, of which some keys are read. Numbers stay as they are written.

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// What stands under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A string, or a number as it is written.
    Text(Cow<'a, str>),
    /// Something else.
    Other,
}

/// The keys of an object.
pub(super) fn keys(line: &str) -> Result<Vec<String>, String> {
    struct Keys(Vec<String>);
    impl<'de> Object<'de> for Keys {
        fn entry<A: MapAccess<'de>>(
            &mut self,
            key: Cow<'_, str>,
            map: &mut A,
        ) -> Result<(), A::Error> {
            if self.0.iter().any(|own| **own == *key) {
                return Err(twice(&key));
            }
            self.0.push(key.into_owned());
            map.next_value::<IgnoredAny>().map(|_| ())
        }
    }
    let mut keys = Keys(Vec::new());
    read(line, &mut keys)?;
    Ok(keys.0)
}

/// What an object has under each of some keys, which are all different.
pub(super) fn values<'a>(
    line: &'a str,
    wanted: &[String],
) -> Result<Vec<Option<Found<'a>>>, String> {
    struct Values<'a, 'w> {
        wanted: &'w [String],
        found: Vec<Option<Found<'a>>>,
        /// Where the next key is expected: objects of one file mostly have one order.
        next: usize,
    }
    impl<'de> Object<'de> for Values<'de, '_> {
        fn entry<A: MapAccess<'de>>(
            &mut self,
            key: Cow<'_, str>,
            map: &mut A,
        ) -> Result<(), A::Error> {
            let expected = self.wanted.get(self.next).is_some_and(|own| **own == *key);
            let place = match expected {
                true => Some(self.next),
                false => self.wanted.iter().position(|own| **own == *key),
            };
            let Some((place, slot)) =
                place.and_then(|place| Some((place, self.found.get_mut(place)?)))
            else {
                return map.next_value::<IgnoredAny>().map(|_| ());
            };
            if slot.is_some() {
                return Err(twice(&key));
            }
            *slot = Some(found(map.next_value::<&'de RawValue>()?).map_err(A::Error::custom)?);
            self.next = place.saturating_add(1);
            Ok(())
        }
    }
    let mut values = Values { wanted, found: vec![None; wanted.len()], next: 0 };
    read(line, &mut values)?;
    Ok(values.found)
}

fn twice<E: serde::de::Error>(key: &str) -> E {
    E::custom(format_args!("the key {key:?} stands twice"))
}

fn found(raw: &RawValue) -> Result<Found<'_>, serde_json::Error> {
    let text = raw.get();
    Ok(match text.as_bytes().first() {
        Some(b'"') => {
            let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            match inner.filter(|inner| !inner.contains('\\')) {
                Some(inner) => Found::Text(Cow::Borrowed(inner)),
                None => Found::Text(Cow::Owned(serde_json::from_str(text)?)),
            }
        }
        Some(b'-' | b'0'..=b'9') => Found::Text(Cow::Borrowed(text)),
        _ => Found::Other,
    })
}

/// What is done with the entries of an object.
trait Object<'de> {
    fn entry<A: MapAccess<'de>>(&mut self, key: Cow<'_, str>, map: &mut A) -> Result<(), A::Error>;
}

fn read<'de, O: Object<'de>>(line: &'de str, object: &mut O) -> Result<(), String> {
    let mut input = serde_json::Deserializer::from_str(line);
    let read = input.deserialize_map(Entries(object)).and_then(|()| input.end());
    read.map_err(|error| {
        let (text, column) = (error.to_string(), error.column());
        // A row is one line, so that its place in the line is all there is to say.
        let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
        format!("character {column}: {reason}")
    })
}

struct Entries<'o, O>(&'o mut O);

impl<'de, O: Object<'de>> Visitor<'de> for Entries<'_, O> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Key)? {
            self.0.entry(key, &mut map)?;
        }
        Ok(())
    }
}

/// A key, borrowed where it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wanted(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|&key| key.to_owned()).collect()
    }

    #[test]
    fn strings_and_numbers_are_texts_and_all_else_is_not() {
        let line = r#" {"b": 1.50, "x": [1, {"a": 2}], "\u0061": "q\"\n", "c": null, "é": ""} "#;
        let text = |text: &'static str| Some(Found::Text(text.into()));
        let found = values(line, &wanted(&["a", "b", "c", "d", "é", "x"])).unwrap();
        let other = Some(Found::Other);
        assert_eq!(found, [text("q\"\n"), text("1.50"), other.clone(), None, text(""), other]);
        assert_eq!(keys(line).unwrap(), ["b", "x", "a", "c", "é"]);
    }

    #[test]
    fn what_is_no_object_is_refused_with_its_place() {
        for (line, expected) in [
            ("", "character 0: EOF while parsing a value"),
            ("{", "character 1: EOF while parsing an object"),
            ("[]", "character 0: invalid type: sequence, expected a JSON object"),
            ("5", "invalid type: integer `5`, expected a JSON object"),
            ("{} {}", "character 4: trailing characters"),
            (r#"{"a":01}"#, "character 7: "),
            (r#"{"a":1,"a":2}"#, "the key \"a\" stands twice"),
            (r#"{"a":"\ud800"}"#, "character "),
            (r#"{1:2}"#, "character 2: key must be a string"),
        ] {
            let error = values(line, &wanted(&["a"])).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
        assert!(keys(r#"{"x":1,"x":2}"#).unwrap_err().contains("stands twice"));
    }

    proptest! {
        #[test]
        fn what_another_writer_writes_is_read_back(a in ".{0,8}", b in any::<i64>()) {
            let line = serde_json::json!({ "a": a, "b": b, "c": [a, b] }).to_string();
            let found = values(&line, &wanted(&["b", "a", "c"])).unwrap();
            let expected = [Some(Found::Text(b.to_string().into())), Some(Found::Text(a.into()))];
            prop_assert_eq!(&found[..2], &expected);
            prop_assert_eq!(found.get(2), Some(&Some(Found::Other)));
        }
    }
}
