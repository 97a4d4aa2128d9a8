//! Metadata: a small map of strings on an object (rule 1.6).

use crate::{Refusal, limits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The metadata of an object, in order of keys.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metadata(BTreeMap<String, String>);

/// An update of metadata: it merges by key, and an empty or absent value removes the key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MetadataPatch(BTreeMap<String, Option<String>>);

impl Metadata {
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
    let refuse = |reason: String| Err(Refusal::invalid(format!("metadata.{key}"), reason));
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
