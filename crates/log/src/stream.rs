//! The record stream as it lies in the segments: its bytes, and what is stored of its hash tree.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::Arc,
};

use blake3::hazmat::ChainingValue;

use crate::{
    Lsn, Receipt,
    batch::{BatchCursor, BatchHeader, Frame, frame_at},
    buffer::BLOCK_BYTES,
    bytes::{narrow, wide},
    error::{Damage, DamageReason, IoError, ReadError},
    header::{HEADER_BYTES, Owner, Place},
    limits::READ_AHEAD_BYTES,
    proof::{Nodes, prefix_hash},
    segment::{BATCHES_AT, SegmentHeader, SegmentStart, Window, segment_name},
    storage::{Access, Storage},
};

/// Bytes of the stream between two places that are remembered.
const STRIDE_BYTES: u64 = 64 << 10;

/// The record stream of a book up to some record.
pub(crate) struct StoredStream<'s> {
    storage: &'s dyn Storage,
    owner: Owner,
    /// Where its last batch ends.
    end: Place,
    /// Segments that were looked at, by number.
    starts: HashMap<u32, SegmentStart>,
    /// The segment that is read.
    open: Option<Open>,
    /// Batches that were come by: their place by their position in the stream.
    places: BTreeMap<u64, Place>,
    /// Chaining values of complete subtrees, by where they begin and their length.
    subtrees: HashMap<(u64, u64), ChainingValue>,
    /// The last chunks of what comes before segments, by where they begin.
    tails: BTreeMap<u64, Vec<u8>>,
}

/// A segment that is read.
struct Open {
    number: u32,
    window: Window,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordPlace {
    /// Where it begins in the stream.
    pub(crate) position: u64,
    /// Its length with the padding.
    pub(crate) len: usize,
}

impl RecordPlace {
    /// Where it ends in the stream.
    pub(crate) fn end(&self) -> u64 {
        self.position.saturating_add(wide(self.len))
    }
}

impl<'s> StoredStream<'s> {
    /// The stream of a book that ends at `end`, where all before it is on disk.
    pub(crate) fn new(storage: &'s dyn Storage, owner: Owner, end: Place) -> Self {
        Self {
            storage,
            owner,
            end,
            starts: HashMap::new(),
            open: None,
            places: BTreeMap::new(),
            subtrees: HashMap::new(),
            tails: BTreeMap::new(),
        }
    }

    /// Takes note of a batch, so that what follows it is found from there.
    pub(crate) fn hint(&mut self, place: Place) -> Result<(), ReadError> {
        if let Some(header) = self.batch_at(place)? {
            self.places.insert(header.stream, place);
        }
        Ok(())
    }

    /// Where record `lsn` stands; `None` if the stream does not reach it.
    pub(crate) fn find(&mut self, lsn: Lsn) -> Result<Option<RecordPlace>, ReadError> {
        if lsn == Lsn::ZERO {
            return Ok(None);
        }
        let number = self.last_segment(|start| start.first <= lsn)?;
        let start = self.start(number)?;
        self.learn_frontier(number)?;
        let hinted = self.places.range(start.stream..).map(|(_, place)| *place);
        let mut place = Place { segment: number, offset: BATCHES_AT };
        for hinted in hinted.collect::<Vec<_>>() {
            match self.batch_at(hinted)? {
                Some(header) if hinted.segment == number && header.first <= lsn => place = hinted,
                _ => break,
            }
        }
        while let Some(header) = self.batch_at(place)? {
            self.remember(header.stream, place);
            if header.last() >= lsn {
                return self.find_in(header, place, lsn).map(Some);
            }
            place.offset = place.offset.saturating_add(header.frame_len());
        }
        Ok(None)
    }

