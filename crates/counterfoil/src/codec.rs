//! Between events and the records of the log.

use crate::error::BookError;
use crate::keys::{KeyError, Keys, Place, Sealed};
use crate::{payload, stored};
use counterfoil_billing::customer::CustomerId;
use counterfoil_core::{Refusal, Timestamp};
use counterfoil_log::{
    EventRef, Lsn, NewEvent, NewRecord, Record, RecordKind, RecordRef, RecordedEvent,
};
use counterfoil_meter::Block;
use counterfoil_model::{Event, KeyUse, RecordMeta, State, Target, UpcastError};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// The type number of a block of meter events.
const BLOCK_TYPE: u16 = 500;
/// The version of a block's form.
const BLOCK_SCHEMA: u16 = 1;

/// A record, read.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) at: Timestamp,
    pub(crate) meta: RecordMeta,
    pub(crate) events: Vec<Event>,
    /// The customers whose personal data the events had and have no longer.
    pub(crate) erased: BTreeSet<CustomerId>,
    pub(crate) block: Option<Block>,
}

/// Why a record could not be written or read.
#[derive(Debug)]
pub(crate) enum CodecError {
    Form(String),
    Unknown(UpcastError),
    Key(KeyError),
}

impl CodecError {
    /// The same as what is wrong with a record of a book.
    pub(crate) fn at(self, lsn: Lsn) -> BookError {
        match self {
            Self::Form(reason) => BookError::Record { lsn, reason },
            Self::Unknown(error) => BookError::Unknown { lsn, source: error },
            Self::Key(error) => BookError::Key { lsn, source: error },
        }
    }
}

impl From<KeyError> for CodecError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

fn form(error: impl fmt::Display) -> CodecError {
    CodecError::Form(error.to_string())
}

/// The record of a decision that made `after` out of `before`.
pub(crate) fn encode_events(
    (before, after): (&State, &State),
    at: Timestamp,
    events: &[Event],
    meta: &RecordMeta,
    keys: &Keys,
) -> Result<NewRecord, CodecError> {
    let version = |stream: &str| before.stream_version(stream);
    let entries = encode_each(version, after, events.iter(), keys)?;
    let meta = encode_meta(after, meta, keys)?;
    Ok(NewRecord { at: at.unix(), kind: RecordKind::Events, meta, events: entries })
}

/// What stands in two records that follow each other, of decisions about one customer, of which
/// `version` events had happened. None where an event is of another stream.
pub(crate) fn encode_ahead(
    state: &State,
    version: u64,
    (first, second): (&[Event], &[Event]),
    keys: &Keys,
) -> Option<(Vec<NewEvent>, Vec<NewEvent>)> {
    let mut events = first.iter().chain(second);
    let customer = first.first()?.customer()?;
    if events.clone().any(|event| event.customer() != Some(customer)) {
        return None;
    }
    let mut entries = encode_each(|_| version, state, &mut events, keys).ok()?;
    let second = entries.split_off(first.len().min(entries.len()));
    Some((entries, second))
}

