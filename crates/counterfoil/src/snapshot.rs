//! Snapshots of a book: written beside the log, and opened in place of most of it.

use crate::codec;
use crate::engine::{Engine, Options};
use crate::error::{BookError, Error};
use crate::keys::{Keys, Place, Sealed};
use crate::sequencer::Sequencer;
use counterfoil_core::Timestamp;
use counterfoil_log::{History, Log, Lsn, Snapshot, SnapshotError, SnapshotStamp, SnapshotWriter};
use counterfoil_meter::{Aggregator, CHECKPOINT_LAYOUT, Capture};
use counterfoil_model::{
    Part, SNAPSHOT_LAYOUT, SealedPlace, Settings, Shelf, Sink, Source, State, Unreadable,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The section that holds the meters.
const METERS: u32 = 32;
/// The section that holds what is of the book and of neither state nor meters.
const BOOK: u32 = 33;
/// Goes up with every change of what the sections say beside those of model and meter.
const BOOK_LAYOUT: &str = "book 1; named";

/// What changes whenever a snapshot would be read as another one than was written.
pub(crate) fn fingerprint() -> u64 {
    let mut hasher = blake3::Hasher::new();
    for layout in [SNAPSHOT_LAYOUT, CHECKPOINT_LAYOUT, BOOK_LAYOUT, env!("CARGO_PKG_VERSION")] {
        hasher.update(layout.as_bytes());
        hasher.update(&[0]);
    }
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_le_bytes(first)
}

/// When snapshots are written and how many are kept. None is ever written in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotPolicy {
    /// How many are kept; at least one.
    pub keep: usize,
    /// [`Engine::close`] writes one where more records than this follow the latest; never where
    /// there is no number.
    pub on_close_after: Option<u64>,
}

impl Default for SnapshotPolicy {
    /// Two are kept, and closing writes one after 100,000 records.
    fn default() -> Self {
        Self { keep: 2, on_close_after: Some(100_000) }
    }
}

impl SnapshotPolicy {
    /// The same with another number of snapshots that are kept.
    #[must_use]
    pub fn keep(mut self, snapshots: usize) -> Self {
        self.keep = snapshots.max(1);
        self
    }

    /// The same with another number of records after which closing writes one.
    #[must_use]
    pub fn on_close_after(mut self, records: Option<u64>) -> Self {
        self.on_close_after = records;
        self
    }
}

/// A snapshot that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotReport {
    /// The record up to which it goes.
    pub position: Lsn,
    /// Bytes of it.
    pub bytes: u64,
    /// The older ones that were removed.
    pub removed: Vec<Lsn>,
}

/// What a book was opened from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// The snapshot that it stands on; none where all of the log was replayed.
    pub snapshot: Option<Lsn>,
    /// Records that were replayed.
    pub replayed: u64,
    /// Snapshots that could not be used, and why. The log alone decides what the book says.
    pub skipped: Vec<SkippedSnapshot>,
}

/// A snapshot that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SkippedSnapshot {
    /// The record up to which it goes, by its name.
    pub position: Lsn,
    /// Why.
    pub reason: String,
}

#[derive(Serialize, Deserialize)]
struct BookPart {
    written: Option<Timestamp>,
    last: u64,
    usage_events: u64,
}

/// What a snapshot is written from: the book as it was at one moment, without a copy of it.
struct Captured {
    state: State,
    meters: Capture,
    part: BookPart,
}

impl Captured {
    fn of(book: &Sequencer) -> Self {
        let (written, last, usage_events) = (book.written, book.last.0, book.usage_events);
        let part = BookPart { written, last, usage_events };
        Self { state: book.state.clone(), meters: book.meters.capture(), part }
    }

    fn write(
        &self,
        log: &Log,
        keys: &Keys,
    ) -> Result<counterfoil_log::SnapshotInfo, SnapshotError> {
        let stamp = SnapshotStamp {
            lsn: Lsn(self.part.last),
            at: self.part.written.map_or(i64::MIN, Timestamp::unix),
            fingerprint: fingerprint(),
        };
        log.write_snapshot(stamp, |writer| {
            let written = self.state.write_snapshot(&mut Sections { writer: &mut *writer, keys });
            written.map_err(|Failed(error)| error)?;
            writer.begin(METERS)?;
            writer.write(&self.meters.encode().map_err(SnapshotError::content)?)?;
            writer.begin(BOOK)?;
            writer.write(&rmp_serde::to_vec_named(&self.part).map_err(SnapshotError::content)?)
        })
    }
}

/// The parts of a state as sections.
struct Sections<'w> {
    writer: &'w mut SnapshotWriter,
    keys: &'w Keys,
}

struct Failed(SnapshotError);

