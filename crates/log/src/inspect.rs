//! Reading a book without opening it: without a lock, without write access, and without repair.
//!
//! The records up to the end of the last batch that is whole are read, by the code that reads an
//! open log. What stands behind them is looked at anew by [`Reader::refresh`]: while another process
//! writes, it may be a batch that is half there. It is called damage only where a mark says that it
//! was synced, and the place was read again after that mark was seen.

use std::{
    fmt, io,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::{
    History, Lsn, Receipt, VerifyReport,
    batch::{BatchCursor, BatchHeader, Frame, frame_at, later_mark},
    beside::damage_beside,
    buffer::BLOCK_BYTES,
    bytes::narrow,
    catalog::{Active, Catalog},
    error::{Damage, DamageReason, IoError, LogError, OpenError},
    footer,
    frozen::Frozen,
    group::Extent,
    header::{Owner, Place},
    index::Rows,
    limits::READ_AHEAD_BYTES,
    manifest::{MANIFEST, Manifest},
    read::Source,
    segment::{BATCHES_AT, SegmentHeader, Window, segment_name},
    shelf::{Shelf, shelved_number},
    storage::{Access, Storage},
    survey::refuse_foreign,
    verify::verify_whole,
};

/// How often a file is opened anew that became shorter while it was read.
const CUT_MAX: usize = 8;

/// The pauses of whoever waits for a writer in another process: the first one, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// A book that is read and never written to: it may be open in another process, lie on a file system
/// that is read-only, or be damaged.
///
/// It takes no lock and repairs nothing. It sees the records that are whole when it is opened, and
/// more after [`Reader::refresh`]. Those after [`Reader::synced`] may not be on disk yet: if the
/// power goes, they may be gone, and nobody was told of them.
pub struct Reader {
    book: Arc<Book>,
    history: History,
}

impl Deref for Reader {
    type Target = History;

    fn deref(&self) -> &History {
        &self.history
    }
}

struct Book {
    shelf: Arc<Shelf>,
    catalog: Catalog,
    seen: Mutex<Seen>,
}

/// How far the book was read.
struct Seen {
    extent: Extent,
    /// Bytes of the record stream up to there.
    stream: u64,
    /// The highest synced-through mark.
    marked: Lsn,
    /// The damage that stands there.
    damage: Option<Damage>,
    /// What the system said when something could not be synced.
    unsynced: Option<String>,
}

impl Reader {
    /// Looks at the book in `storage`. The manifest and the last segment are read and checked;
    /// damage in the others is found when they are read.
    ///
    /// # Errors
    /// [`OpenError::NotABook`], [`OpenError::Version`], [`OpenError::Io`]; [`OpenError::Damaged`]
    /// where the manifest, or the headers of the last two segments, cannot be read.
    pub fn open(storage: impl Storage) -> Result<Self, OpenError> {
        let shelf = Arc::new(Shelf::new(Arc::new(storage)));
        let names = shelf.list().map_err(IoError::at("list", "the book"))?;
        refuse_foreign(&names)?;
        if !names.iter().any(|name| name == MANIFEST) {
            return Err(OpenError::NotABook { found: format!("it holds no {MANIFEST}") });
        }
        let manifest = Manifest::read(&*shelf)?;
        let last = names.iter().filter_map(|name| shelved_number(name)).max().unwrap_or(1);
        let (number, header) = match read_header(&*shelf, last) {
            // It may be just being created, or be what a crash left.
            Err(OpenError::Damaged(_)) if last > 1 => {
                let number = last.saturating_sub(1);
                (number, read_header(&*shelf, number)?)
            }
            found => (last, found?),
        };
        if header.book != manifest.book {
            let (file, reason) = (segment_name(number), DamageReason::OtherBook);
            return Err(OpenError::Damaged(Damage { file, offset: 0, reason }));
        }
        let (before, stream) = (header.first.previous(), header.frontier.stream_len());
        let end = Place { segment: number, offset: BATCHES_AT };
        let extent = Extent { last: before, end };
        let seen =
            Mutex::new(Seen { extent, stream, marked: before, damage: None, unsynced: None });
        let active = Active { segment: number, first: header.first, rows: Rows::default() };
        let storage: Arc<dyn Storage> = Arc::<Shelf>::clone(&shelf);
        let catalog = Catalog::new(storage, Owner::of(&manifest.book), active);
        let book = Arc::new(Book { shelf, catalog, seen });
        let history = History::new(Arc::<Book>::clone(&book));
        let reader = Self { book, history };
        reader.refresh()?;
        Ok(reader)
    }

    /// Looks for what was written since, and returns the last record. Those who read go on with it.
    ///
    /// # Errors
    /// [`OpenError`]; what was seen before can still be read.
    pub fn refresh(&self) -> Result<Lsn, OpenError> {
        let book = &self.book;
        let mut seen = book.seen();
        let manifest = Manifest::read(&*book.shelf)?;
        seen.marked = seen.marked.max(manifest.last);
        seen.damage = None;
        let mut cut = 0;
        loop {
            match book.go_on(&mut seen) {
                // Its writer took back space behind the end while it was read.
                Err(error) if is_cut(&error) && cut < CUT_MAX => {
                    cut = cut.saturating_add(1);
                }
                gone_on => {
                    gone_on?;
                    return Ok(seen.extent.last);
                }
            }
        }
    }

    /// The last record that is seen.
    #[must_use]
    pub fn last(&self) -> Lsn {
        self.book.seen().extent.last
    }

    /// The last record that is known to be synced; those up to it outlive the power. Where the book
    /// is open, that of the last batch is known only once the next one is written.
    #[must_use]
    pub fn synced(&self) -> Lsn {
        let seen = self.book.seen();
        seen.marked.min(seen.extent.last)
    }

    /// The damage that stands behind the last record, if there is any. Reading comes to it.
    #[must_use]
    pub fn damage(&self) -> Option<Damage> {
        self.book.seen().damage.clone()
    }

    /// Syncs what is seen, so that it outlives the power, and returns the last record that is known
    /// to. Nothing is changed by it. Where the system lets nobody sync who may not write, what was
    /// not synced stays so.
    ///
    /// # Errors
    /// [`IoError`], and then ever again where something is to be synced: nobody knows what is on
    /// disk after a sync that failed, not even after one that succeeds.
    pub fn sync(&self) -> Result<Lsn, IoError> {
        let (extent, marked, unsynced) = {
            let seen = self.book.seen();
            (seen.extent, seen.marked, seen.unsynced.clone())
        };
        if marked >= extent.last {
            return Ok(extent.last);
        }
        // All segments before the last were synced when they were sealed.
        let name = segment_name(extent.end.segment);
        if let Some(reason) = unsynced {
            return Err(IoError::at("sync", &name)(io::Error::other(reason)));
        }
        let opened = self.book.shelf.open(&name, Access::Read);
        match opened.map_err(IoError::at("open", &name))?.sync_data() {
            Err(error) if !may_not_sync(&error) => {
                self.book.seen().unsynced = Some(error.to_string());
                Err(IoError::at("sync", &name)(error))
            }
            Err(_) => Ok(marked),
            Ok(()) => {
                let mut seen = self.book.seen();
                seen.marked = seen.marked.max(extent.last);
                Ok(extent.last)
            }
        }
    }

    /// Looks again and again until a record after `lsn` is seen, damage is, or the time is over; and
    /// returns the last record. The pauses between grow to a tenth of a second.
    ///
    /// # Errors
    /// As [`Reader::refresh`].
    pub fn wait_beyond(&self, lsn: Lsn, timeout: Duration) -> Result<Lsn, OpenError> {
        let started = Instant::now();
        let mut pause = PAUSE_MIN;
        loop {
            let last = self.refresh()?;
            let rest = timeout.saturating_sub(started.elapsed());
            if last > lsn || rest.is_zero() || self.damage().is_some() {
                return Ok(last);
            }
            thread::sleep(pause.min(rest));
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
        }
    }

    /// As [`verify`](crate::verify), or with a receipt as [`verify_against`](crate::verify_against),
    /// with what is in the archive that is attached, and sure also while another process writes:
    /// where something looks torn or damaged and the book went on meanwhile, what was there before
    /// is looked at once more without what came.
    ///
    /// # Errors
    /// As [`verify`](crate::verify).
    pub fn verify(&self, receipt: Option<&Receipt>) -> Result<VerifyReport, OpenError> {
        let before = self.standing()?;
        let mut report = verify_whole(&*self.book.shelf, receipt);
        let gone_on = match &report {
            Ok(report) if report.damage.is_empty() && report.tail.is_none() => false,
            Err(error) if !is_cut(error) => false,
            // Its writer took back space behind the end while it was read.
            Err(_) => true,
            Ok(_) => self.standing().is_ok_and(|now| now != before),
        };
        if gone_on && let Ok(closed) = self.closed_manifest() {
            let frozen = Frozen::new(Arc::clone(&self.book.shelf), &closed);
            report = verify_whole(&frozen, receipt)
                .map(|report| VerifyReport { clean: false, ..report });
        }
        let mut report = report?;
        if !report.beside.is_empty() {
            // A key may be half made or half gone, and is not when it is looked at again.
            let again = damage_beside(&*self.book.shelf)?;
            report.beside.retain(|damage| again.contains(damage));
        }
        Ok(report)
    }

    /// How far the book is, and what its manifest says: both change only if somebody writes.
    fn standing(&self) -> Result<(Manifest, Extent), OpenError> {
        self.refresh()?;
        Ok((Manifest::read(&*self.book.shelf)?, self.book.seen().extent))
    }

    /// Reads archived segments from this storage: see [`Log::archive`](crate::Log::archive).
    pub fn attach_archive(&self, archive: impl Storage) {
        self.book.shelf.attach(Some(Arc::new(archive)));
    }
}

impl Source for Book {
    fn extent(&self) -> Result<Extent, LogError> {
        Ok(self.seen().extent)
    }

    fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    fn damage(&self) -> Option<Damage> {
        self.seen().damage.clone()
    }
}

/// What stands behind what was seen.
enum Next {
    /// A whole batch, and its records.
    Batch(BatchHeader, Vec<u8>),
    /// A whole footer.
    Footer,
    End,
    Broken(DamageReason),
}

impl Book {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        // It is changed by whole batches.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what is whole behind what was seen.
    fn go_on(&self, seen: &mut Seen) -> Result<(), OpenError> {
        let mut window = self.window(seen.extent.end.segment)?;
        // Where a broken place was read that a mark says was synced: it is read once more.
        let mut suspect = None;
        loop {
            let place = seen.extent.end;
            match self.next(seen, &mut window)? {
                Next::Batch(header, records) => {
                    let mut active = self.catalog.active_mut();
                    active.rows.batch(header.first, place.offset, header.stream, &records);
                    drop(active);
                    seen.extent.end.offset = place.offset.saturating_add(header.frame_len());
                    seen.extent.last = header.last();
                    seen.stream = seen.stream.saturating_add(u64::from(header.records_len));
                    seen.marked = seen.marked.max(header.synced);
                }
                Next::Footer => {
                    if !self.enter_next(seen)? {
                        return Ok(());
                    }
                    window = self.window(seen.extent.end.segment)?;
                }
                Next::End if seen.marked <= seen.extent.last => return Ok(()),
                broken => {
                    let reason = match broken {
                        Next::Broken(reason) => reason,
                        _ => DamageReason::EndsEarly { synced: seen.marked },
                    };
                    window = self.window(place.segment)?;
                    let mark =
                        later_mark(&mut window, self.catalog.owner(), place.segment, place.offset);
                    let mark = mark.map_err(failed(place.segment))?;
                    seen.marked = seen.marked.max(mark);
                    if reason.may_be_torn() && seen.marked <= seen.extent.last {
                        return Ok(());
                    }
                    if suspect.replace(place) == Some(place) {
                        let file = segment_name(place.segment);
                        seen.damage = Some(Damage { file, offset: place.offset, reason });
                        return Ok(());
                    }
                    window = self.window(place.segment)?;
                }
            }
        }
    }

    fn next(&self, seen: &Seen, window: &mut Window) -> Result<Next, OpenError> {
        let (place, owner) = (seen.extent.end, self.catalog.owner());
        let failed = |error| failed(place.segment)(error);
        let header = match frame_at(window, owner, place).map_err(failed)? {
            Frame::End => return Ok(Next::End),
            Frame::Broken(reason) => return Ok(Next::Broken(reason)),
            Frame::Footer(header) => {
                let checked = footer::check(window, owner, place, &header).map_err(failed)?;
                return Ok(
                    checked.map_or_else(|(_, reason)| Next::Broken(reason), |_| Next::Footer)
                );
            }
            Frame::Batch(header) => header,
        };
        let expected = seen.extent.last.next();
        if header.first != expected {
            let reason = DamageReason::FirstLsn { found: header.first, expected };
            return Ok(Next::Broken(reason));
        }
        if header.stream != seen.stream {
            let (found, expected) = (header.stream, seen.stream);
            return Ok(Next::Broken(DamageReason::StreamPosition { found, expected }));
        }
        let mut records = Vec::new();
        let mut cursor = BatchCursor::new(header, place.offset);
        loop {
            match cursor.advance(window).map_err(failed)? {
                Ok(Some(view)) => records.extend_from_slice(view.bytes),
                Ok(None) => return Ok(Next::Batch(header, records)),
                Err(reason) => return Ok(Next::Broken(reason)),
            }
        }
    }

    /// Goes to the segment after a sealed one; `false` where there is none yet.
    fn enter_next(&self, seen: &mut Seen) -> Result<bool, OpenError> {
        let number = seen.extent.end.segment.saturating_add(1);
        let due = seen.extent.last.next();
        seen.marked = seen.marked.max(seen.extent.last);
        let reason = match read_header(&*self.shelf, number) {
            Ok(header) if header.first == due && header.frontier.stream_len() == seen.stream => {
                let active = Active { segment: number, first: due, rows: Rows::default() };
                *self.catalog.active_mut() = active;
                seen.extent.end = Place { segment: number, offset: BATCHES_AT };
                return Ok(true);
            }
            Ok(header) => DamageReason::FirstLsn { found: header.first, expected: due },
            Err(OpenError::Io(error)) if error.source.kind() == io::ErrorKind::NotFound => {
                if seen.marked < due {
                    return Ok(false);
                }
                DamageReason::Missing
            }
            // A segment that is being created, or was when a crash came, has no header yet.
            Err(OpenError::Damaged(_)) if seen.marked < due => return Ok(false),
            Err(OpenError::Damaged(damage)) => damage.reason,
            Err(other) => return Err(other),
        };
        seen.damage = Some(Damage { file: segment_name(number), offset: 0, reason });
        Ok(false)
    }

    fn window(&self, number: u32) -> Result<Window, OpenError> {
        let name = segment_name(number);
        let file = self.shelf.open(&name, Access::Read).map_err(IoError::at("open", &name))?;
        let len = file.len().map_err(IoError::at("read", &name))?;
        Ok(Window::new(Arc::from(file), len, READ_AHEAD_BYTES))
    }
}

/// Whether a file became shorter while it was read.
fn is_cut(error: &OpenError) -> bool {
    matches!(error, OpenError::Io(error) if error.source.kind() == io::ErrorKind::UnexpectedEof)
}

/// Whether the system says that a file that is open for reading cannot be synced.
fn may_not_sync(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    matches!(error.kind(), InvalidInput | PermissionDenied | ReadOnlyFilesystem | Unsupported)
}

fn failed(number: u32) -> impl FnOnce(io::Error) -> OpenError {
    move |error| IoError::at("read", &segment_name(number))(error).into()
}

fn read_header(storage: &dyn Storage, number: u32) -> Result<SegmentHeader, OpenError> {
    let name = segment_name(number);
    let file = storage.open(&name, Access::Read).map_err(IoError::at("open", &name))?;
    let mut block = vec![0; BLOCK_BYTES];
    let len = file.len().map_err(IoError::at("read", &name))?;
    block.truncate(narrow(len));
    let read = file.read_at(&mut block, 0).map_err(IoError::at("read", &name))?;
    SegmentHeader::decode(block.get(..read).unwrap_or_default(), number)
        .map_err(|reason| OpenError::Damaged(Damage { file: name, offset: 0, reason }))
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("last", &self.last()).finish_non_exhaustive()
    }
}
