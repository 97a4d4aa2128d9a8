//! Records: what one command caused, as bytes and back.
//!
//! | byte | bytes | field |
//! |---:|---:|---|
//! | 0 | 4 | CRC-32C over bytes 32..length, then 4..32 |
//! | 4 | 4 | length: header and sections, without the padding |
//! | 8 | 8 | number of the record |
//! | 16 | 8 | time, signed seconds |
//! | 24 | 1 | kind: 1 events, 2 block, 3 note |
//! | 25 | 1 | zero |
//! | 26 | 2 | number of entries |
//! | 28 | 4 | length of the metadata |
//! | 32 | 24 each | inner table, a row for each entry |
//! | | | stream keys, one after the other, UTF-8 |
//! | | | metadata |
//! | | | zeros up to a multiple of 16 |
//! | | | bodies, one after the other |
//! | | | personal payloads, one after the other |
//! | length | | zeros up to a multiple of 16 |
//!
//! A row of the inner table:
//!
//! | byte | bytes | field |
//! |---:|---:|---|
//! | 0 | 2 | length of the stream key |
//! | 2 | 2 | type of the event |
//! | 4 | 2 | version of its schema |
//! | 6 | 2 | zero |
//! | 8 | 8 | version of the stream |
//! | 16 | 4 | length of the body |
//! | 20 | 4 | length of the personal payload |
//!
//! The checksum takes the header last, so that a record is summed before its number is known.

use std::{fmt, sync::Arc};

use crate::{
    Lsn,
    buffer::BlockBuffer,
    bugs::{Bug, planted},
    bytes::{Fields, aligned, is_zero, narrow, put, wide},
    error::{DamageReason, LogError, ShapeError},
    limits::{IN_PLACE_BYTES_MIN, RECORD_BYTES_MAX, RECORD_EVENTS_MAX, STREAM_KEY_BYTES_MAX},
    sum,
};

/// Bytes of the fixed part of a record.
pub(crate) const RECORD_HEADER_BYTES: usize = 32;
const ROW_BYTES: usize = 24;
const LSN_AT: usize = 8;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// The events of one command: at least one entry, each in a stream.
    Events,
    /// An opaque payload, such as a batch of meter events: the body of the first entry, which need
    /// not name a stream. Entries after it are events that the payload caused.
    Block,
    /// What stands outside the streams: no entry names a stream, and there may be none at all.
    Note,
}

impl RecordKind {
    const fn code(self) -> u8 {
        match self {
            Self::Events => 1,
            Self::Block => 2,
            Self::Note => 3,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Events),
            2 => Some(Self::Block),
            3 => Some(Self::Note),
            _ => None,
        }
    }

    /// Whether entries whose stream keys have these lengths fit this kind.
    fn check(self, key_lens: impl Iterator<Item = usize>) -> Result<(), ShapeError> {
        let mut entries: usize = 0;
        for (index, len) in key_lens.enumerate() {
            entries = entries.saturating_add(1);
            match self {
                Self::Note if len > 0 => return Err(ShapeError::StreamInNote),
                Self::Events if len == 0 => return Err(ShapeError::StreamMissing),
                Self::Block if len == 0 && index > 0 => return Err(ShapeError::StreamMissing),
                _ => {}
            }
        }
        if entries == 0 && self != Self::Note { Err(ShapeError::Empty) } else { Ok(()) }
    }
}

/// A record to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// When the command was given, in seconds since 1970; opaque to the log.
    pub at: i64,
    /// What the record is.
    pub kind: RecordKind,
    /// What belongs to the record as a whole; opaque to the log.
    pub meta: Vec<u8>,
    /// The entries; at most [`RECORD_EVENTS_MAX`].
    pub events: Vec<NewEvent>,
}

/// An entry of a record to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// The stream; at most [`STREAM_KEY_BYTES_MAX`] bytes.
    pub stream: Arc<str>,
    /// The version of the stream after this event. The log keeps it and does not check it.
    pub stream_version: u64,
    /// The type of the event; its meaning is the caller's.
    pub type_id: u16,
    /// The version of the schema of `body` and `personal`.
    pub schema: u16,
    /// The encoded event, without what is personal.
    pub body: Vec<u8>,
    /// What is personal, kept in a section of its own so that it can be erased.
    pub personal: Vec<u8>,
}

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub lsn: Lsn,
    /// As given in [`NewRecord::at`].
    pub at: i64,
    /// As given in [`NewRecord::kind`].
    pub kind: RecordKind,
    /// As given in [`NewRecord::meta`].
    pub meta: Vec<u8>,
    /// As given in [`NewRecord::events`], in that order.
    pub events: Vec<RecordedEvent>,
}

