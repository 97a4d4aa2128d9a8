//! Commit batches: the unit that is written, synced and, where a crash tore it, cut.
//!
//! A batch is a header (see [`header`](crate::header)) and its records, one directly after the
//! other:
//!
//! | byte | bytes | field |
//! |---:|---:|---|
//! | 0 | 12 | magic `CFLBATCH`, checksum over the book id, the place of the batch and its header |
//! | 12 | 4 | length of the records, padding included |
//! | 16 | 4 | number of records, at least 1 |
//! | 20 | 4 | CRC-32C over the checksums of the records, in order |
//! | 24 | 8 | number of the first record |
//! | 32 | 8 | synced-through mark: the last record known to be synced when the batch was written |
//! | 40 | 8 | stream position: bytes of all records before the first one |
//! | 48 | 16 | zero |
//!
//! So every byte is summed once: by the header, or by its record, whose checksum the header holds
//! in turn. The header is bound to its book and place; the records are bound to their numbers.

use std::io;

use crate::{
    Lsn,
    buffer::{BLOCK_BYTES, BlockBuffer},
    bytes::{ALIGN, aligned, is_zero, narrow, put, wide},
    error::DamageReason,
    footer::{self, FooterHeader},
    header::{self, HEADER_BYTES, Owner, Place},
    limits::{PENDING_BYTES_MAX, RECORD_BYTES_MAX},
    record::{BatchMemory, EncodedRecord, RECORD_HEADER_BYTES, RecordView, stored_len},
    segment::Window,
    sum,
};

pub(crate) const MAGIC: [u8; 8] = *b"CFLBATCH";
/// A record begins with its checksum, of so many bytes.
const CRC_BYTES: usize = 4;

/// The header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) records_len: u32,
    pub(crate) count: u32,
    pub(crate) records_crc: u32,
    pub(crate) first: Lsn,
    /// The synced-through mark.
    pub(crate) synced: Lsn,
    /// Bytes of the record stream before the first record.
    pub(crate) stream: u64,
}

impl BatchHeader {
    pub(crate) fn encode(&self, owner: Owner, place: Place) -> [u8; HEADER_BYTES] {
        let fields: [&[u8]; 6] = [
            &self.records_len.to_le_bytes(),
            &self.count.to_le_bytes(),
            &self.records_crc.to_le_bytes(),
            &self.first.0.to_le_bytes(),
            &self.synced.0.to_le_bytes(),
            &self.stream.to_le_bytes(),
        ];
        header::seal(owner, place, MAGIC, &fields)
    }

    pub(crate) fn decode(bytes: &[u8], owner: Owner, place: Place) -> Result<Self, DamageReason> {
        let mut fields = header::unseal(owner, place, MAGIC, bytes)?;
        let cut = DamageReason::HeaderCut;
        let header = Self {
            records_len: fields.u32().ok_or(cut)?,
            count: fields.u32().ok_or(cut)?,
            records_crc: fields.u32().ok_or(cut)?,
            first: Lsn(fields.u64().ok_or(cut)?),
            synced: Lsn(fields.u64().ok_or(cut)?),
            stream: fields.u64().ok_or(cut)?,
        };
        if !is_zero(fields.0) {
            return Err(DamageReason::HeaderForm("a reserved byte is not zero"));
        }
        if header.count == 0 {
            return Err(DamageReason::HeaderForm("a batch without a record"));
        }
        if header.synced >= header.first {
            return Err(DamageReason::HeaderForm("the synced-through mark is in the batch"));
        }
        Ok(header)
    }

    /// The last record of the batch.
    pub(crate) fn last(&self) -> Lsn {
        self.first.plus(u64::from(self.count)).previous()
    }

    /// Bytes of header and records.
    pub(crate) fn frame_len(&self) -> u64 {
        wide(HEADER_BYTES).saturating_add(u64::from(self.records_len))
    }
}

/// What a batch learns when it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchStart {
    pub(crate) owner: Owner,
    pub(crate) place: Place,
    /// The synced-through mark.
    pub(crate) synced: Lsn,
    /// Bytes of the record stream before the batch.
    pub(crate) stream: u64,
}

