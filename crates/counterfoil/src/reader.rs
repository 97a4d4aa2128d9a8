//! Looking into a book without changing it.

use crate::engine::Options;
use crate::entropy::Entropy;
use crate::error::{BookError, Error};
use crate::events::BookRecord;
use crate::keys::Keys;
use crate::snapshot::Kept;
use crate::view::{self, AsOf, View};
use crate::{keep, proof};
use counterfoil_log::{
    BackupError, BackupReport, FileStorage, Log, LogOptions, Lsn, Proof, Receipt, Storage, TailCut,
};
use std::path::Path;
use std::sync::Arc;

/// A book that is looked into and not written to.
///
/// ```
/// use counterfoil::{BookReader, CreateCustomer, Engine, Lsn, NoPayments, Options, Timestamp};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = std::env::temp_dir().join(format!("counterfoil-reader-{}", std::process::id()));
/// let book = Engine::open(&dir, Options::default())?;
/// book.advance_to(Timestamp::parse("2024-01-01T00:00:00Z")?, &mut NoPayments)?;
/// let ada = book.customers().create(CreateCustomer::default())?;
/// book.close()?;
///
/// let reader = BookReader::open(&dir)?;
/// assert!(reader.as_of(reader.last())?.state().customer(&ada.id).is_ok());
/// assert!(reader.as_of(Lsn(1))?.state().customer(&ada.id).is_err());
/// # std::fs::remove_dir_all(dir)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BookReader {
    log: Log,
    keys: Arc<Keys>,
    tail_cut: Option<TailCut>,
}

impl BookReader {
    /// Looks into the book in a directory.
    ///
    /// # Errors
    /// [`BookError`] where the book is in use, damaged, of a newer format, or there is none.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, BookError> {
        Self::on(FileStorage::open_existing(dir.as_ref())?)
    }

    /// Looks into a book on any storage.
    ///
    /// # Errors
    /// As [`BookReader::open`].
    pub fn on(storage: impl Storage) -> Result<Self, BookError> {
        let (log, opened) = Log::open(storage, LogOptions::default())?;
        let keys = Arc::new(Keys::of(&log, Entropy::default()));
        Ok(Self { log, keys, tail_cut: opened.tail_cut })
    }

    /// The half-written commands at the end of the book, which nobody was told of.
    #[must_use]
    pub fn tail_cut(&self) -> Option<&TailCut> {
        self.tail_cut.as_ref()
    }

    /// The last record.
    #[must_use]
    pub fn last(&self) -> Lsn {
        self.log.durable()
    }

    /// The records from a position on.
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
    /// [`BookError::Settings`] for a position that is not there; [`BookError::Record`].
    pub fn as_of(&self, moment: impl Into<AsOf>) -> Result<View, BookError> {
        let moment = moment.into();
        view::check(moment, self.last())?;
        let kept = Kept::of(&Options::default(), Arc::clone(&self.keys));
        View::of_log(&self.log, &kept, moment)
    }
}

impl BookReader {
    /// What the history of the book was after a record; see
    /// [`Engine::receipt`](crate::Engine::receipt).
    ///
    /// # Errors
    /// [`Error::Refused`] for a position that is not there; [`Error::Read`].
    pub fn receipt_at(&self, position: Lsn) -> Result<Receipt, Error> {
        proof::receipt_at(&self.log, position)
    }

    /// A proof that the invoice with an id or a number was finalized; see
    /// [`Engine::prove`](crate::Engine::prove).
    ///
    /// # Errors
    /// As [`Engine::prove`](crate::Engine::prove).
    pub fn prove(&self, invoice: &str, receipt: &Receipt) -> Result<Proof, Error> {
        proof::prove(&self.log, invoice, receipt)
    }

    /// Copies the book to a directory; see [`Engine::backup`](crate::Engine::backup).
    ///
    /// # Errors
    /// As [`Engine::backup`](crate::Engine::backup).
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<BackupReport, BackupError> {
        keep::backup(&self.log, to.as_ref())
    }
}

impl Drop for BookReader {
    fn drop(&mut self) {
        // A book that was closed stays so. Where that fails it is as after a crash, and recovers.
        let _ = self.log.close();
    }
}