/// An entry of a record of the log; each field is as given in [`NewEvent`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// The stream; empty where none was named.
    pub stream: Arc<str>,
    /// The version of the stream after this event.
    pub stream_version: u64,
    /// The type of the event.
    pub type_id: u16,
    /// The version of the schema of `body` and `personal`.
    pub schema: u16,
    /// The encoded event, without what is personal.
    pub body: Vec<u8>,
    /// What is personal.
    pub personal: Vec<u8>,
}

/// A record of the log in the buffer that it was read into: a [`Record`] that is not copied.
#[derive(Clone, Copy)]
pub struct RecordRef<'a>(pub(crate) RecordView<'a>);

/// An entry of a record in the buffer that it was read into: a [`RecordedEvent`] that is not copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRef<'a> {
    /// The stream; empty where none was named.
    pub stream: &'a str,
    /// The version of the stream after this event.
    pub stream_version: u64,
    /// The type of the event.
    pub type_id: u16,
    /// The version of the schema of `body` and `personal`.
    pub schema: u16,
    /// The encoded event, without what is personal.
    pub body: &'a [u8],
    /// What is personal.
    pub personal: &'a [u8],
}

impl RecordedEvent {
    /// The entry as one that is not copied.
    #[must_use]
    pub fn as_ref(&self) -> EventRef<'_> {
        EventRef {
            stream: &self.stream,
            stream_version: self.stream_version,
            type_id: self.type_id,
            schema: self.schema,
            body: &self.body,
            personal: &self.personal,
        }
    }
}

impl<'a> RecordRef<'a> {
    /// Its number.
    #[must_use]
    pub fn lsn(self) -> Lsn {
        self.0.lsn
    }

    /// As given in [`NewRecord::at`].
    #[must_use]
    pub fn at(self) -> i64 {
        self.0.at
    }

    /// As given in [`NewRecord::kind`].
    #[must_use]
    pub fn kind(self) -> RecordKind {
        self.0.kind
    }

    /// As given in [`NewRecord::meta`].
    #[must_use]
    pub fn meta(self) -> &'a [u8] {
        self.0.meta
    }

    /// As given in [`NewRecord::events`], in that order.
    pub fn events(self) -> impl Iterator<Item = EventRef<'a>> {
        let RecordView { table, keys, bodies, personal, .. } = self.0;
        let mut keys = keys.unwrap_or_default();
        let (mut bodies, mut personal) = (Fields(bodies), Fields(personal));
        // The lengths were checked against the sections when the record was taken apart.
        rows(table).map(move |row| EventRef {
            stream: take_key(&mut keys, row.key_len).unwrap_or_default(),
            stream_version: row.stream_version,
            type_id: row.type_id,
            schema: row.schema,
            body: bodies.take(row.body_len).unwrap_or_default(),
            personal: personal.take(row.personal_len).unwrap_or_default(),
        })
    }

    /// Copies the record out of the buffer.
    #[must_use]
    pub fn to_record(self) -> Record {
        let events = self.events().map(|event| RecordedEvent {
            stream: event.stream.into(),
            stream_version: event.stream_version,
            type_id: event.type_id,
            schema: event.schema,
            body: event.body.to_vec(),
            personal: event.personal.to_vec(),
        });
        Record {
            lsn: self.lsn(),
            at: self.at(),
            kind: self.kind(),
            meta: self.meta().to_vec(),
            events: events.collect(),
        }
    }
}

impl fmt::Debug for RecordRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_record().fmt(f)
    }
}

/// A record as bytes that only lacks its number.
pub(crate) struct EncodedRecord {
    /// Room, then the record and its padding.
    buffer: BlockBuffer,
    /// Where the record begins.
    at: usize,
    /// Length without padding.
    len: usize,
    /// Checksum of the sections.
    sections_crc: u32,
}