/// Records that were appended and not yet written, in the form in which they will be: where the
/// batch will begin is mostly known before, and then nothing is moved before it is written.
#[derive(Debug)]
pub(crate) struct PendingBatch {
    /// Room for what comes before the batch in its first block, room for the header, the records.
    buffer: BlockBuffer,
    /// Where the batch begins in its first block.
    lead: usize,
    /// Bytes of header and records.
    frame_len: usize,
    first: Lsn,
    count: u32,
    records_crc: u32,
}

impl PendingBatch {
    /// An empty batch that will begin with record `first`, and likely `lead` bytes after the start
    /// of a block, in a buffer used before.
    pub(crate) fn new(first: Lsn, lead: usize, mut buffer: BlockBuffer) -> Self {
        buffer.resize(lead.saturating_add(HEADER_BYTES));
        Self { buffer, lead, frame_len: HEADER_BYTES, first, count: 0, records_crc: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn frame_len(&self) -> usize {
        self.frame_len
    }

    /// Memory in which a large record may be encoded, laid out for the place of this batch.
    pub(crate) fn memory(&self, buffer: BlockBuffer) -> BatchMemory {
        BatchMemory { buffer, records_at: self.lead.saturating_add(HEADER_BYTES) }
    }

    /// Adds the record that follows, and returns its number. Where a batch begins with a record
    /// that stands in memory of its own kind, that memory becomes its own, in exchange.
    pub(crate) fn push(&mut self, record: &mut EncodedRecord) -> Lsn {
        let lsn = self.first.plus(u64::from(self.count));
        let len = record.padded_len();
        let crc = record.number(lsn);
        self.records_crc = sum::crc32c_append(self.records_crc, &crc.to_le_bytes());
        match record.records_at() {
            Some(at) if self.is_empty() => {
                std::mem::swap(&mut self.buffer, record.buffer());
                self.lead = at.saturating_sub(HEADER_BYTES);
            }
            _ => self.buffer.extend(record.bytes()),
        }
        self.frame_len = self.frame_len.saturating_add(len);
        self.count = self.count.saturating_add(1);
        lsn
    }

    pub(crate) fn first(&self) -> Lsn {
        self.first
    }

    /// Number of records.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The record after the last one.
    pub(crate) fn next(&self) -> Lsn {
        self.first.plus(u64::from(self.count))
    }

    /// The records, as they will stand in the stream.
    pub(crate) fn records(&self) -> &[u8] {
        let start = self.lead.saturating_add(HEADER_BYTES);
        let end = self.lead.saturating_add(self.frame_len);
        self.buffer.bytes().get(start..end).unwrap_or_default()
    }

    /// Writes the header for this place, and returns the blocks that the batch lies in: `tail` are
    /// the bytes that come before it in its first block, and zeros follow it in its last one.
    pub(crate) fn seal(&mut self, from: &BatchStart, tail: &[u8]) -> &[u8] {
        let BatchStart { owner, place, synced, stream } = *from;
        let header = BatchHeader {
            // The bounds on pending bytes and on a record keep this far below 4 GiB.
            records_len: u32::try_from(self.frame_len.saturating_sub(HEADER_BYTES))
                .unwrap_or(u32::MAX),
            count: self.count,
            records_crc: self.records_crc,
            first: self.first,
            synced,
            stream,
        };
        if self.lead != tail.len() {
            self.buffer.shift(self.lead, tail.len());
            self.lead = tail.len();
        }
        let end = self.lead.saturating_add(self.frame_len);
        self.buffer.resize(end.checked_next_multiple_of(BLOCK_BYTES).unwrap_or(end));
        put(self.buffer.bytes_mut(), 0, tail);
        put(self.buffer.bytes_mut(), self.lead, &header.encode(owner, place));
        self.buffer.bytes()
    }

    /// What comes before the next batch in its first block: the part of a block that a sealed batch
    /// ends with.
    pub(crate) fn tail(&self) -> &[u8] {
        let end = self.lead.saturating_add(self.frame_len);
        let start = end.saturating_sub(end.checked_rem(BLOCK_BYTES).unwrap_or(0));
        self.buffer.bytes().get(start..end).unwrap_or_default()
    }

    /// Bytes of memory that it takes.
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// The buffer, to be used again.
    pub(crate) fn into_buffer(self) -> BlockBuffer {
        self.buffer
    }
}

/// What stands at a place where a batch may begin.
pub(crate) enum Frame {
    /// A header that is whole; its records are still to be checked.
    Batch(BatchHeader),
    /// The header of a footer that is whole; its sections are still to be checked.
    Footer(FooterHeader),
    /// Only zeros from here to the end of the file, or its end.
    End,
    /// Something else.
    Broken(DamageReason),
}

/// Looks at the place that the window reads up to its limit.
pub(crate) fn frame_at(window: &mut Window, owner: Owner, place: Place) -> io::Result<Frame> {
    let rest = narrow(window.limit().saturating_sub(place.offset));
    let bytes = window.get(place.offset, rest.min(HEADER_BYTES))?.unwrap_or_default();
    if is_zero(bytes) {
        let end = window.content_end(place.offset)?;
        let broken = Frame::Broken(DamageReason::HeaderMagic);
        return Ok(if end == place.offset { Frame::End } else { broken });
    }
    if bytes.starts_with(&footer::MAGIC) {
        return Ok(match FooterHeader::decode(bytes, owner, place) {
            Ok(header) if place.offset.saturating_add(header.len()) > window.limit() => {
                Frame::Broken(DamageReason::BatchLength)
            }
            Ok(header) => Frame::Footer(header),
            Err(reason) => Frame::Broken(reason),
        });
    }
    Ok(match BatchHeader::decode(bytes, owner, place) {
        Ok(header) if place.offset.saturating_add(header.frame_len()) > window.limit() => {
            Frame::Broken(DamageReason::BatchLength)
        }
        Ok(header) => Frame::Batch(header),
        Err(reason) => Frame::Broken(reason),
    })
}

/// The highest synced-through mark in a whole header of a batch or footer after `offset`.
pub(crate) fn later_mark(
    window: &mut Window,
    owner: Owner,
    segment: u32,
    offset: u64,
) -> io::Result<Lsn> {
    let mut mark = Lsn::ZERO;
    let step = wide(ALIGN);
    let mut at = offset.saturating_add(1).checked_next_multiple_of(step).unwrap_or(u64::MAX);
    while let Some(bytes) = window.get(at, HEADER_BYTES)? {
        let place = Place { segment, offset: at };
        if bytes.starts_with(&MAGIC) {
            if let Ok(header) = BatchHeader::decode(bytes, owner, place) {
                mark = mark.max(header.synced);
            }
        } else if bytes.starts_with(&footer::MAGIC)
            && let Ok(header) = FooterHeader::decode(bytes, owner, place)
        {
            mark = mark.max(header.synced);
        }
        at = at.saturating_add(step);
    }
    Ok(mark)
}

/// The next header after `offset` that is whole and stands at its own place.
pub(crate) fn next_header(
    window: &mut Window,
    owner: Owner,
    segment: u32,
    offset: u64,
) -> io::Result<Option<(u64, BatchHeader)>> {
    let step = wide(ALIGN);
    let mut at = offset.saturating_add(1).checked_next_multiple_of(step).unwrap_or(u64::MAX);
    while let Some(bytes) = window.get(at, HEADER_BYTES)? {
        if bytes.starts_with(&MAGIC)
            && let Ok(header) = BatchHeader::decode(bytes, owner, Place { segment, offset: at })
        {
            return Ok(Some((at, header)));
        }
        at = at.saturating_add(step);
    }
    Ok(None)
}

/// Walks over the records of one batch.
pub(crate) struct BatchCursor {
    header: BatchHeader,
    /// Where the batch begins.
    start: u64,
    /// Where the next record begins.
    offset: u64,
    end: u64,
    next: Lsn,
    /// Sum over the checksums so far; `None` once a record was skipped unseen.
    crc: Option<u32>,
}

impl BatchCursor {
    /// Begins with the first record of the batch at `offset`.
    pub(crate) fn new(header: BatchHeader, offset: u64) -> Self {
        let end = offset.saturating_add(header.frame_len());
        let start = offset;
        let offset = offset.saturating_add(wide(HEADER_BYTES));
        Self { header, start, offset, end, next: header.first, crc: Some(0) }
    }

    /// Checks, without reading more than their headers, that the records are those of the batch.
    /// Each is then bound to the batch, and so to the book, by its checksum alone.
    pub(crate) fn prove(&self, window: &mut Window) -> io::Result<Result<(), DamageReason>> {
        let mut walk = Self::new(self.header, self.start);
        let mut sum = 0;
        while walk.next <= self.header.last() {
            let len = match walk.padded_len(window)? {
                Ok(len) => len,
                Err(reason) => return Ok(Err(reason)),
            };
            let crc = window.get(walk.offset, CRC_BYTES)?.unwrap_or_default();
            sum = sum::crc32c_append(sum, crc);
            walk.pass(len);
        }
        let whole = sum == self.header.records_crc && walk.offset == walk.end;
        Ok(if whole { Ok(()) } else { Err(DamageReason::BatchChecksum) })
    }

    /// The record that comes next.
    pub(crate) fn next_lsn(&self) -> Lsn {
        self.next
    }

    /// Where it begins, or where the batch ends.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether all records of the batch were passed.
    pub(crate) fn is_done(&self) -> bool {
        self.next > self.header.last()
    }

    /// Whether the next record can be looked at without reading more.
    pub(crate) fn is_held(&self, window: &Window) -> bool {
        let header = window.held(self.offset, RECORD_HEADER_BYTES);
        let len = header.and_then(stored_len).map(aligned);
        len.is_some_and(|len| window.held(self.offset, len).is_some())
    }

    /// Passes over a record without checking it.
    pub(crate) fn skip(&mut self, window: &mut Window) -> io::Result<Result<(), DamageReason>> {
        let len = self.padded_len(window)?;
        Ok(len.map(|len| {
            self.crc = None;
            self.pass(len);
        }))
    }

    /// The next record, checked; `None` after the last one. With the last one the batch as a whole
    /// is checked.
    pub(crate) fn advance<'w>(
        &mut self,
        window: &'w mut Window,
    ) -> io::Result<Result<Option<RecordView<'w>>, DamageReason>> {
        if self.is_done() {
            return Ok(Ok(None));
        }
        let len = match self.padded_len(window)? {
            Ok(len) => len,
            Err(reason) => return Ok(Err(reason)),
        };
        let bytes = window.get(self.offset, len)?.unwrap_or_default();
        Ok(RecordView::parse(bytes, self.next).and_then(|(view, len)| {
            self.crc = self.crc.map(|sum| sum::crc32c_append(sum, &view.crc.to_le_bytes()));
            let sum = self.crc;
            self.pass(len);
            if self.next > self.header.last() {
                if self.offset != self.end {
                    return Err(DamageReason::HeaderForm("its records do not fill the batch"));
                }
                if sum.is_some_and(|sum| sum != self.header.records_crc) {
                    return Err(DamageReason::BatchChecksum);
                }
            }
            Ok(Some(view))
        }))
    }

    fn pass(&mut self, len: usize) {
        self.offset = self.offset.saturating_add(wide(len));
        self.next = self.next.next();
    }

    /// Length of the next record with its padding, which lies within the batch.
    fn padded_len(&self, window: &mut Window) -> io::Result<Result<usize, DamageReason>> {
        let rest = narrow(self.end.saturating_sub(self.offset));
        let head = rest.min(RECORD_HEADER_BYTES);
        let header = window.get(self.offset, head)?.unwrap_or_default();
        let len = stored_len(header).map(aligned);
        Ok(len.filter(|len| *len <= rest).ok_or(DamageReason::RecordLength))
    }
}

const _: () =
    assert!(RECORD_BYTES_MAX + PENDING_BYTES_MAX < 1 << 31, "the length of a batch fits its field");
