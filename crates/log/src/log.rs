//! The log: appending, group commit, waiting and closing.
//!
//! There is no thread behind it. Whoever waits for a record writes: the first to come takes the
//! writer and all pending records, writes and syncs them outside the lock, and wakes the others.
//! Meanwhile records are appended to the next batch, which the next waiter writes as a whole.

use std::{
    fmt, io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use crate::{
    Lsn, Records,
    batch::PendingBatch,
    error::{IoError, LogError, OpenError, ReadError},
    header::Place,
    index::Index,
    limits::{PENDING_BYTES_DEFAULT, SEGMENT_BYTES_DEFAULT},
    record::{EncodedRecord, NewRecord, Record},
    recover::recover,
    storage::{Storage, StorageLock},
    survey::refuse_foreign,
    writer::Writer,
};

/// How a log is kept. None of it is part of the format: a book may be opened with other options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Bytes after which a new segment is begun; between [`SEGMENT_BYTES_MIN`] and
    /// [`SEGMENT_BYTES_MAX`]. A batch that is larger has a segment for itself.
    ///
    /// [`SEGMENT_BYTES_MIN`]: crate::limits::SEGMENT_BYTES_MIN
    /// [`SEGMENT_BYTES_MAX`]: crate::limits::SEGMENT_BYTES_MAX
    pub segment_bytes: u64,
    /// Bytes that may be appended and not yet written, from 1 to [`PENDING_BYTES_MAX`]. Who would
    /// append more first helps to write. A single record may be larger.
    ///
    /// [`PENDING_BYTES_MAX`]: crate::limits::PENDING_BYTES_MAX
    pub pending_bytes_max: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { segment_bytes: SEGMENT_BYTES_DEFAULT, pending_bytes_max: PENDING_BYTES_DEFAULT }
    }
}

/// What was found when a log was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenReport {
    /// Whether the book was created.
    pub created: bool,
    /// Whether the book was closed, or is new. If not, its last user crashed or did not close it.
    pub clean: bool,
    /// The last record.
    pub last: Lsn,
    /// Number of segments.
    pub segments: u32,
    /// The torn tail that was cut off, if there was one. No record in it was acknowledged.
    pub tail_cut: Option<TailCut>,
}

/// A torn tail: what an interrupted write left at the end of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailCut {
    /// Name of the segment file.
    pub file: String,
    /// Where in the file it begins.
    pub offset: u64,
    /// Bytes up to the last one that is not zero.
    pub bytes: u64,
}

/// An append-only log of records, shared by reference between threads.
///
/// [`Log::append`] gives a record its number and does not wait; [`Log::wait`] returns when it is
/// durable. Dropping the log without [`Log::close`] is like a crash: what nobody waited for may be
/// lost, and nothing else.
///
/// ```
/// use counterfoil_log::{Log, LogOptions, Lsn, MemStorage, NewEvent, NewRecord, RecordKind};
///
/// let (log, report) = Log::open(MemStorage::new(), LogOptions::default())?;
/// assert!(report.created);
/// let event = NewEvent {
///     stream: "customer/1".into(),
///     stream_version: 1,
///     type_id: 7,
///     schema: 1,
///     body: b"created".to_vec(),
///     personal: b"Ada".to_vec(),
/// };
/// let record = NewRecord { at: 0, kind: RecordKind::Events, meta: vec![], events: vec![event] };
/// let lsn = log.append(record)?;
/// log.wait(lsn)?;
/// let record = log.read(Lsn(1)).next().unwrap()?;
/// assert_eq!((record.lsn, &*record.events[0].stream), (Lsn(1), "customer/1"));
/// log.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Log {
    shared: Arc<Shared>,
}

/// What the handle and its readers share.
pub(crate) struct Shared {
    storage: Arc<dyn Storage>,
    pending_bytes_max: usize,
    state: Mutex<State>,
    /// Signalled when a batch is durable, the log failed, or was closed.
    progress: Condvar,
    index: RwLock<Index>,
    /// The lock on the book, until it is closed or the handle dropped.
    book: Mutex<Option<Box<dyn StorageLock>>>,
    /// Held while a snapshot is written or removed.
    pub(crate) snapshots: Mutex<()>,
}

/// How far the log is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Durable {
    pub(crate) last: Lsn,
    /// Where the batch of `last` ends.
    pub(crate) end: Place,
}

struct State {
    pending: PendingBatch,
    durable: Durable,
    /// Absent while a thread writes a batch, and after the log was closed or has failed.
    writer: Option<Writer>,
    /// A buffer for the batch after next.
    spare: Vec<u8>,
    phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nothing is appended any more; what is pending is written.
    Closing,
    Closed,
    /// The text of the first error.
    Poisoned(Arc<str>),
}

impl State {
    /// The last record appended.
    fn last(&self) -> Lsn {
        self.pending.next().previous()
    }

    fn check_not_poisoned(&self) -> Result<(), LogError> {
        match &self.phase {
            Phase::Poisoned(reason) => Err(LogError::Poisoned { reason: Arc::clone(reason) }),
            _ => Ok(()),
        }
    }