impl EncodedRecord {
    /// Encodes a record; refuses one that is over a limit or does not fit its kind. A record of at
    /// least [`IN_PLACE_BYTES_MIN`] asks for the memory of a batch, and is encoded where it will
    /// stand if it becomes the first record of one: then it is not copied again. `memory` is told how
    /// many bytes it takes.
    pub(crate) fn new(
        record: &NewRecord,
        memory: impl FnOnce(usize) -> BatchMemory,
    ) -> Result<Self, LogError> {
        let layout = Layout::of(record)?;
        let (mut buffer, at) = if layout.len < IN_PLACE_BYTES_MIN {
            (BlockBuffer::unaligned(aligned(layout.len)), 0)
        } else {
            let BatchMemory { mut buffer, records_at } = memory(aligned(layout.len));
            buffer.resize(records_at);
            (buffer, records_at)
        };
        let bytes = buffer.vec(aligned(layout.len));
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&layout.len32.to_le_bytes());
        bytes.extend_from_slice(&Lsn::ZERO.0.to_le_bytes());
        bytes.extend_from_slice(&record.at.to_le_bytes());
        bytes.extend_from_slice(&[record.kind.code(), 0]);
        bytes.extend_from_slice(&layout.entries16.to_le_bytes());
        bytes.extend_from_slice(&layout.meta32.to_le_bytes());
        for event in &record.events {
            // The limits on key and record, checked by the layout, keep these from saturating.
            let key16 = u16::try_from(event.stream.len()).unwrap_or(u16::MAX);
            let body32 = u32::try_from(event.body.len()).unwrap_or(u32::MAX);
            let personal32 = u32::try_from(event.personal.len()).unwrap_or(u32::MAX);
            bytes.extend_from_slice(&key16.to_le_bytes());
            bytes.extend_from_slice(&event.type_id.to_le_bytes());
            bytes.extend_from_slice(&event.schema.to_le_bytes());
            bytes.extend_from_slice(&[0; 2]);
            bytes.extend_from_slice(&event.stream_version.to_le_bytes());
            bytes.extend_from_slice(&body32.to_le_bytes());
            bytes.extend_from_slice(&personal32.to_le_bytes());
        }
        for event in &record.events {
            bytes.extend_from_slice(event.stream.as_bytes());
        }
        bytes.extend_from_slice(&record.meta);
        let head = aligned(buffer.len().saturating_sub(at));
        buffer.resize(at.saturating_add(head));
        let bytes = buffer.vec(0);
        for event in &record.events {
            bytes.extend_from_slice(&event.body);
        }
        for event in &record.events {
            bytes.extend_from_slice(&event.personal);
        }
        let sections = buffer.bytes().get(at.saturating_add(RECORD_HEADER_BYTES)..);
        let sections_crc = sum::crc32c(sections.unwrap_or_default());
        debug_assert_eq!(buffer.len(), at.saturating_add(layout.len), "the layout is the length");
        buffer.resize(at.saturating_add(aligned(layout.len)));
        Ok(Self { buffer, at, len: layout.len, sections_crc })
    }

    /// Gives the record its number, and returns its checksum.
    pub(crate) fn number(&mut self, lsn: Lsn) -> u32 {
        let bytes = self.buffer.bytes_mut().get_mut(self.at..).unwrap_or_default();
        put(bytes, LSN_AT, &lsn.0.to_le_bytes());
        let header = bytes.get(4..RECORD_HEADER_BYTES).unwrap_or_default();
        let crc = sum::crc32c_append(self.sections_crc, header);
        put(bytes, 0, &crc.to_le_bytes());
        debug_assert_eq!(checksum(bytes.get(..self.len).unwrap_or_default()), crc);
        crc
    }

    /// The record with its padding.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.bytes().get(self.at..).unwrap_or_default()
    }

    /// Bytes with the padding.
    pub(crate) fn padded_len(&self) -> usize {
        aligned(self.len)
    }

    /// Where the record begins in the memory of a batch; `None` if it does not stand in any.
    pub(crate) fn records_at(&self) -> Option<usize> {
        (self.at > 0).then_some(self.at)
    }

    /// The memory in which the record stands, or stood before it was copied.
    pub(crate) fn buffer(&mut self) -> &mut BlockBuffer {
        &mut self.buffer
    }
}

/// Memory for a batch, and where in it the first record will stand.
#[derive(Default)]
pub(crate) struct BatchMemory {
    pub(crate) buffer: BlockBuffer,
    pub(crate) records_at: usize,
}

fn checksum(record: &[u8]) -> u32 {
    let crc = sum::crc32c(record.get(RECORD_HEADER_BYTES..).unwrap_or_default());
    sum::crc32c_append(crc, record.get(4..RECORD_HEADER_BYTES).unwrap_or_default())
}

