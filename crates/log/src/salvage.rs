//! Saves what is whole of a damaged book, and says what is not.
//!
//! A record is whole if its checksum, which covers its number, is right; whether others before it
//! are missing does not matter to that. What can be replayed is only the prefix without a gap: a
//! record decides on what those before it did. So the prefix becomes a new book, and records behind
//! a gap, *orphans*, can be looked at.
//!
//! Nothing here writes to the damaged book, locks it or syncs it: it may lie on a disk that is no
//! longer writable. Blocks that the disk does not give back are taken for zeros.

use std::{
    collections::BTreeSet,
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    Log, LogOptions, Lsn, NewEvent, NewRecord, Receipt, Record, RecordRef,
    batch::{BatchCursor, Frame, frame_at, next_header},
    bytes::{narrow, wide},
    copy::{Copy, CopyError, names},
    error::{Damage, DamageReason, IoError, OpenError, ReadError},
    header::{BookId, HEADER_BYTES, Owner, Place},
    limits::READ_AHEAD_BYTES,
    manifest::{MANIFEST, Manifest},
    segment::{BATCHES_AT, SegmentStart, Window, segment_name, segment_number},
    shelf::Shelf,
    storage::{Access, Storage, StorageFile},
};

/// Bytes that are given up together where the disk gives an error.
const BLOCK_BYTES: usize = 4096;

/// Records that are missing, or may be, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The first one.
    pub from: Lsn,
    /// The last one; `None` where the book does not say how far it went. Then there may be none: a
    /// crash leaves such a tail too.
    pub to: Option<Lsn>,
    /// The damaged places that are the reason.
    pub damage: Vec<Damage>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to {
            Some(to) if to == self.from => write!(f, "record {to}")?,
            Some(to) => write!(f, "records {} to {to}", self.from)?,
            None => write!(f, "what may have followed record {}", self.from.previous())?,
        }
        for (n, damage) in self.damage.iter().enumerate() {
            write!(f, "{}{damage}", if n == 0 { ": " } else { "; " })?;
        }
        Ok(())
    }
}

/// What became of a damaged book.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvageReport {
    /// What the new book is: all records up to this one. Where the damaged book had a receipt of
    /// this record, it is the same.
    pub receipt: Receipt,
    /// What is missing in the new book and is not among the orphans.
    pub missing: Vec<Missing>,
    /// Whole records behind the first gap: see [`Orphans`]. They are not in the new book.
    pub orphans: u64,
    /// Damaged places that cost no record, such as the footer of a segment.
    pub beside: Vec<Damage>,
    /// Bytes that the disk did not give back.
    pub unreadable_bytes: u64,
}

/// Why nothing was saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SalvageError {
    /// The source is no book, not even a damaged one, or one of another format.
    #[error("in the damaged book: {0}")]
    Source(OpenError),
    /// The target cannot be created, or is not empty.
    #[error("in the new book: {0}")]
    Target(OpenError),
    /// Writing to the target failed.
    #[error("in the new book: {0}")]
    Write(#[from] ReadError),
}

