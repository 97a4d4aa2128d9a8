//! Finds records in a book: in the active segment by the rows in memory, in sealed ones by those in
//! their footers, which are read and checked when they are needed and kept as long as there is room.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use crate::{
    Lsn,
    error::{Damage, IoError, ReadError},
    footer::{self, FooterHeader, Section},
    header::{HEADER_BYTES, Owner, Place},
    index::{PlaceRow, Rows, StreamRow, locate},
    limits::{INDEX_CACHE_BYTES_MAX, LOOKUP_BYTES},
    segment::{BATCHES_AT, SegmentStart, Window, segment_name},
    storage::{Access, Storage},
};

/// What is known of the segments of a book.
pub(crate) struct Catalog {
    storage: Arc<dyn Storage>,
    owner: Owner,
    active: RwLock<Active>,
    cache: Mutex<Cache>,
}

/// The active segment.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    pub(crate) segment: u32,
    /// Its first record.
    pub(crate) first: Lsn,
    pub(crate) rows: Rows,
}

/// What was read of sealed segments. A first record and a footer header take some 100 bytes for
/// each segment that was looked at; the rows are bounded together.
#[derive(Default)]
struct Cache {
    firsts: BTreeMap<u32, Lsn>,
    footers: BTreeMap<u32, (Place, FooterHeader)>,
    places: BTreeMap<u32, Kept<PlaceRow>>,
    streams: BTreeMap<u32, Kept<StreamRow>>,
    bytes: usize,
    /// Rises with each use.
    now: u64,
}

/// What the stream index says of a stretch of records.
pub(crate) struct Span {
    pub(crate) first: Lsn,
    pub(crate) through: Lsn,
    /// Those of them that may have an entry in the stream, in order. All others have none.
    pub(crate) hits: Vec<Lsn>,
}

struct Kept<T> {
    rows: Arc<[T]>,
    used: u64,
}

impl Catalog {
    pub(crate) fn new(storage: Arc<dyn Storage>, owner: Owner, active: Active) -> Self {
        Self { storage, owner, active: RwLock::new(active), cache: Mutex::default() }
    }

    pub(crate) fn owner(&self) -> Owner {
        self.owner
    }

    pub(crate) fn active(&self) -> RwLockReadGuard<'_, Active> {
        self.active.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn active_mut(&self) -> RwLockWriteGuard<'_, Active> {
        self.active.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A batch at or before the one that holds `lsn`.
    pub(crate) fn locate(&self, lsn: Lsn) -> Result<Place, ReadError> {
        let (segment, places) = {
            let active = self.active();
            if lsn >= active.first || active.segment == 1 {
                let offset = locate(&active.rows.places, lsn).map_or(BATCHES_AT, |row| row.offset);
                return Ok(Place { segment: active.segment, offset });
            }
            let last = active.segment;
            drop(active);
            let segment = self.segment_of(lsn, last)?;
            (segment, self.places(segment)?)
        };
        let offset = locate(&places, lsn).map_or(BATCHES_AT, |row| row.offset);
        Ok(Place { segment, offset })
    }

    /// Those of the `wanted` records that may have an entry in the stream whose key has a hash, in
    /// the stretch of records around `at` that one index knows of.
    pub(crate) fn span(
        &self,
        hash: u64,
        at: Lsn,
        wanted: &RangeInclusive<Lsn>,
    ) -> Result<Span, ReadError> {
        let last = {
            let active = self.active();
            if at >= active.first || active.segment == 1 {
                if at > active.rows.through {
                    // Not taken into the rows yet: it has to be looked at.
                    return Ok(Span { first: at, through: at, hits: vec![at] });
                }
                let rows = &active.rows.streams;
                let from = rows.partition_point(|row| row.lsn < *wanted.start());
                let to = rows.partition_point(|row| row.lsn <= *wanted.end());
                let rows = rows.get(from..to).unwrap_or_default().iter();
                let rows = rows.filter(|row| row.key == hash);
                let mut hits: Vec<Lsn> = rows.map(|row| row.lsn).collect();
                hits.dedup();
                return Ok(Span { first: active.first, through: active.rows.through, hits });
            }
            active.segment
        };
        let segment = self.segment_of(at, last)?;
        let (_, header) = self.footer(segment)?;
        let rows = self.streams(segment)?;
        let from = rows.partition_point(|row| row.key < hash);
        let rows = rows.get(from..).unwrap_or_default();
        let rows = rows.iter().take_while(|row| row.key == hash).map(|row| row.lsn);
        let hits = rows.filter(|lsn| wanted.contains(lsn)).collect();
        // Whatever the footer says, who asks gets on.
        Ok(Span { first: header.first.min(at), through: header.last.max(at), hits })
    }

    /// A record at or before `last` whose time is not after `at`, near the last such one, where
    /// times never go back; `None` where no index knows of one.
    pub(crate) fn before_time(&self, at: i64, last: Lsn) -> Result<Option<Lsn>, ReadError> {
        let before = |row: &PlaceRow| row.first <= last && row.at_min <= at;
        let last_of = |rows: &[PlaceRow]| {
            let after = rows.partition_point(before);
            rows.get(after.checked_sub(1)?).map(|row| row.first)
        };
        let active = {
            let active = self.active();
            if let Some(found) = last_of(&active.rows.places) {
                return Ok(Some(found));
            }
            active.segment
        };
        // The least time of `low` is not after `at`, or it is no segment; that of `high` is after.
        let (mut low, mut high) = (0_u32, active);
        while high.saturating_sub(low) > 1 {
            let middle = low.midpoint(high);
            let (_, header) = self.footer(middle)?;
            if header.first <= last && header.at_min <= at {
                low = middle;
            } else {
                high = middle;
            }
        }
        if low == 0 { Ok(None) } else { Ok(last_of(&self.places(low)?)) }
    }

