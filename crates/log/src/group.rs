//! Group commit: who writes, who waits, and what all of them share.
//!
//! There is no thread behind it. Whoever waits for a record and finds the writer takes it with all
//! pending records, writes and syncs them outside the lock, and wakes the others. Meanwhile records
//! are appended to the next batch, which is written as a whole by one who waits for it.

use std::sync::{Arc, PoisonError};

use crate::{
    LogOptions, Lsn,
    ack::Durability,
    batch::PendingBatch,
    buffer::{BLOCK_BYTES, BlockBuffer},
    bugs::{Bug, planted},
    catalog::Catalog,
    chain::Hashing,
    error::LogError,
    header::{Owner, Place},
    record::{EncodedRecord, NewRecord},
    shelf::Shelf,
    storage::{Storage, StorageLock},
    sync::{Condvar, Mutex, MutexGuard, PlainMutex},
    trace,
    waiting::{Goal, ToWake, Waiting, Woken},
    writer::Writer,
};

/// Pieces of memory that are kept for batches to come: while some are written and hashed, others
/// are filled.
const SPARES: usize = 8;

/// What the handle and its readers share.
pub(crate) struct Shared {
    shelf: Arc<Shelf>,
    pending_bytes_max: usize,
    state: Mutex<State>,
    /// Signalled to those who follow when more is durable, the log failed, or was closed.
    progress: Condvar,
    /// Where records are.
    catalog: Arc<Catalog>,
    /// The hash tree, which lags behind what was written.
    hashing: Arc<Hashing>,
    /// The lock on the book, until it is closed or the handle dropped.
    book: PlainMutex<Option<Box<dyn StorageLock>>>,
    /// Held while a snapshot is written or removed.
    pub(crate) snapshots: PlainMutex<()>,
}

/// How far the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) last: Lsn,
    /// Where the batch of `last` ends.
    pub(crate) end: Place,
}

pub(crate) struct State {
    pending: PendingBatch,
    /// How far the log was handed to the operating system.
    written: Extent,
    /// How far it is on disk.
    durable: Extent,
    /// Absent while a thread writes a batch, and after the log was closed or has failed.
    writer: Option<Writer>,
    /// Memory for batches to come, at most [`SPARES`] pieces, and twice the bytes that may be
    /// pending.
    spares: Vec<BlockBuffer>,
    phase: Phase,
    waiting: Waiting,
    /// Threads that wait for `progress`.
    followers: usize,
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
    pub(crate) fn last(&self) -> Lsn {
        self.pending.next().previous()
    }

    pub(crate) fn durable(&self) -> Extent {
        self.durable
    }

    /// How far a record has come; `None` while it is pending.
    pub(crate) fn durability(&self, lsn: Lsn) -> Result<Option<Durability>, LogError> {
        self.check_not_poisoned()?;
        if lsn > self.last() {
            return Err(LogError::NotAppended { lsn, last: self.last() });
        }
        Ok(if lsn <= self.durable.last {
            Some(Durability::Synced)
        } else if lsn <= self.written.last {
            Some(Durability::Buffered)
        } else {
            None
        })
    }

    pub(crate) fn check_not_poisoned(&self) -> Result<(), LogError> {
        match &self.phase {
            Phase::Poisoned(reason) => Err(LogError::Poisoned { reason: Arc::clone(reason) }),
            _ => Ok(()),
        }
    }

    fn check_open(&self) -> Result<(), LogError> {
        if planted(Bug::ErrorForgotten) && matches!(self.phase, Phase::Poisoned(_)) {
            return Ok(());
        }
        self.check_not_poisoned()?;
        if self.phase == Phase::Open { Ok(()) } else { Err(LogError::Closed) }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Keeps memory for a batch to come, or gives it back where there is enough or this is too
    /// large. What was used before is worth more than what the system gives anew.
    fn keep(&mut self, buffer: BlockBuffer, pending_bytes_max: usize) -> Option<BlockBuffer> {
        let bytes_max = pending_bytes_max.saturating_mul(2);
        let capacity = buffer.capacity();
        let all = self.spares.iter().fold(capacity, |sum, one| sum.saturating_add(one.capacity()));
        let room = self.spares.len() < SPARES && all <= bytes_max;
        if !room || capacity < BLOCK_BYTES || !buffer.is_aligned() {
            return Some(buffer);
        }
        self.spares.push(buffer);
        None
    }

    /// The smallest memory that has room for so many bytes, or else the largest.
    fn spare(&mut self, bytes: usize) -> BlockBuffer {
        let sizes = self.spares.iter().map(BlockBuffer::capacity).enumerate();
        let best = sizes.min_by_key(|(_, size)| match size.checked_sub(bytes) {
            Some(more) => (false, more),
            None => (true, bytes.saturating_sub(*size)),
        });
        best.map_or_else(BlockBuffer::default, |(index, _)| self.spares.swap_remove(index))
    }

    /// Takes what is pending, to be written; records are appended to the next batch from now on.
    fn take_pending(&mut self, writer: &Writer) -> PendingBatch {
        let spare = self.spare(0);
        let lead = match self.pending.is_empty() {
            true => writer.lead(),
            false => writer.lead_after(self.pending.frame_len()),
        };
        let next = PendingBatch::new(self.pending.next(), lead, spare);
        std::mem::replace(&mut self.pending, next)
    }
}

impl Shared {
    pub(crate) fn new(
        shelf: Arc<Shelf>,
        book: Box<dyn StorageLock>,
        writer: Writer,
        options: &LogOptions,
    ) -> Self {
        let catalog = Arc::clone(writer.catalog());
        let hashing = Arc::clone(writer.hashing());
        let extent = writer.written();
        let state = State {
            pending: PendingBatch::new(extent.last.next(), writer.lead(), BlockBuffer::default()),
            written: extent,
            durable: extent,
            writer: Some(writer),
            spares: Vec::new(),
            phase: Phase::Open,
            waiting: Waiting::default(),
            followers: 0,
        };
        Self {
            shelf,
            pending_bytes_max: options.pending_bytes_max,
            state: Mutex::new(state),
            progress: Condvar::new(),
            catalog,
            hashing,
            book: PlainMutex::new(Some(book)),
            snapshots: PlainMutex::default(),
        }
    }

