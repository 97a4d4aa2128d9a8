//! The record stream as it lies in the segments: its bytes, and what is stored of its hash tree.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
    sync::Arc,
};

use blake3::hazmat::ChainingValue;

use crate::{
    Lsn, Receipt,
    batch::{BatchCursor, BatchHeader, Frame, frame_at},
    buffer::BLOCK_BYTES,
    bytes::{narrow, wide},
    catalog::damaged,
    error::{DamageReason, IoError, ReadError},
    footer::{self, Section},
    header::{HEADER_BYTES, Owner, Place},
    index::PlaceRow,
    limits::READ_AHEAD_BYTES,
    proof::{Nodes, prefix_hash},
    segment::{BATCHES_AT, SegmentHeader, SegmentStart, Window, segment_name},
    shelf::open_segment,
    storage::Storage,
    tree::GROUP_BYTES,
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
    /// Batches that are known: first record and place, by their position in the stream.
    places: BTreeMap<u64, (Lsn, Place)>,
    /// Segments whose place index was read.
    indexed: BTreeSet<u32>,
    /// Chaining values of complete subtrees, by where they begin and their length.
    subtrees: HashMap<(u64, u64), ChainingValue>,
    /// What a footer says of its groups: the segment, the first group, and their chaining values.
    groups: Option<(u32, u64, Vec<ChainingValue>)>,
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
            indexed: BTreeSet::new(),
            groups: None,
            subtrees: HashMap::new(),
            tails: BTreeMap::new(),
        }
    }

    /// Takes note of batches of a segment, so that what follows them is found from there.
    pub(crate) fn learn_places(&mut self, segment: u32, rows: &[PlaceRow]) {
        for row in rows {
            let place = Place { segment, offset: row.offset };
            if segment != self.end.segment || row.offset < self.end.offset {
                self.places.insert(row.stream, (row.first, place));
            }
        }
        self.indexed.insert(segment);
    }

    /// Where record `lsn` stands; `None` if the stream does not reach it.
    pub(crate) fn find(&mut self, lsn: Lsn) -> Result<Option<RecordPlace>, ReadError> {
        if lsn == Lsn::ZERO {
            return Ok(None);
        }
        let number = self.last_segment(|start| start.first <= lsn)?;
        let start = self.start(number)?;
        self.learn_frontier(number)?;
        self.read_places(number)?;
        let known = self.places.range(start.stream..).map(|(_, known)| *known);
        let in_segment =
            known.take_while(|(first, place)| place.segment == number && *first <= lsn);
        let first = Place { segment: number, offset: BATCHES_AT };
        let mut place = in_segment.last().map_or(first, |(_, place)| place);
        while let Some(header) = self.batch_at(place)? {
            self.remember(&header, place);
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
        let file = open_segment(self.storage, number).map_err(IoError::at("open", &name))?;
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
                let opened = open_segment(self.storage, number);
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
            Frame::End | Frame::Footer(_) => Ok(None),
            Frame::Broken(reason) => Err(damaged(place.segment, place.offset, reason)),
        }
    }

    fn remember(&mut self, header: &BatchHeader, place: Place) {
        let last = self.places.range(..=header.stream).next_back();
        let near = last.is_some_and(|(at, _)| header.stream.saturating_sub(*at) < STRIDE_BYTES);
        if !near {
            self.places.insert(header.stream, (header.first, place));
        }
    }

    /// Takes note of the batches that the footer of a sealed segment names.
    fn read_places(&mut self, number: u32) -> Result<(), ReadError> {
        if number < self.end.segment && !self.indexed.contains(&number) {
            let rows = self.section(number, Section::Places)?;
            self.learn_places(number, &footer::place_rows(&rows));
        }
        Ok(())
    }

    /// A section of the footer of a sealed segment.
    fn section(&mut self, number: u32, section: Section) -> Result<Vec<u8>, ReadError> {
        let name = segment_name(number);
        let owner = self.owner;
        let window = self.window(number)?;
        let found = footer::find(window, owner, number).map_err(IoError::at("read", &name))?;
        let (place, header) = found.map_err(|(offset, reason)| damaged(number, offset, reason))?;
        let rows = footer::read_section(window, owner, place, &header, section);
        let at = place.offset.saturating_add(header.section_start(section));
        let rows = rows.map_err(IoError::at("read", &name))?;
        Ok(rows.map_err(|reason| damaged(number, at, reason))?.to_vec())
    }

    /// The chaining value of a group that ends in a sealed segment.
    fn group(&mut self, index: u64) -> Result<Option<ChainingValue>, ReadError> {
        let find = |groups: &Option<(u32, u64, Vec<ChainingValue>)>| {
            let (_, first, values) = groups.as_ref()?;
            values.get(narrow(index.checked_sub(*first)?)).copied()
        };
        if let Some(cv) = find(&self.groups) {
            return Ok(Some(cv));
        }
        let end = index.saturating_add(1).saturating_mul(GROUP_BYTES);
        let number = self.last_segment(|start| start.stream < end)?;
        if number >= self.end.segment {
            return Ok(None);
        }
        let first = self.start(number)?.stream / GROUP_BYTES;
        let rows = self.section(number, Section::Groups)?;
        let (values, _) = rows.as_chunks();
        self.groups = Some((number, first, values.to_vec()));
        Ok(find(&self.groups))
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
        self.read_places(number)?;
        let known = self.places.range(..=at).next_back().map(|(_, (_, place))| *place);
        let first = Place { segment: number, offset: BATCHES_AT };
        Ok(known.filter(|place| place.segment == number).unwrap_or(first))
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
            self.remember(&header, place);
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
        if let Some(cv) = self.subtrees.get(&(range.start, len)) {
            return Ok(Some(*cv));
        }
        let is_group = len == GROUP_BYTES && range.start.is_multiple_of(GROUP_BYTES);
        if is_group { self.group(range.start / GROUP_BYTES) } else { Ok(None) }
    }
}