    /// Where a record stands in its batch.
    fn find_in(
        &mut self,
        header: BatchHeader,
        place: Place,
        lsn: Lsn,
    ) -> Result<RecordPlace, ReadError> {
        let name = segment_name(place.segment);
        let window = self.window(place.segment)?;
        let mut cursor = BatchCursor::new(header, place.offset);
        let records_at = place.offset.saturating_add(wide(HEADER_BYTES));
        while cursor.next_lsn() < lsn {
            let at = cursor.offset();
            let skipped = cursor.skip(window).map_err(IoError::at("read", &name))?;
            skipped.map_err(|reason| damaged(place.segment, at, reason))?;
        }
        let at = cursor.offset();
        let skipped = cursor.skip(window).map_err(IoError::at("read", &name))?;
        skipped.map_err(|reason| damaged(place.segment, at, reason))?;
        let before = at.saturating_sub(records_at);
        let position = header.stream.saturating_add(before);
        Ok(RecordPlace { position, len: narrow(cursor.offset().saturating_sub(at)) })
    }

    /// The receipt of a record; `None` if the stream does not reach it.
    pub(crate) fn receipt(&mut self, lsn: Lsn) -> Result<Option<Receipt>, ReadError> {
        if lsn == Lsn::ZERO {
            return Ok(Some(Receipt::EMPTY));
        }
        let Some(place) = self.find(lsn)? else { return Ok(None) };
        let stream_bytes = place.end();
        let head = prefix_hash(self, stream_bytes)?;
        Ok(Some(Receipt { lsn, stream_bytes, head }))
    }