/// Makes the checksum of a changed record right again, if its length is within `bytes`: for
/// hostile bytes that should get past it. Returns the length with the padding, and the checksum.
pub(crate) fn resum(bytes: &mut [u8]) -> Option<(usize, u32)> {
    let len = stored_len(bytes)?;
    let crc = checksum(bytes.get(..len)?);
    put(bytes, 0, &crc.to_le_bytes());
    Some((aligned(len), crc))
}

/// The lengths of a record that keeps every limit.
struct Layout {
    len: usize,
    len32: u32,
    entries16: u16,
    meta32: u32,
}

impl Layout {
    fn of(record: &NewRecord) -> Result<Self, LogError> {
        let events = record.events.len();
        let too_many = LogError::TooManyEvents { events, max: RECORD_EVENTS_MAX };
        let entries16 = u16::try_from(events).map_err(|_| too_many)?;
        record.kind.check(record.events.iter().map(|event| event.stream.len()))?;
        let mut head = RECORD_HEADER_BYTES
            .saturating_add(events.saturating_mul(ROW_BYTES))
            .saturating_add(record.meta.len());
        let mut payload: usize = 0;
        for event in &record.events {
            let bytes = event.stream.len();
            if bytes > STREAM_KEY_BYTES_MAX {
                return Err(LogError::StreamKeyTooLong { bytes, max: STREAM_KEY_BYTES_MAX });
            }
            head = head.saturating_add(bytes);
            payload = payload.saturating_add(event.body.len()).saturating_add(event.personal.len());
        }
        let len = aligned(head).saturating_add(payload);
        let too_large =
            || LogError::RecordTooLarge { bytes: wide(len), max: wide(RECORD_BYTES_MAX) };
        if len > RECORD_BYTES_MAX {
            return Err(too_large());
        }
        let len32 = u32::try_from(len).map_err(|_| too_large())?;
        let meta32 = u32::try_from(record.meta.len()).map_err(|_| too_large())?;
        Ok(Self { len, len32, entries16, meta32 })
    }
}

/// The length without padding that the header of a record states, if it is a possible one.
pub(crate) fn stored_len(header: &[u8]) -> Option<usize> {
    let mut fields = Fields(header.get(..RECORD_HEADER_BYTES)?);
    fields.u32()?;
    fields.len32().filter(|len| (RECORD_HEADER_BYTES..=RECORD_BYTES_MAX).contains(len))
}

