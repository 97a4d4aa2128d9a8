//! Free texts and metadata of commands.

use crate::Patch;
use counterfoil_core::{Metadata, MetadataPatch, Refusal, limits};

/// Refuses a text that is longer than its limit.
///
/// # Errors
/// [`Refusal::ParameterInvalid`].
pub fn check(param: &str, text: &str) -> Result<(), Refusal> {
    let length = text.chars().count();
    if length > limits::TEXT_CHARS_MAX {
        let reason = format!("{length} characters (the limit is {})", limits::TEXT_CHARS_MAX);
        return Err(Refusal::invalid(param, reason));
    }
    Ok(())
}

/// [`check`] for a text that may be absent.
///
/// # Errors
/// [`Refusal::ParameterInvalid`].
pub fn check_optional(param: &str, text: Option<&str>) -> Result<(), Refusal> {
    text.map_or(Ok(()), |text| check(param, text))
}

/// Metadata after an update; `null` clears all of it.
pub(crate) fn patched_metadata(
    old: &Metadata,
    patch: &Patch<MetadataPatch>,
) -> Result<Metadata, Refusal> {
    match patch {
        Patch::Keep => Ok(old.clone()),
        Patch::Clear => Ok(Metadata::default()),
        Patch::Set(patch) => old.merged(patch),
    }
}