impl From<Unreadable> for Failed {
    fn from(error: Unreadable) -> Self {
        Self(SnapshotError::content(error))
    }
}

impl Sink for Sections<'_> {
    type Error = Failed;

    fn begin(&mut self, part: Part) -> Result<(), Failed> {
        self.writer.begin(part.number()).map_err(Failed)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        self.writer.write(bytes).map_err(Failed)
    }

    fn seal(
        &mut self,
        place: &SealedPlace,
        key_slot: u64,
        personal: &[u8],
    ) -> Result<Vec<u8>, Failed> {
        let stream = format!("customer:{}", place.customer);
        let sealed = self.keys.seal(key_slot, in_snapshot(place, &stream), personal);
        let sealed = sealed.map_err(Unreadable::because)?;
        Ok(sealed.ok_or_else(|| Unreadable::because("the key was destroyed meanwhile"))?)
    }
}

/// The sections of a snapshot as parts of a state.
struct Parts {
    snapshot: Snapshot,
    keys: Arc<Keys>,
}

fn in_snapshot<'a>(place: &SealedPlace, stream: &'a str) -> Place<'a> {
    let SealedPlace { kind, version, .. } = *place;
    Place { what: Sealed::Snapshot, stream, version, type_id: kind, schema: 0 }
}

impl Source for Parts {
    fn part(&self, part: Part) -> Result<Vec<u8>, Unreadable> {
        self.snapshot.section(part.number()).map_err(Unreadable::because)
    }

    fn range(&self, part: Part, from: u64, len: usize) -> Result<Vec<u8>, Unreadable> {
        self.snapshot.range(part.number(), from, len).map_err(Unreadable::because)
    }

    fn open(&self, place: &SealedPlace, sealed: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let stream = format!("customer:{}", place.customer);
        let opened = self.keys.open(in_snapshot(place, &stream), sealed);
        let erased = || Unreadable::because(format!("{} was erased since", place.customer));
        opened.map_err(Unreadable::because)?.ok_or_else(erased)
    }
}

/// The book that a snapshot keeps.
fn load(log: &History, lsn: Lsn, kept: &Kept) -> Result<Sequencer, Unreadable> {
    let snapshot = log.open_snapshot(lsn, fingerprint()).map_err(Unreadable::because)?;
    let meters = snapshot.section(METERS).map_err(Unreadable::because)?;
    let meters = kept.meters.clone().restored(&meters).map_err(Unreadable::because)?;
    let part = snapshot.section(BOOK).map_err(Unreadable::because)?;
    let part: BookPart = rmp_serde::from_slice(&part).map_err(Unreadable::because)?;
    if part.last != lsn.0 {
        return Err(Unreadable::because("it names another record than its sections"));
    }
    let source: Arc<dyn Source> = Arc::new(Parts { snapshot, keys: Arc::clone(&kept.keys) });
    let state = State::read_snapshot(&source, &kept.shelf)?;
    let mut book = kept.with(meters);
    book.state = state;
    (book.clock, book.written) = (part.written, part.written);
    (book.last, book.usage_events) = (lsn, part.usage_events);
    Ok(book)
}

/// What a book is given anew each time that it is opened.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) settings: Settings,
    /// Without meters. What they hash under is another key each time, for nobody to know.
    pub(crate) meters: Aggregator,
    pub(crate) keys: Arc<Keys>,
    /// Where closed invoices lie: in memory, unless it is said.
    pub(crate) shelf: Arc<Shelf>,
}

impl Kept {
    pub(crate) fn of(options: &Options, keys: Arc<Keys>) -> Self {
        // Without randomness it is one that everybody knows, which costs speed at worst.
        let meter_key = options.entropy.meter_key().unwrap_or_default();
        let meters = Aggregator::with_key(options.dedupe, meter_key);
        Self { settings: options.settings.clone(), meters, keys, shelf: Arc::default() }
    }

    /// The book before its first record.
    fn empty(&self) -> Sequencer {
        self.with(self.meters.clone())
    }

    fn with(&self, meters: Aggregator) -> Sequencer {
        let shelf = Arc::clone(&self.shelf);
        Sequencer::new(self.settings.clone(), meters, Arc::clone(&self.keys), shelf)
    }
}