/// A whole record, in the bytes that it was read from.
#[derive(Clone, Copy)]
pub(crate) struct RecordView<'a> {
    /// All of it, padding included: what it is in the record stream.
    pub(crate) bytes: &'a [u8],
    pub(crate) crc: u32,
    lsn: Lsn,
    at: i64,
    kind: RecordKind,
    pub(crate) entries: usize,
    table: &'a [u8],
    /// The stream keys, one after the other; `None` where they are not UTF-8.
    keys: Option<&'a str>,
    meta: &'a [u8],
    bodies: &'a [u8],
    personal: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// Takes record `expected` from the front of `bytes`, and checks all of it. Returns it with
    /// its length, padding included.
    pub(crate) fn parse(bytes: &'a [u8], expected: Lsn) -> Result<(Self, usize), DamageReason> {
        let len = stored_len(bytes).ok_or(DamageReason::RecordLength)?;
        let record = bytes.get(..len).ok_or(DamageReason::RecordLength)?;
        let padded = aligned(len);
        let padding = bytes.get(len..padded).ok_or(DamageReason::RecordLength)?;
        let mut fields = Fields(record);
        let crc = fields.u32().ok_or(DamageReason::RecordLength)?;
        if crc != checksum(record) && !planted(Bug::RecordNotSummed) {
            return Err(DamageReason::RecordChecksum);
        }
        if !is_zero(padding) && !planted(Bug::PaddingNotChecked) {
            return Err(DamageReason::RecordForm("the padding is not zero"));
        }
        let cut = DamageReason::RecordForm("its sections do not fit its length");
        fields.u32();
        let found = Lsn(fields.u64().ok_or(cut)?);
        if found != expected {
            return Err(DamageReason::RecordLsn { found, expected });
        }
        let all = bytes.get(..padded).ok_or(DamageReason::RecordLength)?;
        let view = Self::sections(all, fields, crc, len).ok_or(cut)?;
        view.check()?;
        Ok((view, padded))
    }

    /// Reads what follows the number of the record, which was read last.
    fn sections(bytes: &'a [u8], mut fields: Fields<'a>, crc: u32, len: usize) -> Option<Self> {
        let lsn = Lsn(Fields(bytes.get(LSN_AT..)?).u64()?);
        let at = fields.i64()?;
        let kind = RecordKind::from_code(fields.u8()?)?;
        (fields.u8()? == 0).then_some(())?;
        let entries = usize::from(fields.u16()?);
        let meta_len = fields.len32()?;
        let table = fields.take(entries.checked_mul(ROW_BYTES)?)?;
        let (mut keys_len, mut bodies_len) = (0_usize, 0_usize);
        for row in rows(table) {
            keys_len = keys_len.checked_add(row.key_len)?;
            bodies_len = bodies_len.checked_add(row.body_len)?;
        }
        let keys = std::str::from_utf8(fields.take(keys_len)?).ok();
        let meta = fields.take(meta_len)?;
        let head = len.checked_sub(fields.0.len())?;
        let gap = fields.take(aligned(head).checked_sub(head)?)?;
        is_zero(gap).then_some(())?;
        let bodies = fields.take(bodies_len)?;
        let personal = fields.0;
        Some(Self { bytes, crc, lsn, at, kind, entries, table, keys, meta, bodies, personal })
    }

    /// Takes a record from the front of bytes that this process made or checked before.
    pub(crate) fn trusted(bytes: &'a [u8]) -> Option<Self> {
        let len = stored_len(bytes)?;
        let mut fields = Fields(bytes.get(..len)?);
        let crc = fields.u32()?;
        fields.take(LSN_AT.checked_add(8)?.checked_sub(4)?)?;
        Self::sections(bytes.get(..aligned(len))?, fields, crc, len)
    }

    pub(crate) fn lsn(&self) -> Lsn {
        self.lsn
    }

    pub(crate) fn at(&self) -> i64 {
        self.at
    }

    pub(crate) fn kind(&self) -> RecordKind {
        self.kind
    }

    /// The stream keys of its entries, in order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'a str> {
        let mut keys = self.keys.unwrap_or_default();
        rows(self.table).map(move |row| take_key(&mut keys, row.key_len).unwrap_or_default())
    }

    /// What the checksum does not vouch for: that the writer kept the rules.
    fn check(&self) -> Result<(), DamageReason> {
        let mut personal_len: usize = 0;
        let foreign = DamageReason::RecordForm("a stream key is not UTF-8");
        let mut keys = self.keys.ok_or(foreign)?;
        for row in rows(self.table) {
            personal_len = personal_len.saturating_add(row.personal_len);
            if row.reserved != 0 {
                return Err(DamageReason::RecordForm("a reserved byte is not zero"));
            }
            if row.key_len > STREAM_KEY_BYTES_MAX {
                return Err(DamageReason::RecordForm("a stream key is too long"));
            }
            take_key(&mut keys, row.key_len).ok_or(foreign)?;
        }
        if personal_len != self.personal.len() {
            return Err(DamageReason::RecordForm("its sections do not fit its length"));
        }
        self.kind
            .check(rows(self.table).map(|row| row.key_len))
            .map_err(|_| DamageReason::RecordForm("its entries do not fit its kind"))
    }
}

/// Takes a stream key from the front; `None` where it ends within a character.
fn take_key<'a>(keys: &mut &'a str, len: usize) -> Option<&'a str> {
    let (key, rest) = keys.split_at_checked(len)?;
    *keys = rest;
    Some(key)
}

/// A row of the inner table.
struct Row {
    key_len: usize,
    type_id: u16,
    schema: u16,
    reserved: u16,
    stream_version: u64,
    body_len: usize,
    personal_len: usize,
}

fn rows(table: &[u8]) -> impl Iterator<Item = Row> {
    table.chunks_exact(ROW_BYTES).filter_map(|row| {
        let mut fields = Fields(row);
        Some(Row {
            key_len: usize::from(fields.u16()?),
            type_id: fields.u16()?,
            schema: fields.u16()?,
            reserved: fields.u16()?,
            stream_version: fields.u64()?,
            body_len: narrow(fields.u32()?.into()),
            personal_len: narrow(fields.u32()?.into()),
        })
    })
}