/// Copies the longest whole prefix of a damaged book into a new one, and says what is missing. The
/// keys of personal data are copied as well; snapshots are not.
///
/// The new book has the id of the damaged one. It is not compared with what the damaged one keeps
/// of the hash tree: a receipt tells whether its records are the true ones.
///
/// # Errors
/// [`SalvageError`]. The damaged book is never changed.
pub fn salvage(
    source: Arc<dyn Storage>,
    target: impl Storage,
    options: LogOptions,
) -> Result<SalvageReport, SalvageError> {
    let target: Arc<dyn Storage> = Arc::new(target);
    let mut walk = Walk::new(source).map_err(SalvageError::Source)?;
    let failed = |error| SalvageError::Target(OpenError::Io(error));
    if let Some(name) = names(&*target).map_err(failed)?.first() {
        let found = format!("it already holds {name}");
        return Err(SalvageError::Target(OpenError::NotABook { found }));
    }
    let options = LogOptions { book_id: walk.book, ..options };
    let (log, _) = Log::open(Arc::clone(&target), options).map_err(SalvageError::Target)?;
    copy_keys(&walk.storage, &*target)?;
    let mut report = Gaps::default();
    let mut orphans: u64 = 0;
    while let Some(piece) = walk.next_piece() {
        match piece {
            Piece::Damage(damage) => report.damage.push(damage),
            Piece::Record(record, _) if record.lsn == log.last().next() && report.is_whole() => {
                report.follows(record.lsn);
                log.append(again(record)).map_err(ReadError::from)?;
            }
            Piece::Record(record, place) => {
                report.comes(record.lsn, place);
                orphans = orphans.saturating_add(1);
            }
        }
    }
    report.ends(walk.synced);
    log.commit().map_err(ReadError::from)?;
    let receipt = log.head()?;
    log.close().map_err(ReadError::from)?;
    let unreadable_bytes = walk.unreadable.load(Ordering::Relaxed);
    let Gaps { missing, beside, .. } = report;
    Ok(SalvageReport { receipt, missing, orphans, beside, unreadable_bytes })
}

/// A record to be appended as it was.
fn again(record: Record) -> NewRecord {
    let Record { at, kind, meta, events, .. } = record;
    let events = events.into_iter().map(|event| NewEvent {
        stream: event.stream,
        stream_version: event.stream_version,
        type_id: event.type_id,
        schema: event.schema,
        body: event.body,
        personal: event.personal,
    });
    NewRecord { at, kind, meta, events: events.collect() }
}

fn copy_keys(source: &Shelf, target: &dyn Storage) -> Result<(), SalvageError> {
    let copy = Copy { source, target };
    let failed = |error| match error {
        CopyError::Source(error) => SalvageError::Source(error.into()),
        CopyError::Target(error) => SalvageError::Target(error.into()),
    };
    for name in names(source).map_err(CopyError::Source).map_err(failed)? {
        if name.ends_with(".keys") {
            let file = source.open(&name, Access::Read).and_then(|file| file.len());
            let len = file.map_err(IoError::at("read", &name)).map_err(CopyError::Source);
            copy.file(&name, len.map_err(failed)?).map_err(failed)?;
        }
    }
    Ok(())
}

/// What is missing between the records that come.
#[derive(Default)]
struct Gaps {
    /// The last record that came.
    last: Lsn,
    /// Damage since then.
    damage: Vec<Damage>,
    missing: Vec<Missing>,
    /// Damage that cost no record.
    beside: Vec<Damage>,
}

impl Gaps {
    fn is_whole(&self) -> bool {
        self.missing.is_empty()
    }

    /// The next record came: what is damaged before it is no record.
    fn follows(&mut self, lsn: Lsn) {
        self.last = lsn;
        self.beside.append(&mut self.damage);
    }

    /// A record came that is not, or not only, the next one.
    fn comes(&mut self, found: Lsn, place: Place) {
        let expected = self.last.next();
        if found > expected {
            let mut damage = std::mem::take(&mut self.damage);
            if damage.is_empty() {
                let file = segment_name(place.segment);
                let reason = DamageReason::RecordLsn { found, expected };
                damage.push(Damage { file, offset: place.offset, reason });
            }
            self.missing.push(Missing { from: expected, to: Some(found.previous()), damage });
        }
        if found == expected {
            self.follows(found);
        }
        self.last = self.last.max(found);
    }

    /// No record comes any more; the book was synced through this one.
    fn ends(&mut self, synced: Lsn) {
        let to = (synced > self.last).then_some(synced);
        if to.is_some() || !self.damage.is_empty() {
            let damage = std::mem::take(&mut self.damage);
            self.missing.push(Missing { from: self.last.next(), to, damage });
        }
    }
}

