//! The log as its users see it: appending, waiting, reading and closing. How threads share the
//! writing of it is in `group.rs`.

use std::{
    borrow::Borrow,
    fmt, io,
    ops::Deref,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    History, Lsn,
    ack::{Buffered, Durability, Synced},
    error::{IoError, LogError, OpenError},
    group::Shared,
    hasher::Hasher,
    limits::{PENDING_BYTES_DEFAULT, SEGMENT_BYTES_DEFAULT},
    record::NewRecord,
    recover::recover,
    shelf::Shelf,
    storage::Storage,
    survey::refuse_foreign,
    trace,
};

/// How a log is kept. But for the book id none of it is part of the format: a book may be opened
/// with other options.
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
    /// What tells the book from others: 16 bytes, best random. A file of one book is then refused
    /// in another. Used when the book is created, and kept; a book that exists keeps its own.
    pub book_id: [u8; 16],
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            pending_bytes_max: PENDING_BYTES_DEFAULT,
            book_id: [0; 16],
        }
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
    /// The id that the book was created with.
    pub book_id: [u8; 16],
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
/// durable. What is durable is read through its [`History`]. Dropping the log without [`Log::close`]
/// is like a crash: what nobody waited for may be lost, and nothing else.
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
    history: History,
}

impl Deref for Log {
    type Target = History;

    fn deref(&self) -> &History {
        &self.history
    }
}

impl Log {
    /// Opens the book in `storage`, or creates one where there is nothing, and keeps others out
    /// until the log is closed or dropped. The manifest and the last segment are read and checked;
    /// damage in the others is found when they are read, and by [`verify`](crate::verify).
    ///
    /// # Errors
    /// [`OpenError::Locked`] where somebody has the book; [`OpenError::Damaged`] where it is
    /// damaged in a way that no crash explains, and then nothing is changed; see [`OpenError`] for
    /// the others.
    pub fn open(
        storage: impl Storage,
        options: LogOptions,
    ) -> Result<(Self, OpenReport), OpenError> {
        let shelf = Arc::new(Shelf::new(Arc::new(storage)));
        let storage: Arc<dyn Storage> = Arc::<Shelf>::clone(&shelf);
        // Looked at before the lock, so that a directory that is no book is left as it was.
        refuse_foreign(&storage.list().map_err(IoError::at("list", "the book"))?)?;
        let book = storage.lock().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::Locked,
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                OpenError::NotWritable { reason: error.to_string() }
            }
            _ => IoError::at("lock", "the book")(error).into(),
        })?;
        let recovered = trace::open(|| recover(Arc::clone(&storage), &options))?;
        let shared = Arc::new(Shared::new(shelf, book, recovered.writer, &options));
        trace::opened(&recovered.report);
        let history = History::new(Arc::<Shared>::clone(&shared));
        Ok((Self { shared, history }, recovered.report))
    }

    /// Appends a record and gives it its number. It is not durable yet: see [`Log::wait`]. If too
    /// much is pending, the caller first helps to write it.
    ///
    /// # Errors
    /// A record that is over a limit or does not fit its kind is refused, and nothing is changed.
    /// [`LogError::Closed`], [`LogError::Poisoned`].
    pub fn append(&self, record: impl Borrow<NewRecord>) -> Result<Lsn, LogError> {
        self.shared.append(record.borrow())
    }

    /// Returns when record `lsn`, and so every record before it, is on disk. The caller may be the
    /// one who writes it, together with all that is pending.
    ///
    /// # Errors
    /// [`LogError::Poisoned`]; [`LogError::NotAppended`] for a number that was not given.
    pub fn wait(&self, lsn: Lsn) -> Result<Synced, LogError> {
        self.shared.wait(lsn, Durability::Synced)?;
        Ok(Synced::new(lsn))
    }

    /// Returns when record `lsn`, and so every record before it, was handed to the operating
    /// system, without a sync. It then outlives this process, but not the power: after a power
    /// loss the log ends at some record at or after the last that was synced. Readers see it once
    /// it is synced.
    ///
    /// # Errors
    /// [`LogError::Poisoned`]; [`LogError::NotAppended`] for a number that was not given.
    pub fn wait_buffered(&self, lsn: Lsn) -> Result<Buffered, LogError> {
        self.shared.wait(lsn, Durability::Buffered)?;
        Ok(Buffered::new(lsn))
    }

    /// How far record `lsn` has come, `None` while it is pending. This writes nothing: somebody
    /// must wait or commit.
    ///
    /// # Errors
    /// [`LogError::Poisoned`]; [`LogError::NotAppended`] for a number that was not given.
    pub fn durability(&self, lsn: Lsn) -> Result<Option<Durability>, LogError> {
        self.shared.state().durability(lsn)
    }

    /// Whether record `lsn` is on disk. This writes nothing: somebody must wait or commit.
    ///
    /// # Errors
    /// As [`Log::durability`].
    pub fn poll(&self, lsn: Lsn) -> Result<bool, LogError> {
        Ok(self.durability(lsn)? == Some(Durability::Synced))
    }

    /// Makes all that was appended before this call durable; returns the last durable record.
    ///
    /// # Errors
    /// [`LogError::Poisoned`].
    pub fn commit(&self) -> Result<Lsn, LogError> {
        self.wait(self.last())?;
        Ok(self.durable())
    }

    /// Writes space ahead for this many bytes of records, in the active segment and in the next
    /// ones, and returns when it is on disk. A commit into such space is a matter of one write and
    /// one sync of nothing else. The log does the same by itself in small steps; this is for an
    /// idle moment before much is appended. Closing gives back what was not used.
    ///
    /// # Errors
    /// [`LogError::Closed`]; [`LogError::Poisoned`], also where the disk has no such room.
    pub fn reserve(&self, bytes: u64) -> Result<(), LogError> {
        self.shared.reserve(bytes)
    }

    /// What a thread runs that the caller lends to the log for hashing. The log has none of its own:
    /// whoever wrote a batch hashes it, before it goes on to its next one. Who writes large blocks
    /// from few threads lends one, and a block is hashed while the next is written. What is in the
    /// log, and when it is durable, does not depend on it.
    ///
    /// ```
    /// # use counterfoil_log::{Log, LogOptions, MemStorage};
    /// let (log, _) = Log::open(MemStorage::new(), LogOptions::default())?;
    /// let hasher = log.hasher();
    /// let lent = std::thread::spawn(move || hasher.run());
    /// log.close()?;
    /// lent.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn hasher(&self) -> Hasher {
        Hasher::new(&self.shared)
    }

    /// The last durable record.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.shared.state().durable().last
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
            let last = state.durable().last;
            if last > lsn {
                return Ok(last);
            }
            if state.is_closed() {
                return Err(LogError::Closed);
            }
            let rest = timeout.saturating_sub(started.elapsed());
            if rest.is_zero() {
                return Ok(last);
            }
            state = self.shared.follow(state, rest);
        }
    }

    /// Ends all use of the handle, as an I/O error does: for a caller that failed between two steps,
    /// and must not acknowledge what it left half done. The first reason stays, and every call gives
    /// the error that this one returns.
    pub fn poison(&self, reason: &str) -> LogError {
        self.shared.give_up(reason)
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
