//! Events in the form in which they are stored, before they are sealed: what the corpus keeps, and
//! what the fuzzer makes up.

use crate::codec::CodecError;
use crate::{payload, quick};
use counterfoil_billing::{PersonalData, Stored};
use counterfoil_core::Value;
use counterfoil_model::{Event, UpcastError, known_type, upcast};
use serde::Serialize;

/// An event as it is stored, but for the sealing of what is personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// The number of its type.
    pub type_id: u16,
    /// The version of its form.
    pub schema: u16,
    /// Its body.
    pub body: Vec<u8>,
    /// What is personal; empty where nothing is, or it was erased.
    pub personal: Vec<u8>,
}

/// Why stored bytes are no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoredError {
    /// Its type or form is not known here.
    #[error(transparent)]
    Unknown(#[from] UpcastError),
    /// The bytes are not what the form says.
    #[error("{0}")]
    Form(String),
}

impl StoredEvent {
    /// An event in its present form.
    ///
    /// # Errors
    /// [`StoredError::Form`] for what cannot be encoded.
    pub fn encode(event: &Event) -> Result<Self, StoredError> {
        let known = event.event_type();
        let personal = event.personal();
        let bytes = if personal.is_empty() { Vec::new() } else { encode(&personal)? };
        let body = payload::encode(event).map_err(StoredError::Form)?;
        Ok(Self { type_id: known.id, schema: known.schema, body, personal: bytes })
    }

    /// The event, brought to its present form.
    ///
    /// # Errors
    /// [`StoredError`].
    pub fn decode(&self) -> Result<Event, StoredError> {
        decode(self.type_id, self.schema, &self.body, &self.personal)
    }
}

/// The event that bytes of a form stand for, brought to its present form.
pub(crate) fn decode(
    type_id: u16,
    schema: u16,
    body: &[u8],
    personal: &[u8],
) -> Result<Event, StoredError> {
    let known = known_type(type_id, schema)?;
    if schema == known.schema {
        let mut event = match quick::event(type_id, body) {
            Some(event) => event,
            None => payload::decode(known, body).map_err(StoredError::Form)?,
        };
        if !personal.is_empty() {
            event.set_personal(rmp_serde::from_slice(personal).map_err(form)?);
        }
        return Ok(event);
    }
    let personal = match personal {
        [] => Value::Null,
        bytes => rmp_serde::from_slice(bytes).map_err(form)?,
    };
    let mut stored = Stored { body: rmp_serde::from_slice(body).map_err(form)?, personal };
    upcast(type_id, schema, &mut stored)?;
    let mut event = payload::decode(known, &encode(&stored.body)?).map_err(StoredError::Form)?;
    if stored.personal != Value::Null {
        let personal: PersonalData =
            rmp_serde::from_slice(&encode(&stored.personal)?).map_err(form)?;
        event.set_personal(personal);
    }
    Ok(event)
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StoredError> {
    rmp_serde::to_vec_named(value).map_err(form)
}

fn form(error: impl std::fmt::Display) -> StoredError {
    StoredError::Form(error.to_string())
}

impl From<StoredError> for CodecError {
    fn from(error: StoredError) -> Self {
        match error {
            StoredError::Unknown(error) => Self::Unknown(error),
            StoredError::Form(reason) => Self::Form(reason),
        }
    }
}

/// Takes any bytes for an event: the first two are the type, the next two the form, the fifth says
/// how much of the rest is personal. For the fuzzer.
///
/// # Panics
/// Where an event that is read is not written and read again as itself.
pub fn fuzz_decode(bytes: &[u8]) {
    let [low, high, form_low, form_high, share, rest @ ..] = bytes else { return };
    let body_len = rest.len().saturating_sub(usize::from(*share)).min(rest.len());
    let (body, personal) = rest.split_at(body_len);
    let stored = StoredEvent {
        type_id: u16::from_le_bytes([*low, *high]),
        schema: u16::from_le_bytes([*form_low, *form_high]),
        body: body.to_vec(),
        personal: personal.to_vec(),
    };
    let Ok(event) = stored.decode() else { return };
    let again = StoredEvent::encode(&event).and_then(|stored| stored.decode());
    assert_eq!(again.as_ref(), Ok(&event), "an event is not read as it was written");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn hostile_bytes_are_an_error(
            type_id in prop::sample::select(vec![1_u16, 200, 206, 300, 400, 401, 412, 417]),
            form in 0_u16..4,
            share in any::<u8>(),
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut bytes = [type_id.to_le_bytes(), form.to_le_bytes()].concat();
            bytes.push(share);
            bytes.extend(rest);
            fuzz_decode(&bytes);
        }
    }
}