/// The whole records of a damaged book that lie behind a gap, in the order in which they stand.
/// They cannot be replayed: what they were decided on is missing.
pub struct Orphans {
    walk: Walk,
    last: Lsn,
    gap: bool,
}

impl Orphans {
    /// Those of the book in `source`, which is not changed.
    ///
    /// # Errors
    /// [`OpenError`] where the source is no book, not even a damaged one.
    pub fn of(source: Arc<dyn Storage>) -> Result<Self, OpenError> {
        Ok(Self { walk: Walk::new(source)?, last: Lsn::ZERO, gap: false })
    }
}

impl fmt::Debug for Orphans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Orphans").field("last", &self.last).finish_non_exhaustive()
    }
}

impl Iterator for Orphans {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        loop {
            match self.walk.next_piece()? {
                Piece::Damage(_) => {}
                Piece::Record(record, _) if record.lsn == self.last.next() && !self.gap => {
                    self.last = record.lsn;
                }
                Piece::Record(record, _) => {
                    self.gap = true;
                    return Some(record);
                }
            }
        }
    }
}

/// What is found in a damaged book.
enum Piece {
    /// A whole record, and where it stands.
    Record(Record, Place),
    Damage(Damage),
}

/// Goes through a damaged book from one whole batch to the next.
struct Walk {
    storage: Shelf,
    book: BookId,
    owner: Owner,
    /// Segments that are still to be read.
    numbers: BTreeSet<u32>,
    /// The number that is due.
    due: u32,
    place: Option<(Place, Window)>,
    batch: Option<BatchCursor>,
    /// Whether the last record of the batch that was looked at is damaged.
    stumbled: bool,
    /// The last record that was synced, as far as anything whole says so.
    synced: Lsn,
    unreadable: Arc<AtomicU64>,
}

impl Walk {
    fn new(source: Arc<dyn Storage>) -> Result<Self, OpenError> {
        let storage = Shelf::new(source);
        let names = names(&storage)?;
        let numbers: BTreeSet<u32> = names.iter().filter_map(|name| segment_number(name)).collect();
        let manifest = match names.iter().any(|name| name == MANIFEST) {
            true => Manifest::read(&storage),
            false => Err(OpenError::NotABook { found: "it has no manifest".to_owned() }),
        };
        let (book, synced) = match manifest {
            Ok(manifest) => (Some(manifest.book), manifest.last),
            Err(error @ OpenError::Version { .. }) => return Err(error),
            Err(_) => (None, Lsn::ZERO),
        };
        // Where the manifest is lost, any segment says which book it is.
        let book = book.or_else(|| {
            let mut starts = numbers.iter().filter_map(|number| start_of(&storage, *number));
            starts.next().map(|start| start.book)
        });
        let found = || "neither a manifest nor the beginning of a segment is whole".to_owned();
        let book = book.ok_or_else(|| OpenError::NotABook { found: found() })?;
        Ok(Self {
            storage,
            book,
            owner: Owner::of(&book),
            numbers,
            due: 1,
            place: None,
            batch: None,
            stumbled: false,
            synced,
            unreadable: Arc::default(),
        })
    }

    fn next_piece(&mut self) -> Option<Piece> {
        loop {
            if self.batch.is_some()
                && let Some(piece) = self.in_batch()
            {
                return Some(piece);
            }
            if self.place.is_none()
                && let Some(damage) = self.next_segment()?
            {
                return Some(Piece::Damage(damage));
            }
            if let Some(damage) = self.next_batch() {
                return Some(Piece::Damage(damage));
            }
        }
    }