    fn check_open(&self) -> Result<(), LogError> {
        self.check_not_poisoned()?;
        if self.phase == Phase::Open { Ok(()) } else { Err(LogError::Closed) }
    }
}

impl Log {
    /// Opens the book in `storage`, or creates one where there is nothing, and keeps others out
    /// until the log is closed or dropped. The whole book is read and checked.
    ///
    /// # Errors
    /// [`OpenError::Locked`] where somebody has the book; [`OpenError::Damaged`] where it is
    /// damaged in a way that no crash explains, and then nothing is changed; see [`OpenError`] for
    /// the others.
    pub fn open(
        storage: impl Storage,
        options: LogOptions,
    ) -> Result<(Self, OpenReport), OpenError> {
        let storage: Arc<dyn Storage> = Arc::new(storage);
        // Looked at before the lock, so that a directory that is no book is left as it was.
        refuse_foreign(&storage.list().map_err(IoError::at("list", "the book"))?)?;
        let book = storage.lock().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::Locked,
            _ => IoError::at("lock", "the book")(error).into(),
        })?;
        let recovered = recover(Arc::clone(&storage), &options)?;
        let durable = Durable { last: recovered.last, end: recovered.writer.end() };
        let state = State {
            pending: PendingBatch::new(durable.last.next(), Vec::new()),
            durable,
            writer: Some(recovered.writer),
            spare: Vec::new(),
            phase: Phase::Open,
        };
        let shared = Shared {
            storage,
            pending_bytes_max: options.pending_bytes_max,
            state: Mutex::new(state),
            progress: Condvar::new(),
            index: RwLock::new(recovered.index),
            book: Mutex::new(Some(book)),
            snapshots: Mutex::new(()),
        };
        Ok((Self { shared: Arc::new(shared) }, recovered.report))
    }

    /// Appends a record and gives it its number. It is not durable yet: see [`Log::wait`]. If too
    /// much is pending, the caller first helps to write it.
    ///
    /// # Errors
    /// A record that is over a limit or does not fit its kind is refused, and nothing is changed.
    /// [`LogError::Closed`], [`LogError::Poisoned`].
    pub fn append(&self, record: NewRecord) -> Result<Lsn, LogError> {
        let mut encoded = EncodedRecord::new(&record)?;
        let mut state = self.shared.state();
        loop {
            state.check_open()?;
            let bytes = state.pending.frame_len().saturating_add(encoded.padded_len());
            if state.pending.is_empty() || bytes <= self.shared.pending_bytes_max {
                return Ok(state.pending.push(&mut encoded));
            }
            state = self.shared.drive(state);
        }
    }

    /// Returns when record `lsn`, and so every record before it, is durable. The caller may be the
    /// one who writes it, together with all that is pending.
    ///
    /// # Errors
    /// [`LogError::Poisoned`]; [`LogError::NotAppended`] for a number that was not given.
    pub fn wait(&self, lsn: Lsn) -> Result<(), LogError> {
        let mut state = self.shared.state();
        loop {
            state.check_not_poisoned()?;
            if lsn <= state.durable.last {
                return Ok(());
            }
            if lsn > state.last() {
                return Err(LogError::NotAppended { lsn, last: state.last() });
            }
            state = self.shared.drive(state);
        }
    }

    /// Whether record `lsn` is durable. This writes nothing: somebody must wait or commit.
    ///
    /// # Errors
    /// [`LogError::Poisoned`]; [`LogError::NotAppended`] for a number that was not given.
    pub fn poll(&self, lsn: Lsn) -> Result<bool, LogError> {
        let state = self.shared.state();
        state.check_not_poisoned()?;
        if lsn > state.last() {
            return Err(LogError::NotAppended { lsn, last: state.last() });
        }
        Ok(lsn <= state.durable.last)
    }

    /// Makes all that was appended before this call durable; returns the last durable record.
    ///
    /// # Errors
    /// [`LogError::Poisoned`].
    pub fn commit(&self) -> Result<Lsn, LogError> {
        self.wait(self.last())?;
        Ok(self.durable())
    }

    /// The last durable record.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.shared.state().durable.last
    }

    /// The last record appended, durable or not.
    #[must_use]
    pub fn last(&self) -> Lsn {
        self.shared.state().last()
    }

    /// Waits until a record after `lsn` is durable, or the time is over, and returns the last
    /// durable record, which in the latter case is `lsn` or before. For those who follow the log;
    /// this writes nothing.
    ///
    /// # Errors
    /// [`LogError::Poisoned`]; [`LogError::Closed`] where nothing after `lsn` will ever come.
    pub fn wait_durable_beyond(&self, lsn: Lsn, timeout: Duration) -> Result<Lsn, LogError> {
        let started = Instant::now();
        let mut state = self.shared.state();
        loop {
            state.check_not_poisoned()?;
            if state.durable.last > lsn {
                return Ok(state.durable.last);
            }
            if state.phase == Phase::Closed {
                return Err(LogError::Closed);
            }
            let rest = timeout.saturating_sub(started.elapsed());
            if rest.is_zero() {
                return Ok(state.durable.last);
            }
            let waited = self.shared.progress.wait_timeout(state, rest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The durable records from `from` on, in order, those included that become durable while they
    /// are read.
    #[must_use]
    pub fn read(&self, from: Lsn) -> Records {
        Records::new(Arc::clone(&self.shared), from)
    }

    /// Reads one durable record.
    ///
    /// # Errors
    /// [`ReadError::NotDurable`] where there is none of this number; [`ReadError`] otherwise.
    pub fn read_one(&self, lsn: Lsn) -> Result<Record, ReadError> {
        Records::lookup(Arc::clone(&self.shared), lsn)
    }

    /// Makes all that was appended durable, marks the book as closed, and lets others open it.
    /// Durable records can still be read; a second call does nothing.
    ///
    /// # Errors
    /// [`LogError::Poisoned`]; the book can then be opened by others all the same.
    pub fn close(&self) -> Result<(), LogError> {
        let closed = self.shared.close();
        self.shared.release();
        closed
    }
}

impl Log {
    /// What whoever writes beside the log shares with it.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (last, durable) = (self.last(), self.durable());
        f.debug_struct("Log")
            .field("last", &last)
            .field("durable", &durable)
            .finish_non_exhaustive()
    }
}

impl Drop for Log {
    /// Lets others open the book, even while readers of this handle are left. Writes nothing.
    fn drop(&mut self) {
        self.shared.release();
    }
}

impl Shared {
    pub(crate) fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    pub(crate) fn durable(&self) -> Result<Durable, LogError> {
        let state = self.state();
        state.check_not_poisoned()?;
        Ok(state.durable)
    }

    /// A batch at or before the one that holds `lsn`.
    pub(crate) fn locate(&self, lsn: Lsn) -> Option<Place> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).locate(lsn)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock, but for what the allocator does.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the log one batch further: writes what is pending, or waits for whoever writes.
    fn drive<'s>(&'s self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        let Some(writer) = state.writer.take() else {
            return self.progress.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        let spare = std::mem::take(&mut state.spare);
        let next = PendingBatch::new(state.pending.next(), spare);
        let batch = std::mem::replace(&mut state.pending, next);
        drop(state);
        Lead { shared: self, done: false }.commit(writer, batch)
    }

    pub(crate) fn check_open(&self) -> Result<(), LogError> {
        self.state().check_open()
    }

    pub(crate) fn check_not_poisoned(&self) -> Result<(), LogError> {
        self.state().check_not_poisoned()
    }

    /// Poisons the log for what failed beside it, and gives back what every call will.
    pub(crate) fn give_up(&self, reason: &str) -> LogError {
        match self.poison(reason).check_not_poisoned() {
            Err(error) => error,
            Ok(()) => LogError::Poisoned { reason: reason.into() },
        }
    }

    fn poison(&self, reason: &str) -> MutexGuard<'_, State> {
        let mut state = self.state();
        if state.check_not_poisoned().is_ok() {
            state.phase = Phase::Poisoned(reason.into());
        }
        self.progress.notify_all();
        state
    }

    fn close(&self) -> Result<(), LogError> {
        let mut state = self.state();
        let writer = loop {
            state.check_not_poisoned()?;
            if state.phase == Phase::Closed {
                return Ok(());
            }
            state.phase = Phase::Closing;
            if state.durable.last == state.last()
                && let Some(writer) = state.writer.take()
            {
                break writer;
            }
            state = self.drive(state);
        };
        drop(state);
        let mut lead = Lead { shared: self, done: false };
        let closed = writer.close();
        lead.done = true;
        if let Err(error) = closed {
            return self.poison(&error.to_string()).check_not_poisoned();
        }
        self.state().phase = Phase::Closed;
        self.progress.notify_all();
        Ok(())
    }

    fn release(&self) {
        drop(self.book.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// The thread that has the writer. If it ends by a panic in the storage, the log is poisoned, for
/// nobody knows what was written.
struct Lead<'s> {
    shared: &'s Shared,
    done: bool,
}

impl<'s> Lead<'s> {
    fn commit(mut self, mut writer: Writer, mut batch: PendingBatch) -> MutexGuard<'s, State> {
        let shared = self.shared;
        let committed = writer.commit(&mut batch);
        self.done = true;
        let place = match committed {
            Ok(place) => place,
            Err(error) => return shared.poison(&error.to_string()),
        };
        let mut index = shared.index.write().unwrap_or_else(PoisonError::into_inner);
        index.add(batch.first(), place);
        drop(index);
        let mut state = shared.state();
        state.durable = Durable { last: batch.next().previous(), end: writer.end() };
        state.writer = Some(writer);
        state.spare = batch.into_buffer();
        if state.spare.capacity() > shared.pending_bytes_max.saturating_mul(2) {
            state.spare = Vec::new();
        }
        shared.progress.notify_all();
        state
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        if !self.done {
            drop(self.shared.poison("a panic while writing"));
        }
    }
}