    pub(crate) fn storage(&self) -> &dyn Storage {
        &*self.shelf
    }

    /// The storage, with what is known of an archive.
    pub(crate) fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    pub(crate) fn durable(&self) -> Result<Extent, LogError> {
        let state = self.state();
        state.check_not_poisoned()?;
        Ok(state.durable)
    }

    /// To which book the headers of batches are bound.
    pub(crate) fn owner(&self) -> Owner {
        self.catalog.owner()
    }

    /// Where records are.
    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock, but for what the allocator does.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn check_open(&self) -> Result<(), LogError> {
        self.state().check_open()
    }

    pub(crate) fn check_not_poisoned(&self) -> Result<(), LogError> {
        self.state().check_not_poisoned()
    }

    /// Poisons the log for what failed beside it, and gives back what every call will.
    pub(crate) fn give_up(&self, reason: &str) -> LogError {
        self.poison(reason);
        match self.check_not_poisoned() {
            Err(error) => error,
            Ok(()) => LogError::Poisoned { reason: reason.into() },
        }
    }

    /// Adds a record to the pending batch. Where there is no room, the caller first helps to write.
    pub(crate) fn append(&self, record: &NewRecord) -> Result<Lsn, LogError> {
        let mut record = EncodedRecord::new(record, |bytes| {
            let mut state = self.state();
            let spare = state.spare(bytes);
            state.pending.memory(spare)
        })?;
        loop {
            let mut state = self.state();
            state.check_open()?;
            let bytes = state.pending.frame_len().saturating_add(record.padded_len());
            if state.pending.is_empty() || bytes <= self.pending_bytes_max {
                let lsn = state.pending.push(&mut record);
                let left = state.keep(std::mem::take(record.buffer()), self.pending_bytes_max);
                drop(state);
                // To give memory back takes a while: not under the lock.
                drop(left);
                return Ok(lsn);
            }
            self.drive(state, Goal::Room);
        }
    }

    /// Returns when record `lsn` has come so far; the caller may be the one who brings it there.
    pub(crate) fn wait(&self, lsn: Lsn, durability: Durability) -> Result<(), LogError> {
        loop {
            let state = self.state();
            if state.durability(lsn)? >= Some(durability) {
                return Ok(());
            }
            if self.drive(state, Goal::Record(lsn, durability)) == Woken::Reached {
                return Ok(());
            }
        }
    }

