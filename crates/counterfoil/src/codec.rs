//! Between events and the records of the log.

use crate::error::BookError;
use counterfoil_billing::PersonalData;
use counterfoil_core::Timestamp;
use counterfoil_log::{NewEvent, NewRecord, Record, RecordKind, RecordedEvent};
use counterfoil_meter::Block;
use counterfoil_model::{Event, RecordMeta, State};
use std::collections::BTreeMap;
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
    pub(crate) block: Option<Block>,
}

/// The record of a decision on `before`.
pub(crate) fn encode_events(
    before: &State,
    at: Timestamp,
    events: &[Event],
    meta: &RecordMeta,
) -> Result<NewRecord, String> {
    let mut versions: BTreeMap<String, u64> = BTreeMap::new();
    let mut entries = Vec::with_capacity(events.len());
    for event in events {
        let stream = event.stream();
        let version =
            versions.entry(stream).or_insert_with_key(|stream| before.stream_version(stream));
        *version = version.saturating_add(1);
        let stream_version = *version;
        let event_type = event.event_type();
        let personal = match event {
            Event::Billing(event) => event.personal(),
            Event::Book(_) => PersonalData::default(),
        };
        entries.push(NewEvent {
            stream: Arc::from(event.stream().as_str()),
            stream_version,
            type_id: event_type.id,
            schema: event_type.schema,
            body: encode(event)?,
            personal: if personal.is_empty() { Vec::new() } else { encode(&personal)? },
        });
    }
    let meta = encode_meta(meta)?;
    Ok(NewRecord { at: at.unix(), kind: RecordKind::Events, meta, events: entries })
}

/// The record of a refusal that is remembered: it stands outside the streams (point 55).
pub(crate) fn encode_note(at: Timestamp, meta: &RecordMeta) -> Result<NewRecord, String> {
    let meta = encode_meta(meta)?;
    Ok(NewRecord { at: at.unix(), kind: RecordKind::Note, meta, events: Vec::new() })
}

/// The record of a block of meter events.
pub(crate) fn encode_block(
    at: Timestamp,
    block: &Block,
    meta: &RecordMeta,
) -> Result<NewRecord, String> {
    let body = block.encode().map_err(|error| error.to_string())?;
    let entry = NewEvent {
        stream: Arc::from("meters"),
        stream_version: 0,
        type_id: BLOCK_TYPE,
        schema: BLOCK_SCHEMA,
        body,
        personal: Vec::new(),
    };
    let meta = encode_meta(meta)?;
    Ok(NewRecord { at: at.unix(), kind: RecordKind::Block, meta, events: vec![entry] })
}

/// Reads a record back.
pub(crate) fn decode(record: &Record) -> Result<Decoded, BookError> {
    let fail = |reason: String| BookError::Record { lsn: record.lsn, reason };
    let at = Timestamp::from_unix(record.at).map_err(|error| fail(error.to_string()))?;
    let meta = match record.meta.as_slice() {
        [] => RecordMeta::default(),
        bytes => rmp_serde::from_slice(bytes).map_err(|error| fail(error.to_string()))?,
    };
    let mut decoded = Decoded { at, meta, events: Vec::new(), block: None };
    for entry in &record.events {
        if record.kind == RecordKind::Block && entry.type_id == BLOCK_TYPE {
            let block = Block::decode(&entry.body).map_err(|error| fail(error.to_string()))?;
            decoded.block = Some(block);
            continue;
        }
        decoded.events.push(decode_event(entry).map_err(fail)?);
    }
    Ok(decoded)
}

fn decode_event(entry: &RecordedEvent) -> Result<Event, String> {
    let mut event: Event = rmp_serde::from_slice(&entry.body).map_err(|error| error.to_string())?;
    let event_type = event.event_type();
    if (event_type.id, event_type.schema) != (entry.type_id, entry.schema) {
        return Err(format!(
            "type {} version {} holds a {}",
            entry.type_id, entry.schema, event_type.name
        ));
    }
    if !entry.personal.is_empty()
        && let Event::Billing(event) = &mut event
    {
        let personal: PersonalData =
            rmp_serde::from_slice(&entry.personal).map_err(|error| error.to_string())?;
        event.set_personal(personal);
    }
    Ok(event)
}

fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, String> {
    rmp_serde::to_vec_named(value).map_err(|error| error.to_string())
}

fn encode_meta(meta: &RecordMeta) -> Result<Vec<u8>, String> {
    if *meta == RecordMeta::default() {
        return Ok(Vec::new());
    }
    encode(meta)
}