    /// The last segment of which something holds that holds of all before it, and of the first.
    fn last_segment(&mut self, holds: impl Fn(&SegmentStart) -> bool) -> Result<u32, ReadError> {
        let (mut low, mut high) = (1_u32, self.end.segment.saturating_add(1));
        // It holds of `low`, and not of `high`.
        while high.saturating_sub(low) > 1 {
            let middle = low.midpoint(high);
            if holds(&self.start(middle)?) {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    pub(crate) fn start(&mut self, number: u32) -> Result<SegmentStart, ReadError> {
        if let Some(start) = self.starts.get(&number) {
            return Ok(*start);
        }
        let name = segment_name(number);
        let file = self.storage.open(&name, Access::Read).map_err(IoError::at("open", &name))?;
        let mut bytes = [0; HEADER_BYTES];
        let read = file.read_at(&mut bytes, 0).map_err(IoError::at("read", &name))?;
        let header = bytes.get(..read).unwrap_or_default();
        let start = SegmentStart::decode(header, number).map_err(|r| damaged(number, 0, r))?;
        self.starts.insert(number, start);
        Ok(start)
    }

    /// Takes the subtrees before a segment from its header block: then nothing before them is read.
    pub(crate) fn learn_frontier(&mut self, number: u32) -> Result<(), ReadError> {
        let name = segment_name(number);
        let window = self.window(number)?;
        let block = window.get(0, BLOCK_BYTES).map_err(IoError::at("read", &name))?;
        let header = SegmentHeader::decode(block.unwrap_or_default(), number);
        let header = header.map_err(|reason| damaged(number, 0, reason))?;
        for (start, len, cv) in header.frontier.subtrees() {
            self.subtrees.insert((start, len), cv);
        }
        let tail = header.frontier.last_chunk();
        self.tails
            .insert(header.frontier.stream_len().saturating_sub(wide(tail.len())), tail.to_vec());
        Ok(())
    }

    /// A window on a segment, as far as the stream goes.
    fn window(&mut self, number: u32) -> Result<&mut Window, ReadError> {
        let open = match self.open.take().filter(|open| open.number == number) {
            Some(open) => open,
            None => {
                let name = segment_name(number);
                let opened = self.storage.open(&name, Access::Read);
                let file = opened.map_err(IoError::at("open", &name))?;
                let limit = if number == self.end.segment {
                    self.end.offset
                } else {
                    file.len().map_err(IoError::at("read", &name))?
                };
                Open { number, window: Window::new(Arc::from(file), limit, READ_AHEAD_BYTES) }
            }
        };
        Ok(&mut self.open.insert(open).window)
    }

    /// The batch at a place; `None` where the batches of the segment end.
    fn batch_at(&mut self, place: Place) -> Result<Option<BatchHeader>, ReadError> {
        let owner = self.owner;
        let window = self.window(place.segment)?;
        if place.offset >= window.limit() {
            return Ok(None);
        }
        let frame = frame_at(window, owner, place);
        match frame.map_err(IoError::at("read", &segment_name(place.segment)))? {
            Frame::Batch(header) => Ok(Some(header)),
            Frame::Footer(_) | Frame::End => Ok(None),
            Frame::Broken(reason) => Err(damaged(place.segment, place.offset, reason)),
        }
    }

    fn remember(&mut self, stream: u64, place: Place) {
        let last = self.places.range(..=stream).next_back();
        let near = last.is_some_and(|(at, _)| stream.saturating_sub(*at) < STRIDE_BYTES);
        if !near {
            self.places.insert(stream, place);
        }
    }

    /// What is known of the bytes from `at` on without reading them: the end of what comes before a
    /// segment, which may be archived.
    fn learned(&self, at: u64, len: usize) -> Vec<u8> {
        let Some((start, tail)) = self.tails.range(..=at).next_back() else { return Vec::new() };
        let from = narrow(at.saturating_sub(*start));
        let known = tail.get(from..).unwrap_or_default();
        known.get(..len.min(known.len())).unwrap_or_default().to_vec()
    }

    /// The batch that holds a byte of the stream, or the next batch after it.
    fn locate(&mut self, at: u64) -> Result<Place, ReadError> {
        let number = self.last_segment(|start| start.stream <= at)?;
        let hinted = self.places.range(..=at).next_back().map(|(_, place)| *place);
        let first = Place { segment: number, offset: BATCHES_AT };
        Ok(hinted.filter(|place| place.segment == number).unwrap_or(first))
    }
}

impl Nodes for StoredStream<'_> {
    type Error = ReadError;

    fn bytes(&mut self, at: u64, len: usize) -> Result<Vec<u8>, ReadError> {
        let mut bytes = self.learned(at, len);
        if bytes.len() == len {
            return Ok(bytes);
        }
        let mut place = self.locate(at.saturating_add(wide(bytes.len())))?;
        while bytes.len() < len {
            let Some(header) = self.batch_at(place)? else {
                if place.segment >= self.end.segment {
                    let reason = DamageReason::EndsEarly { synced: Lsn::ZERO };
                    return Err(damaged(place.segment, place.offset, reason));
                }
                place = Place { segment: place.segment.saturating_add(1), offset: BATCHES_AT };
                continue;
            };
            self.remember(header.stream, place);
            let next = at.saturating_add(wide(bytes.len()));
            let within = next.checked_sub(header.stream).ok_or_else(|| {
                let reason = DamageReason::StreamPosition { found: header.stream, expected: next };
                damaged(place.segment, place.offset, reason)
            })?;
            let rest = u64::from(header.records_len).saturating_sub(within);
            let piece = narrow(rest).min(len.saturating_sub(bytes.len()));
            let offset = place.offset.saturating_add(wide(HEADER_BYTES)).saturating_add(within);
            if piece > 0 {
                let name = segment_name(place.segment);
                let window = self.window(place.segment)?;
                let found = window.get(offset, piece).map_err(IoError::at("read", &name))?;
                let found = found
                    .ok_or_else(|| damaged(place.segment, offset, DamageReason::BatchLength))?;
                bytes.extend_from_slice(found);
            }
            place.offset = place.offset.saturating_add(header.frame_len());
        }
        Ok(bytes)
    }

    fn is_cut(&self, range: &Range<u64>) -> bool {
        let mut cuts =
            self.tails.iter().map(|(start, tail)| start.saturating_add(wide(tail.len())));
        cuts.any(|cut| cut > range.start && cut < range.end)
    }

    fn known(&mut self, range: &Range<u64>) -> Result<Option<ChainingValue>, ReadError> {
        let len = range.end.saturating_sub(range.start);
        Ok(self.subtrees.get(&(range.start, len)).copied())
    }
}

fn damaged(segment: u32, offset: u64, reason: DamageReason) -> ReadError {
    ReadError::Damaged(Damage { file: segment_name(segment), offset, reason })
}