    /// Waits for `progress`, at most so long.
    pub(crate) fn follow<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        timeout: std::time::Duration,
    ) -> MutexGuard<'s, State> {
        state.followers = state.followers.saturating_add(1);
        let waited = self.progress.wait_timeout(state, timeout);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.followers = state.followers.saturating_sub(1);
        state
    }

    /// Brings the log one batch further: writes what is pending, or waits for whoever writes.
    fn drive(&self, mut state: MutexGuard<'_, State>, goal: Goal) -> Woken {
        let Some(writer) = state.writer.take() else {
            let waiter = state.waiting.join(goal);
            drop(state);
            return waiter.sleep();
        };
        // A relaxed commit does not sync what others want synced later than it.
        let relaxed = matches!(goal, Goal::Record(_, Durability::Buffered));
        let sync = !relaxed || state.waiting.want_sync();
        let batch = state.take_pending(&writer);
        let room = state.waiting.take_room();
        drop(state);
        room.wake();
        Lead { shared: self, done: false }.commit(writer, batch, sync);
        Woken::LookAgain
    }

    /// Ends all use of the handle; the first reason stays.
    fn poison(&self, reason: &str) {
        let mut state = self.state();
        let first = state.check_not_poisoned().is_ok();
        if first {
            state.phase = Phase::Poisoned(reason.into());
        }
        let all = state.waiting.take_all();
        self.give_back(state, all);
        self.hashing.end();
        if first {
            trace::poisoned(reason);
        }
    }

    /// Gives the lock back, and wakes these and those who follow.
    fn give_back(&self, state: MutexGuard<'_, State>, wake: ToWake) {
        let followed = state.followers > 0;
        drop(state);
        wake.wake();
        if followed {
            self.progress.notify_all();
        }
    }

    /// Writes space ahead. Who appends in the meantime is not held up, who waits for a record is.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), LogError> {
        let mut writer = loop {
            let mut state = self.state();
            state.check_open()?;
            if let Some(writer) = state.writer.take() {
                break writer;
            }
            self.drive(state, Goal::Any);
        };
        let mut lead = Lead { shared: self, done: false };
        let reserved = writer.reserve(bytes);
        lead.done = true;
        match reserved {
            Ok(()) => {
                lead.hand_on(writer, None);
                trace::reserved(bytes);
            }
            Err(error) => return Err(self.give_up(&error.to_string())),
        }
        Ok(())
    }

    pub(crate) fn close(&self) -> Result<(), LogError> {
        let writer = loop {
            let mut state = self.state();
            state.check_not_poisoned()?;
            if state.is_closed() {
                return Ok(());
            }
            state.phase = Phase::Closing;
            if state.durable.last == state.last()
                && let Some(writer) = state.writer.take()
            {
                break writer;
            }
            self.drive(state, Goal::Any);
        };
        let mut lead = Lead { shared: self, done: false };
        let closed = writer.close();
        lead.done = true;
        if let Err(error) = closed {
            return Err(self.give_up(&error.to_string()));
        }
        let mut state = self.state();
        state.phase = Phase::Closed;
        let last = state.last();
        let all = state.waiting.take_all();
        self.give_back(state, all);
        trace::closed(last);
        Ok(())
    }

    /// Keeps memory for a batch to come; what is too much is given back, outside the lock.
    fn keep(&self, buffer: BlockBuffer) {
        let left = self.state().keep(buffer, self.pending_bytes_max);
        drop(left);
    }

    /// Hashes with the calling thread what is written, until the log is closed, dropped or fails.
    pub(crate) fn lend_for_hashing(&self) -> Result<(), LogError> {
        let lent = self.hashing.lend(&mut |buffer| self.keep(buffer));
        match lent {
            Ok(()) => self.check_not_poisoned(),
            Err(error) => Err(self.give_up(&error.to_string())),
        }
    }

    pub(crate) fn release(&self) {
        self.hashing.end();
        drop(self.book.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// The thread that has the writer. If it ends by a panic in the storage, the log is poisoned, for
/// nobody knows what was written.
struct Lead<'s> {
    shared: &'s Shared,
    done: bool,
}

impl Lead<'_> {
    fn commit(mut self, mut writer: Writer, mut batch: PendingBatch, sync: bool) {
        let shared = self.shared;
        let (first, records, bytes) = (batch.first(), batch.count(), batch.frame_len());
        let about = trace::Commit { first, records, bytes, sync };
        let committed = trace::commit(about, || writer.commit(&mut batch, sync));
        let place = match committed {
            Ok(place) => place,
            Err(error) => {
                self.done = true;
                return shared.poison(&error.to_string());
            }
        };
        self.tell(&writer);
        let Some(place) = place else {
            self.done = true;
            return self.hand_on(writer, Some(batch.into_buffer()));
        };
        writer.take_in(place, &batch);
        let mut keep = |buffer| shared.keep(buffer);
        let mut hashed = shared.hashing.push(batch, &mut keep);
        if hashed.is_ok() {
            // The next batch can be on its way while this one is hashed.
            self.hand_on(writer, None);
            hashed = shared.hashing.help(&mut keep);
        }
        self.done = true;
        if let Err(error) = hashed {
            shared.poison(&error.to_string());
        }
    }

    /// Says how far the log has come, and wakes who has what it waited for. The writer is not there
    /// to be taken yet.
    fn tell(&self, writer: &Writer) {
        let mut state = self.shared.state();
        state.written = writer.written();
        state.durable = writer.synced();
        let (written, durable) = (state.written.last, state.durable.last);
        let done = state.waiting.take_done(written, durable);
        self.shared.give_back(state, done);
    }

    /// Says how far the log has come, gives the writer back, and wakes who has what it waited for,
    /// and one to write what is pending.
    fn hand_on(&self, writer: Writer, buffer: Option<BlockBuffer>) {
        let mut state = self.shared.state();
        state.written = writer.written();
        state.durable = writer.synced();
        let (written, durable) = (state.written.last, state.durable.last);
        state.writer = Some(writer);
        let left = buffer.and_then(|buffer| state.keep(buffer, self.shared.pending_bytes_max));
        let wake = state.waiting.take_reached(written, durable);
        self.shared.give_back(state, wake);
        drop(left);
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.shared.poison("a panic while writing");
        }
    }
}
