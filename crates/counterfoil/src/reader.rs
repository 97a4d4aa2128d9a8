//! Looking into a book without changing it.

use crate::engine::Options;
use crate::error::{BookError, Error};
use crate::events::BookRecord;
use crate::keys::Keys;
use crate::snapshot::Kept;
use crate::verify::{self, Verified};
use crate::view::{self, AsOf, View};
use crate::{keep, proof};
use counterfoil_log::{
    BackupError, BackupReport, Damage, DiskUse, FileStorage, Lsn, OpenError, Proof, Reader,
    Receipt, Storage,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A book that is looked into and not written to: it may be open in another process, which goes on,
/// or lie where nothing can be written.
///
/// Nothing is locked and nothing repaired. What is seen is what was whole when the book was opened
/// or [refreshed](BookReader::refresh), and it is on disk, as what an [`Engine`](crate::Engine)
/// answers from: where its writer has not synced it yet, the reader does. Only where the system lets
/// nobody sync who may not write can a loss of power take back the last of it. What a crash left half
/// written at the end is passed over, and any other damage is an error when reading comes to it.
///
/// ```
/// use counterfoil::{BookReader, CreateCustomer, Engine, Lsn, NoPayments, Options, Timestamp};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = std::env::temp_dir().join(format!("counterfoil-reader-{}", std::process::id()));
/// let book = Engine::open(&dir, Options::default())?;
/// book.advance_to(Timestamp::parse("2024-01-01T00:00:00Z")?, &mut NoPayments)?;
///
/// let reader = BookReader::open(&dir)?; // here, or in another process
/// let mut events = reader.events(Lsn(1));
/// assert_eq!(events.by_ref().count(), 1);
///
/// let ada = book.customers().create(CreateCustomer::default())?;
/// assert_eq!(reader.refresh()?, book.durable());
/// assert_eq!(events.by_ref().count(), 1);
/// assert!(reader.as_of(reader.last())?.state().customer(&ada.id).is_ok());
/// assert!(reader.as_of(Lsn(1))?.state().customer(&ada.id).is_err());
/// # drop(book);
/// # std::fs::remove_dir_all(dir)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BookReader {
    log: Reader,
    keys: Arc<Keys>,
}

impl BookReader {
    /// Looks into the book in a directory.
    ///
    /// # Errors
    /// [`BookError`] where the book is of a newer format, its manifest is damaged, it cannot be
    /// read, or there is none.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, BookError> {
        Self::on(FileStorage::open_existing(dir.as_ref())?)
    }

    /// Looks into a book on any storage.
    ///
    /// # Errors
    /// As [`BookReader::open`].
    pub fn on(storage: impl Storage) -> Result<Self, BookError> {
        let storage: Arc<dyn Storage> = Arc::new(storage);
        let log = Reader::open(Arc::clone(&storage))?;
        log.sync().map_err(OpenError::from)?;
        Ok(Self { log, keys: Arc::new(Keys::read_only(storage)) })
    }

    /// Looks for what was written since, and returns the last record. Iterators that came to the
    /// end go on with it. Personal data that was erased since is seen no longer.
    ///
    /// # Errors
    /// [`BookError::Log`]; what was seen before can still be read.
    pub fn refresh(&self) -> Result<Lsn, BookError> {
        self.wait_beyond(self.last(), Duration::ZERO)
    }

    /// The same, again and again, until there is a record after `lsn` or the time is over: for
    /// whoever follows a book that is open in another process.
    ///
    /// # Errors
    /// As [`BookReader::refresh`].
    pub fn wait_beyond(&self, lsn: Lsn, timeout: Duration) -> Result<Lsn, BookError> {
        let last = self.log.wait_beyond(lsn, timeout)?;
        self.log.sync().map_err(OpenError::from)?;
        self.keys.refresh();
        Ok(last)
    }

    /// The last record.
    #[must_use]
    pub fn last(&self) -> Lsn {
        self.log.last()
    }

    /// The damage that stands behind the last record, if there is any.
    #[must_use]
    pub fn damage(&self) -> Option<Damage> {
        self.log.damage()
    }

    /// Reads segments that were moved to an archive from this directory.
    ///
    /// # Errors
    /// [`BookError::Log`] where there is no such directory.
    pub fn attach_archive(&self, dir: impl AsRef<Path>) -> Result<(), BookError> {
        attach_archive(&self.log, dir.as_ref())
    }

    /// The records from a position on. It ends where the book ends for now, and goes on after a
    /// [`BookReader::refresh`]; where the book is damaged behind that, with [`Error::Damaged`].
    pub fn events(&self, from: Lsn) -> impl Iterator<Item = Result<BookRecord, Error>> {
        self.log.read(from).map(|record| BookRecord::decoded(record, &self.keys))
    }

    /// The records from a position back to the first.
    pub fn events_back(&self, from: Lsn) -> impl Iterator<Item = Result<BookRecord, Error>> {
        self.log.read_back(from).map(|record| BookRecord::decoded(record, &self.keys))
    }

    /// The records from a position on that have an event of a stream; see
    /// [`Engine::events_of`](crate::Engine::events_of).
    pub fn events_of(
        &self,
        stream: &str,
        from: Lsn,
    ) -> impl Iterator<Item = Result<BookRecord, Error>> {
        let records = self.log.read_stream(stream, from);
        records.map(|record| BookRecord::decoded(record, &self.keys))
    }

    /// The same, from a position back to the first.
    pub fn events_of_back(
        &self,
        stream: &str,
        from: Lsn,
    ) -> impl Iterator<Item = Result<BookRecord, Error>> {
        let records = self.log.read_stream_back(stream, from);
        records.map(|record| BookRecord::decoded(record, &self.keys))
    }

    /// The book as it was after a record or at a time; see [`Engine::as_of`](crate::Engine::as_of).
    ///
    /// # Errors
    /// [`BookError::Settings`] for a position that is not there; [`BookError::Record`];
    /// [`BookError::Log`] where damage stands before the end of what is asked for.
    pub fn as_of(&self, moment: impl Into<AsOf>) -> Result<View, BookError> {
        let moment = moment.into();
        view::check(moment, self.last())?;
        if moment == AsOf::Latest {
            self.check_whole()?;
        }
        let kept = Kept::of(&Options::default(), Arc::clone(&self.keys));
        View::of_log(&self.log, &kept, moment)
    }
}

