//! Metadata: a small map of strings on an object (rule 1.6).

use crate::{Refusal, limits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The metadata of an object, in order of keys.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metadata(BTreeMap<String, String>);

/// An update of metadata: it merges by key, and an empty or absent value removes the key.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MetadataPatch(BTreeMap<String, Option<String>>);

impl Metadata {
    /// No entries.
    pub const NONE: Self = Self(BTreeMap::new());

    /// The entries.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The metadata of a new object.
    ///
    /// # Errors
    /// As [`Metadata::merged`].
    pub fn of(given: Option<&MetadataPatch>) -> Result<Self, Refusal> {
        given.map_or(Ok(Self::default()), |given| Self::default().merged(given))
    }

    /// The metadata after an update.
    ///
    /// # Errors
    /// [`Refusal::ParameterInvalid`] with the limit that the result would break.
    pub fn merged(&self, patch: &MetadataPatch) -> Result<Self, Refusal> {
        let mut merged = self.clone();
        for (key, value) in &patch.0 {
            match value.as_deref() {
                None | Some("") => {
                    merged.0.remove(key);
                }
                Some(value) => {
                    check_entry(key, value)?;
                    merged.0.insert(key.clone(), value.to_owned());
                }
            }
        }
        if merged.0.len() > limits::METADATA_KEYS_MAX {
            let reason =
                format!("{} keys (the limit is {})", merged.0.len(), limits::METADATA_KEYS_MAX);
            return Err(Refusal::invalid("metadata", reason));
        }
        Ok(merged)
    }
}

impl FromIterator<(String, String)> for MetadataPatch {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(entries: I) -> Self {
        Self(entries.into_iter().map(|(key, value)| (key, Some(value))).collect())
    }
}

fn check_entry(key: &str, value: &str) -> Result<(), Refusal> {
    let refuse = |reason: String| {
        let key = key.chars().take(limits::METADATA_KEY_CHARS_MAX).collect::<String>();
        Err(Refusal::invalid(format!("metadata.{key}"), reason))
    };
    if key.is_empty() || key.chars().count() > limits::METADATA_KEY_CHARS_MAX {
        return refuse(format!("a key has 1 to {} characters", limits::METADATA_KEY_CHARS_MAX));
    }
    if key.contains(['[', ']']) {
        return refuse("a key has no square bracket".into());
    }
    if value.chars().count() > limits::METADATA_VALUE_CHARS_MAX {
        return refuse(format!(
            "a value has at most {} characters",
            limits::METADATA_VALUE_CHARS_MAX
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn patch(json: &str) -> MetadataPatch {
        serde_json::from_str(json).unwrap()
    }

    fn metadata(json: &str) -> Metadata {
        Metadata::default().merged(&patch(json)).unwrap()
    }

    /// `count` keys: `key_0`, `key_1` …
    fn keys(count: usize) -> MetadataPatch {
        (0..count).map(|n| (format!("key_{n}"), "v".to_owned())).collect()
    }

    #[test]
    fn updates_merge_by_key() {
        for (before, update, after) in [
            (r#"{}"#, r#"{}"#, r#"{}"#),
            (r#"{}"#, r#"{"a":"1"}"#, r#"{"a":"1"}"#),
            (r#"{"a":"1"}"#, r#"{"b":"2"}"#, r#"{"a":"1","b":"2"}"#),
            (r#"{"a":"1","b":"2"}"#, r#"{"a":"3"}"#, r#"{"a":"3","b":"2"}"#),
            (r#"{"a":"1","b":"2"}"#, r#"{"a":""}"#, r#"{"b":"2"}"#),
            (r#"{"a":"1","b":"2"}"#, r#"{"a":null}"#, r#"{"b":"2"}"#),
            (r#"{"a":"1"}"#, r#"{"b":""}"#, r#"{"a":"1"}"#),
            (r#"{"a":"1"}"#, r#"{}"#, r#"{"a":"1"}"#),
        ] {
            let merged = metadata(before).merged(&patch(update)).unwrap();
            assert_eq!(serde_json::to_string(&merged).unwrap(), after, "{before} and {update}");
            assert_eq!(merged.is_empty(), after == "{}");
        }
    }

    #[test]
    fn every_limit() {
        let one = |key: String, value: String| MetadataPatch::from_iter([(key, value)]);
        for (key, value, taken) in [
            ("k".repeat(40), "v".repeat(500), true),
            // Characters are counted, not bytes.
            ("ü".repeat(40), "ü".repeat(500), true),
            ("k".repeat(41), "v".into(), false),
            ("ü".repeat(41), "v".into(), false),
            ("k".into(), "v".repeat(501), false),
            (String::new(), "v".into(), false),
            ("a[b".into(), "v".into(), false),
            ("a]b".into(), "v".into(), false),
            ("k".into(), "[v]".into(), true),
        ] {
            let merged = Metadata::default().merged(&one(key.clone(), value.clone()));
            assert_eq!(merged.is_ok(), taken, "{key:?}: {value:?}");
        }
        for (key, value, reason) in [
            ("k".repeat(99), "v".into(), "a key has 1 to 40 characters"),
            ("a[b".into(), "v".into(), "a key has no square bracket"),
            ("k".into(), "v".repeat(501), "a value has at most 500 characters"),
        ] {
            let refusal = Metadata::default().merged(&one(key.clone(), value)).unwrap_err();
            let shown = key.chars().take(40).collect::<String>();
            assert_eq!(refusal, Refusal::invalid(format!("metadata.{shown}"), reason));
        }
    }

    #[test]
    fn the_result_has_at_most_fifty_keys() {
        let full = Metadata::default().merged(&keys(50)).unwrap();
        assert_eq!(full.entries().len(), 50);
        assert_eq!(
            Metadata::default().merged(&keys(51)),
            Err(Refusal::invalid("metadata", "51 keys (the limit is 50)"))
        );
        assert!(full.merged(&patch(r#"{"another":"v"}"#)).is_err());
        // What counts is the result: a key may make room for another one.
        assert!(full.merged(&patch(r#"{"another":"v","key_0":""}"#)).is_ok());
        assert!(full.merged(&patch(r#"{"key_0":"w"}"#)).is_ok());
    }

    #[test]
    fn forms_of_an_update() {
        let one = MetadataPatch::from_iter([("a".to_owned(), "1".to_owned())]);
        for (json, expect) in [(r#"{}"#, MetadataPatch::default()), (r#"{"a":"1"}"#, one)] {
            assert_eq!(patch(json), expect);
            assert_eq!(serde_json::to_string(&expect).unwrap(), json);
            let bytes = rmp_serde::to_vec_named(&expect).unwrap();
            assert_eq!(rmp_serde::from_slice::<MetadataPatch>(&bytes).unwrap(), expect);
        }
        for json in [r#""text""#, "[]", "1", "null", r#"{"a":1}"#, r#"{"a":{"b":"c"}}"#] {
            assert!(serde_json::from_str::<MetadataPatch>(json).is_err(), "{json} was taken");
        }
    }

    fn patches() -> impl Strategy<Value = MetadataPatch> {
        let entry = ("[a-e]", prop_oneof![Just(String::new()), "[x-z]"]);
        prop::collection::vec(entry, 0..8).prop_map(MetadataPatch::from_iter)
    }

    proptest! {
        #[test]
        fn an_update_made_twice_changes_nothing_more(first in patches(), second in patches()) {
            let before = Metadata::default().merged(&first).unwrap();
            let once = before.merged(&second).unwrap();
            prop_assert_eq!(once.merged(&second).unwrap(), once.clone());
            prop_assert!(once.entries().values().all(|value| !value.is_empty()));
        }
    }
}