    /// The sealed segment, before `active`, that holds `lsn`.
    fn segment_of(&self, lsn: Lsn, active: u32) -> Result<u32, ReadError> {
        let (mut low, mut high) = (1_u32, active);
        // The first record of `low` is at or before `lsn`, that of `high` behind it.
        while high.saturating_sub(low) > 1 {
            let middle = low.midpoint(high);
            if self.first_of(middle)? <= lsn {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The first record of a segment.
    fn first_of(&self, segment: u32) -> Result<Lsn, ReadError> {
        if let Some(first) = self.cache().firsts.get(&segment) {
            return Ok(*first);
        }
        let name = segment_name(segment);
        let file = self.storage.open(&name, Access::Read).map_err(IoError::at("open", &name))?;
        let mut bytes = [0; HEADER_BYTES];
        let read = file.read_at(&mut bytes, 0).map_err(IoError::at("read", &name))?;
        let start = SegmentStart::decode(bytes.get(..read).unwrap_or_default(), segment);
        let first = start.map_err(|reason| damaged(segment, 0, reason))?.first;
        self.cache().firsts.insert(segment, first);
        Ok(first)
    }

    /// The header of the footer of a sealed segment, and where it stands.
    pub(crate) fn footer(&self, segment: u32) -> Result<(Place, FooterHeader), ReadError> {
        if let Some(found) = self.cache().footers.get(&segment) {
            return Ok(*found);
        }
        let mut window = self.window(segment)?;
        let name = segment_name(segment);
        let found = footer::find(&mut window, self.owner, segment);
        let found = found
            .map_err(IoError::at("read", &name))?
            .map_err(|(offset, reason)| damaged(segment, offset, reason))?;
        self.cache().footers.insert(segment, found);
        Ok(found)
    }

    fn window(&self, segment: u32) -> Result<Window, ReadError> {
        let name = segment_name(segment);
        let file = self.storage.open(&name, Access::Read).map_err(IoError::at("open", &name))?;
        let len = file.len().map_err(IoError::at("read", &name))?;
        Ok(Window::new(Arc::from(file), len, HEADER_BYTES.max(LOOKUP_BYTES / 8)))
    }

    /// The place index of a sealed segment.
    pub(crate) fn places(&self, segment: u32) -> Result<Arc<[PlaceRow]>, ReadError> {
        if let Some(rows) = self.cache().places(segment) {
            return Ok(rows);
        }
        let rows: Arc<[PlaceRow]> =
            self.section(segment, Section::Places, footer::place_rows)?.into();
        let mut cache = self.cache();
        let used = cache.tick();
        let kept = Kept { rows: Arc::clone(&rows), used };
        if cache.places.insert(segment, kept).is_none() {
            cache.added(size_of_val(&*rows));
        }
        Ok(rows)
    }

    /// The stream index of a sealed segment, sorted.
    pub(crate) fn streams(&self, segment: u32) -> Result<Arc<[StreamRow]>, ReadError> {
        if let Some(rows) = self.cache().streams(segment) {
            return Ok(rows);
        }
        let rows: Arc<[StreamRow]> =
            self.section(segment, Section::Streams, footer::stream_rows)?.into();
        let mut cache = self.cache();
        let used = cache.tick();
        let kept = Kept { rows: Arc::clone(&rows), used };
        if cache.streams.insert(segment, kept).is_none() {
            cache.added(size_of_val(&*rows));
        }
        Ok(rows)
    }

    fn section<T>(
        &self,
        segment: u32,
        section: Section,
        rows: impl FnOnce(&[u8]) -> Vec<T>,
    ) -> Result<Vec<T>, ReadError> {
        let (place, header) = self.footer(segment)?;
        let mut window = self.window(segment)?;
        let name = segment_name(segment);
        let read = footer::read_section(&mut window, self.owner, place, &header, section);
        let at = place.offset.saturating_add(header.section_start(section));
        let bytes = read
            .map_err(IoError::at("read", &name))?
            .map_err(|reason| damaged(segment, at, reason))?;
        Ok(rows(bytes))
    }
}

impl Cache {
    fn tick(&mut self) -> u64 {
        self.now = self.now.saturating_add(1);
        self.now
    }

    fn places(&mut self, segment: u32) -> Option<Arc<[PlaceRow]>> {
        let now = self.tick();
        let kept = self.places.get_mut(&segment)?;
        kept.used = now;
        Some(Arc::clone(&kept.rows))
    }

    fn streams(&mut self, segment: u32) -> Option<Arc<[StreamRow]>> {
        let now = self.tick();
        let kept = self.streams.get_mut(&segment)?;
        kept.used = now;
        Some(Arc::clone(&kept.rows))
    }

    /// Makes room after `bytes` were added: what was not used for longest goes, the newest stays.
    fn added(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        while self.bytes > INDEX_CACHE_BYTES_MAX {
            let place = self.places.iter().map(|(at, kept)| (kept.used, *at, true)).min();
            let stream = self.streams.iter().map(|(at, kept)| (kept.used, *at, false)).min();
            let Some((used, segment, is_place)) = place.into_iter().chain(stream).min() else {
                return;
            };
            if used == self.now {
                return;
            }
            let freed = if is_place {
                self.places.remove(&segment).map_or(0, |kept| size_of_val(&*kept.rows))
            } else {
                self.streams.remove(&segment).map_or(0, |kept| size_of_val(&*kept.rows))
            };
            self.bytes = self.bytes.saturating_sub(freed);
        }
    }
}

pub(crate) fn damaged(segment: u32, offset: u64, reason: crate::DamageReason) -> ReadError {
    ReadError::Damaged(Damage { file: segment_name(segment), offset, reason })
}
