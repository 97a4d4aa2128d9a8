//! Keeping a book: copies of it, and what is left of a damaged one.

use crate::engine::Engine;
use crate::error::Error;
use crate::events::BookRecord;
use crate::keys::Keys;
use counterfoil_log::{
    ArchiveError, ArchiveReport, BackupError, BackupOptions, BackupReport, DiskUse, FileStorage,
    Hasher, History, LogOptions, Lsn, OpenError, Orphans, SalvageError, SalvageReport, Storage,
};
use std::path::Path;
use std::sync::Arc;

impl Engine {
    /// Copies the book, as it is on disk now, into a directory that is empty, not there, or holds a
    /// former backup of this book, to which what is missing is added. The book goes on meanwhile.
    /// The copy is a book like any other; personal data that was erased is not in it.
    ///
    /// # Errors
    /// [`BackupError`]; the book itself is never changed.
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<BackupReport, BackupError> {
        backup(self.log(), to.as_ref())
    }

    /// Moves the sealed segments of the log whose records are all before a position to the
    /// directory that [`Options::archive`](crate::Options::archive) names. The book stays the same,
    /// and is opened and looked into with its archive, or from a snapshot behind what was moved.
    ///
    /// # Errors
    /// [`ArchiveError`]; what is not moved stays in the book.
    pub fn archive(&self, before: Lsn) -> Result<ArchiveReport, ArchiveError> {
        self.log().archive(before)
    }

    /// Brings archived segments with records from a position on back into the book. They stay in the
    /// archive as well.
    ///
    /// # Errors
    /// [`ArchiveError`]; what is not fetched stays archived.
    pub fn fetch(&self, from: Lsn) -> Result<ArchiveReport, ArchiveError> {
        self.log().fetch(from)
    }

    /// Writes space ahead for so many bytes of records, and returns when it is on disk: for an idle
    /// moment before much is to come. Closing gives back what was not used.
    ///
    /// # Errors
    /// [`Error::Log`], also where the disk has no such room.
    pub fn reserve(&self, bytes: u64) -> Result<(), Error> {
        Ok(self.log().reserve(bytes)?)
    }

    /// What a thread runs that the caller lends to the book for hashing what is written: large
    /// batches of usage are then hashed while the next ones are on their way. The book has no
    /// thread of its own.
    #[must_use]
    pub fn hasher(&self) -> Hasher {
        self.log().hasher()
    }

    /// What the book takes up on disk, by kind, in bytes.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Log`].
    pub fn disk_use(&self) -> Result<DiskUse, Error> {
        Ok(self.log().disk_use()?)
    }
}

pub(crate) fn backup(log: &History, to: &Path) -> Result<BackupReport, BackupError> {
    let target = FileStorage::open(to)
        .map_err(|error| BackupError::OtherTarget { found: error.to_string() })?;
    log.backup(&target, BackupOptions::default())
}

/// Copies what is whole of a damaged book, up to the first record that is missing, into a new
/// directory, and says what is missing. The damaged book is not changed.
///
/// # Errors
/// [`SalvageError`] where nothing could be copied.
pub fn salvage(
    damaged: impl AsRef<Path>,
    to: impl AsRef<Path>,
) -> Result<SalvageReport, SalvageError> {
    let source = damaged_book(damaged.as_ref()).map_err(SalvageError::Source)?;
    let target = FileStorage::open(to.as_ref()).map_err(SalvageError::Target)?;
    counterfoil_log::salvage(Arc::new(source), target, LogOptions::default())
}

/// The whole records of a damaged book that [`salvage`] leaves behind, because something before
/// them is missing. They may be looked at, and cannot be applied. What is personal is left out where
/// its key is not there any more.
///
/// # Errors
/// [`OpenError`] where there is no book, not even a damaged one.
pub fn orphans(
    damaged: impl AsRef<Path>,
) -> Result<impl Iterator<Item = Result<BookRecord, Error>>, OpenError> {
    let storage = Arc::new(damaged_book(damaged.as_ref())?);
    let keys = Keys::read_only(Arc::clone(&storage) as Arc<dyn Storage>);
    Ok(Orphans::of(storage)?.map(move |record| {
        let read = BookRecord::decoded(Ok(record.clone()), &keys);
        read.or_else(|_| BookRecord::without_keys(record))
    }))
}

/// A directory that may have lost its manifest.
fn damaged_book(dir: &Path) -> Result<FileStorage, OpenError> {
    if dir.is_dir() {
        return FileStorage::open(dir);
    }
    Err(OpenError::NotABook { found: format!("{} is not a directory", dir.display()) })
}