/// Events as they stand in a record, from how many each stream had before and a state that says who can
/// be sealed for.
fn encode_each<'a>(
    version_of: impl Fn(&str) -> u64,
    after: &State,
    events: impl Iterator<Item = &'a Event>,
    keys: &Keys,
) -> Result<Vec<NewEvent>, CodecError> {
    // The streams of a record are few, mostly one.
    let mut versions: Vec<(Arc<str>, u64)> = Vec::new();
    let mut entries = Vec::with_capacity(events.size_hint().0);
    // And so are the customers.
    let mut slot_of: Option<(&CustomerId, Option<u64>)> = None;
    for event in events {
        let name = event.stream();
        let known = versions.iter_mut().find(|(known, _)| **known == *name);
        let (stream, stream_version) = match known {
            Some((known, version)) => {
                *version = version.saturating_add(1);
                (Arc::clone(known), *version)
            }
            None => {
                let version = version_of(&name).saturating_add(1);
                let stream: Arc<str> = name.into();
                versions.push((Arc::clone(&stream), version));
                (stream, version)
            }
        };
        let event_type = event.event_type();
        let mut entry = NewEvent {
            stream,
            stream_version,
            type_id: event_type.id,
            schema: event_type.schema,
            body: payload::encode(event).map_err(form)?,
            personal: Vec::new(),
        };
        let slot = event.customer().and_then(|id| match slot_of {
            Some((known, slot)) if known == id => slot,
            _ => slot_of.insert((id, live_slot(after, id))).1,
        });
        if let Some(slot) = slot {
            let personal = event.personal();
            if !personal.is_empty() {
                let place = Place {
                    what: Sealed::Event,
                    stream: &entry.stream,
                    version: stream_version,
                    type_id: event_type.id,
                    schema: event_type.schema,
                };
                let sealed = keys.seal(slot, place, &encode(&personal)?)?;
                entry.personal = sealed.unwrap_or_default();
            }
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// The key slot of a customer that was not erased.
fn live_slot(state: &State, id: &CustomerId) -> Option<u64> {
    let customer = state.customer(id).ok()?;
    customer.erased.is_none().then_some(customer.key_slot)
}

/// Whether what is personal of a customer can be sealed.
pub(crate) fn can_seal(state: &State, customer: Option<&CustomerId>) -> bool {
    customer.is_some_and(|id| live_slot(state, id).is_some())
}

/// The record of a refusal that is remembered: it stands outside the streams (point 55).
pub(crate) fn encode_note(
    state: &State,
    at: Timestamp,
    meta: &RecordMeta,
    keys: &Keys,
) -> Result<NewRecord, CodecError> {
    let meta = encode_meta(state, meta, keys)?;
    Ok(NewRecord { at: at.unix(), kind: RecordKind::Note, meta, events: Vec::new() })
}

/// The record of a block of meter events.
pub(crate) fn encode_block(at: Timestamp, block: &Block) -> Result<NewRecord, CodecError> {
    let body = block.encode().map_err(form)?;
    let entry = NewEvent {
        stream: Arc::from("meters"),
        stream_version: 0,
        type_id: BLOCK_TYPE,
        schema: BLOCK_SCHEMA,
        body,
        personal: Vec::new(),
    };
    Ok(NewRecord { at: at.unix(), kind: RecordKind::Block, meta: Vec::new(), events: vec![entry] })
}

/// Adds what a block set off to its record: both happen, or neither does.
pub(crate) fn add_events(
    record: &mut NewRecord,
    (before, after): (&State, &State),
    events: &[Event],
    keys: &Keys,
) -> Result<(), CodecError> {
    let version = |stream: &str| before.stream_version(stream);
    record.events.extend(encode_each(version, after, events.iter(), keys)?);
    Ok(())
}

/// Reads a record back. What was sealed with a key that is destroyed is empty.
pub(crate) fn decode(record: &Record, keys: &Keys) -> Result<Decoded, BookError> {
    let entries = record.events.iter().map(RecordedEvent::as_ref);
    let read = decode_parts(record.at, record.kind, &record.meta, entries, keys);
    read.map_err(|error| error.at(record.lsn))
}

/// Reads a record back from the buffer that it was read into, as [`decode`].
pub(crate) fn decode_ref(record: RecordRef<'_>, keys: &Keys) -> Result<Decoded, BookError> {
    let read = decode_parts(record.at(), record.kind(), record.meta(), record.events(), keys);
    read.map_err(|error| error.at(record.lsn()))
}

fn decode_parts<'a>(
    at: i64,
    kind: RecordKind,
    meta: &[u8],
    entries: impl Iterator<Item = EventRef<'a>>,
    keys: &Keys,
) -> Result<Decoded, CodecError> {
    let at = Timestamp::from_unix(at).map_err(form)?;
    let meta = decode_meta(meta, keys)?;
    let (events, erased) =
        (Vec::with_capacity(entries.size_hint().1.unwrap_or(1)), BTreeSet::new());
    let mut decoded = Decoded { at, meta, events, erased, block: None };
    for entry in entries {
        if kind == RecordKind::Block && entry.type_id == BLOCK_TYPE {
            decoded.block = Some(Block::decode(entry.body).map_err(form)?);
            continue;
        }
        let sealed = !entry.personal.is_empty();
        let personal = if sealed { open(entry, keys)? } else { None };
        let bytes = personal.as_deref().unwrap_or_default();
        let event = stored::decode(entry.type_id, entry.schema, entry.body, bytes)?;
        if sealed && personal.is_none() {
            decoded.erased.extend(event.customer().cloned());
        }
        decoded.events.push(event);
    }
    Ok(decoded)
}

/// What is personal in an entry; none where it was erased.
fn open(entry: EventRef<'_>, keys: &Keys) -> Result<Option<Vec<u8>>, KeyError> {
    let place = Place {
        what: Sealed::Event,
        stream: entry.stream,
        version: entry.stream_version,
        type_id: entry.type_id,
        schema: entry.schema,
    };
    keys.open(place, entry.personal)
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    rmp_serde::to_vec_named(value).map_err(form)
}

/// What a record says beside its events, in the form that it has in the log. The fingerprint of a
/// command about a customer is sealed, for it tells what the command said to whoever guesses it.
#[derive(Serialize, Deserialize)]
struct MetaForm {
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<Bytes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<SealedForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<Target>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customer: Option<CustomerId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refusal: Option<Refusal>,
}

#[derive(Serialize, Deserialize)]
struct SealedForm {
    /// The version of the customer's stream after the record.
    version: u64,
    bytes: Bytes,
}

fn encode_meta(after: &State, meta: &RecordMeta, keys: &Keys) -> Result<Vec<u8>, CodecError> {
    let Some(KeyUse { key, fingerprint }) = &meta.key else { return Ok(Vec::new()) };
    let mut form = MetaForm {
        key: key.clone(),
        fingerprint: fingerprint.map(|fingerprint| Bytes(fingerprint.to_vec())),
        sealed: None,
        target: meta.target.clone(),
        customer: meta.customer.clone(),
        refusal: meta.refusal.clone(),
    };
    if let (Some(id), Some(fingerprint)) = (&meta.customer, fingerprint)
        && let Some(slot) = live_slot(after, id)
    {
        let stream = stream_of(id);
        let version = after.stream_version(&stream);
        let sealed = keys.seal(slot, remembered(&stream, version), fingerprint)?;
        form.fingerprint = None;
        form.sealed = sealed.map(|bytes| SealedForm { version, bytes: Bytes(bytes) });
    }
    encode(&form)
}

fn decode_meta(bytes: &[u8], keys: &Keys) -> Result<RecordMeta, CodecError> {
    if bytes.is_empty() {
        return Ok(RecordMeta::default());
    }
    let mut stored: MetaForm = rmp_serde::from_slice(bytes).map_err(form)?;
    if let (Some(id), Some(sealed)) = (&stored.customer, &stored.sealed) {
        let stream = stream_of(id);
        let opened = keys.open(remembered(&stream, sealed.version), &sealed.bytes.0)?;
        stored.fingerprint = opened.map(Bytes);
    }
    let fingerprint = match stored.fingerprint {
        Some(Bytes(bytes)) => {
            let fixed = bytes.try_into().map_err(|_| form("a fingerprint has 32 bytes"))?;
            Some(fixed)
        }
        None => None,
    };
    let MetaForm { key, target, customer, refusal, .. } = stored;
    Ok(RecordMeta { key: Some(KeyUse { key, fingerprint }), target, customer, refusal })
}

fn stream_of(customer: &CustomerId) -> String {
    format!("customer:{customer}")
}

fn remembered(stream: &str, version: u64) -> Place<'_> {
    Place { what: Sealed::Remembered, stream, version, type_id: 0, schema: 0 }
}

/// Bytes as one value, not as a list of numbers.
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}