/// Goes on from the latest usable snapshot among those that `wanted` wants, or from the beginning.
/// Where what lies in a snapshot turns out to be unreadable, the next older one is tried.
pub(crate) fn begin<T>(
    log: &History,
    kept: &Kept,
    wanted: impl Fn(Lsn) -> bool,
    go_on: impl Fn(Sequencer) -> Result<(Sequencer, T), BookError>,
) -> Result<(Sequencer, T, Opened), BookError> {
    let mut opened = Opened::default();
    let listed = log.snapshots().unwrap_or_else(|error| {
        opened.skip(Lsn::ZERO, error.to_string());
        Vec::new()
    });
    for lsn in listed.into_iter().rev().filter(|lsn| wanted(*lsn)) {
        let book = match load(log, lsn, kept) {
            Ok(book) => book,
            Err(error) => {
                opened.skip(lsn, error.to_string());
                continue;
            }
        };
        let gone_on = go_on(book);
        match gone_on {
            Ok((book, value)) => match book.state.fault() {
                Some(fault) => opened.skip(lsn, fault.to_string()),
                None => {
                    opened.snapshot = Some(lsn);
                    opened.replayed = book.last.0.saturating_sub(lsn.0);
                    return Ok((book, value, opened));
                }
            },
            // If it is not for the snapshot, it comes again without one.
            Err(error) => opened.skip(lsn, error.to_string()),
        }
    }
    let (book, value) = go_on(kept.empty())?;
    opened.replayed = book.last.0;
    Ok((book, value, opened))
}

impl Opened {
    fn skip(&mut self, position: Lsn, reason: String) {
        self.skipped.push(SkippedSnapshot { position, reason });
    }
}

/// Opens the book that a log holds.
pub(crate) fn open(log: &Log, kept: &Kept) -> Result<(Sequencer, Opened), BookError> {
    let go_on = |book: Sequencer| {
        let erased = book.state.erased_slots().count();
        Ok((replay(log, book)?, erased))
    };
    let (book, erased, opened) = begin(log, kept, |_| true, go_on)?;
    if book.state.erased_slots().count() > erased {
        // A crash may have come between the record of an erasure and the end of the snapshots from
        // before it, which hold what was erased.
        log.retain_snapshots(0).map_err(|error| BookError::Snapshots(error.to_string()))?;
    }
    Ok((book, opened))
}

/// Applies the records that follow.
fn replay(log: &History, mut book: Sequencer) -> Result<Sequencer, BookError> {
    let mut records = log.read(book.last.next());
    while let Some(record) = records.next_ref() {
        let record = record.map_err(|error| BookError::reading(book.last.next(), error))?;
        let decoded = codec::decode_ref(record, book.keys())?;
        book.replay(record.lsn(), &decoded)?;
    }
    Ok(book)
}

impl Engine {
    /// Writes a snapshot of the book as it is now, so that it opens from there, and removes those
    /// that are too old to be kept. Commands and usage go on meanwhile: the book is held only to
    /// take hold of what it shares.
    ///
    /// # Errors
    /// [`Error::NoTime`] for a book without a record; [`Error::Snapshot`] where it cannot be
    /// written, which harms nothing; [`Error::Log`].
    pub fn snapshot(&self) -> Result<SnapshotReport, Error> {
        let _one = self.snapshots_lock();
        let captured = self.read(|book| Ok(Captured::of(book)))?;
        if captured.part.last == 0 {
            return Err(Error::NoTime);
        }
        let info = captured.write(self.log(), self.keys())?;
        self.snapshot_written(info.lsn);
        let mut removed = Vec::new();
        for skipped in &self.opened().skipped {
            if skipped.position != info.lsn && skipped.position != Lsn::ZERO {
                self.log().remove_snapshot(skipped.position)?;
                removed.push(skipped.position);
            }
        }
        removed.extend(self.log().retain_snapshots(self.snapshot_policy().keep.max(1))?);
        Ok(SnapshotReport { position: info.lsn, bytes: info.bytes, removed })
    }

    /// The snapshots that are there, oldest first, by the record up to which each goes.
    ///
    /// # Errors
    /// [`Error::Snapshot`] where the directory cannot be read.
    pub fn snapshots(&self) -> Result<Vec<Lsn>, Error> {
        Ok(self.log().snapshots()?)
    }

    /// Removes all snapshots, those too that are being written: what they hold is nowhere but in
    /// the log then. The book stays as it is, and opens from the log.
    ///
    /// # Errors
    /// [`Error::Snapshot`], [`Error::Log`].
    pub fn remove_snapshots(&self) -> Result<Vec<Lsn>, Error> {
        let _one = self.snapshots_lock();
        Ok(self.log().retain_snapshots(0)?)
    }

    /// Writes the snapshot that is due on closing, if one is.
    pub(crate) fn snapshot_on_close(&self) -> Result<(), Error> {
        let Some(after) = self.snapshot_policy().on_close_after else { return Ok(()) };
        let last = self.lock()?.last;
        if last.0.saturating_sub(self.snapshot_latest().0) > after {
            self.snapshot()?;
        }
        Ok(())
    }
}

impl From<SnapshotError> for Error {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Log(error) => Self::Log(error),
            error => Self::Snapshot(error.to_string()),
        }
    }
}