    /// Opens the segment that follows; `None` after the last one.
    fn next_segment(&mut self) -> Option<Option<Damage>> {
        let number = self.numbers.pop_first()?;
        let due = std::mem::replace(&mut self.due, number.saturating_add(1));
        let damage = |reason, number| Damage { file: segment_name(number), offset: 0, reason };
        let opened = self.storage.open(&segment_name(number), Access::Read);
        let window = opened.and_then(|file| {
            let limit = file.len()?;
            let file = Careful { file, unreadable: Arc::clone(&self.unreadable) };
            Ok(Window::new(Arc::new(file), limit, READ_AHEAD_BYTES))
        });
        match window {
            Ok(window) => {
                let place = Place { segment: number, offset: BATCHES_AT };
                self.place = Some((place, window));
                let is_due = number == due;
                Some((!is_due).then(|| damage(DamageReason::Missing, due)))
            }
            Err(_) => Some(Some(damage(DamageReason::Unreadable, number))),
        }
    }

    /// Finds the next whole header of a batch, and says what is between.
    fn next_batch(&mut self) -> Option<Damage> {
        let (place, window) = self.place.as_mut()?;
        let found = match frame_at(window, self.owner, *place) {
            Ok(Frame::Batch(header)) => Ok(Some((place.offset, header))),
            Ok(Frame::Footer(header)) => {
                self.synced = self.synced.max(header.synced);
                Ok(None)
            }
            Ok(Frame::End) => Ok(None),
            Ok(Frame::Broken(reason)) => Err(reason),
            Err(_) => Err(DamageReason::Unreadable),
        };
        let damage = found.as_ref().err().map(|reason| Damage {
            file: segment_name(place.segment),
            offset: place.offset,
            reason: *reason,
        });
        let found = match found {
            Ok(found) => found,
            Err(_) => next_header(window, self.owner, place.segment, place.offset).unwrap_or(None),
        };
        match found {
            Some((offset, header)) => {
                self.synced = self.synced.max(header.synced);
                self.batch = Some(BatchCursor::new(header, offset));
                place.offset = offset.saturating_add(header.frame_len());
            }
            None => self.place = None,
        }
        damage
    }

    /// The next record of the batch, or what is wrong with it.
    fn in_batch(&mut self) -> Option<Piece> {
        let (Some((place, window)), Some(cursor)) = (self.place.as_mut(), self.batch.as_mut())
        else {
            self.batch = None;
            return None;
        };
        let here = Place { offset: cursor.offset(), ..*place };
        let reason = match cursor.advance(window) {
            Ok(Ok(Some(view))) => {
                self.stumbled = false;
                return Some(Piece::Record(RecordRef(view).to_record(), here));
            }
            Ok(Ok(None)) => {
                self.batch = None;
                return None;
            }
            Ok(Err(reason)) => reason,
            Err(_) => DamageReason::Unreadable,
        };
        // The next one begins where the damaged one says that it ends; once, for that may be what
        // is damaged of it.
        let skipped = !self.stumbled && matches!(cursor.skip(window), Ok(Ok(())));
        self.stumbled = skipped;
        if !skipped {
            self.batch = None;
        }
        let file = segment_name(here.segment);
        Some(Piece::Damage(Damage { file, offset: here.offset, reason }))
    }
}

fn start_of(storage: &Shelf, number: u32) -> Option<SegmentStart> {
    let file = storage.open(&segment_name(number), Access::Read).ok()?;
    let mut bytes = [0; HEADER_BYTES];
    let read = file.read_at(&mut bytes, 0).ok()?;
    SegmentStart::decode(bytes.get(..read)?, number).ok()
}

/// A file that reads as zeros where the disk gives an error.
struct Careful {
    file: Box<dyn StorageFile>,
    unreadable: Arc<AtomicU64>,
}

impl StorageFile for Careful {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if let Ok(read) = self.file.read_at(buffer, offset) {
            return Ok(read);
        }
        let len = narrow(self.file.len()?.saturating_sub(offset)).min(buffer.len());
        let mut at = offset;
        for block in buffer.get_mut(..len).unwrap_or_default().chunks_mut(BLOCK_BYTES) {
            if self.file.read_at(block, at).is_err() {
                block.fill(0);
                self.unreadable.fetch_add(wide(block.len()), Ordering::Relaxed);
            }
            at = at.saturating_add(wide(block.len()));
        }
        Ok(len)
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}