/// Reads segments that were moved to an archive from a directory that is there.
pub(crate) fn attach_archive(log: &Reader, dir: &Path) -> Result<(), BookError> {
    if !dir.is_dir() {
        let found = format!("{} is not a directory", dir.display());
        return Err(OpenError::NotABook { found }.into());
    }
    log.attach_archive(FileStorage::open(dir)?);
    Ok(())
}

impl BookReader {
    /// What the history of the book is now; see [`Engine::receipt`](crate::Engine::receipt).
    ///
    /// # Errors
    /// [`Error::Damaged`] where damage stands behind the last record; [`Error::Read`].
    pub fn receipt(&self) -> Result<Receipt, Error> {
        self.check_whole()?;
        self.receipt_at(self.last())
    }

    /// What the history of the book was after a record; see
    /// [`Engine::receipt_at`](crate::Engine::receipt_at).
    ///
    /// # Errors
    /// [`Error::Refused`] for a position that is not there; [`Error::Read`], [`Error::Damaged`].
    pub fn receipt_at(&self, position: Lsn) -> Result<Receipt, Error> {
        proof::receipt_at(&self.log, position, self.last())
    }

    /// A proof that the invoice with an id or a number was finalized; see
    /// [`Engine::prove`](crate::Engine::prove).
    ///
    /// # Errors
    /// As [`Engine::prove`](crate::Engine::prove).
    pub fn prove(&self, invoice: &str, receipt: &Receipt) -> Result<Proof, Error> {
        proof::prove(&self.log, invoice, receipt)
    }

    /// Copies the book, up to the last record that is seen, to a directory; see
    /// [`Engine::backup`](crate::Engine::backup). Whoever has it open goes on meanwhile.
    ///
    /// # Errors
    /// As [`Engine::backup`](crate::Engine::backup); [`BackupError::Book`] where damage stands
    /// behind that record.
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<BackupReport, BackupError> {
        keep::backup(&self.log, to.as_ref())
    }

    /// What the book takes up on disk, by kind, in bytes.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Damaged`].
    pub fn disk_use(&self) -> Result<DiskUse, Error> {
        Ok(self.log.disk_use()?)
    }

    /// The snapshots that are there, oldest first, by the record up to which each goes.
    ///
    /// # Errors
    /// [`Error::Snapshot`] where the directory cannot be read.
    pub fn snapshots(&self) -> Result<Vec<Lsn>, Error> {
        Ok(self.log.snapshots()?)
    }

    /// As [`verify_with`](crate::verify_with), with what is in the archive that is attached.
    ///
    /// # Errors
    /// As [`verify_with`](crate::verify_with).
    pub fn verify(
        &self,
        options: &Options,
        receipt: Option<&Receipt>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Verified, BookError> {
        verify::verify_read(&self.log, &self.keys, options, receipt, progress)
    }

    /// Refuses a book that is damaged behind the last record that is seen.
    fn check_whole(&self) -> Result<(), BookError> {
        match self.damage() {
            Some(damage) => Err(OpenError::Damaged(damage).into()),
            None => Ok(()),
        }
    }
}
