//! What is read of a book, of one that is open for writing as of one that is only looked at: its
//! records, heads and proofs.

use std::{fmt, sync::Arc};

use crate::{
    Lsn, Proof, Receipt, Records, RecordsBack, StreamRecords, by_stream::find_time,
    error::ReadError, group::Extent, read::Source, record::Record, stream::StoredStream,
};

/// The records of a book: of a [`Log`](crate::Log) those that are durable, of a
/// [`Reader`](crate::Reader) those that it has seen. Both give one out, and read through it.
pub struct History {
    source: Arc<dyn Source>,
}

impl History {
    pub(crate) fn new(source: Arc<dyn Source>) -> Self {
        Self { source }
    }

    pub(crate) fn source(&self) -> &dyn Source {
        &*self.source
    }

    /// The records from `from` on, in order, those included that come while they are read. Where
    /// damage stands behind the last one, it is the error that reading comes to.
    #[must_use]
    pub fn read(&self, from: Lsn) -> Records {
        Records::new(Arc::clone(&self.source), from)
    }

    /// The records from `from`, or the last one where that is before it, down to the first.
    #[must_use]
    pub fn read_back(&self, from: Lsn) -> RecordsBack {
        RecordsBack::new(Arc::clone(&self.source), from)
    }

    /// The records from `from` on that have an entry in the stream with a key, in order. The index
    /// of each segment names them, so that no others are read. Damage is an error, as above.
    #[must_use]
    pub fn read_stream(&self, key: &str, from: Lsn) -> StreamRecords {
        StreamRecords::on(Arc::clone(&self.source), key, from)
    }

    /// As [`History::read_stream`], from `from` down to the first.
    #[must_use]
    pub fn read_stream_back(&self, key: &str, from: Lsn) -> StreamRecords {
        StreamRecords::back(Arc::clone(&self.source), key, from)
    }

    /// The last record whose time is not after `at`; [`Lsn::ZERO`] where there is none. The times of
    /// the records must never go back.
    ///
    /// # Errors
    /// [`ReadError`]; [`ReadError::Archived`] where it lies in an archive that is not attached.
    pub fn find_time(&self, at: i64) -> Result<Lsn, ReadError> {
        find_time(&self.source, at)
    }

    /// Reads one record.
    ///
    /// # Errors
    /// [`ReadError::NotDurable`] where there is none of this number; [`ReadError`] otherwise.
    pub fn read_one(&self, lsn: Lsn) -> Result<Record, ReadError> {
        Records::lookup(Arc::clone(&self.source), lsn)
    }

    /// The receipt of the last record: what the book is now.
    ///
    /// # Errors
    /// [`ReadError`]; [`ReadError::Archived`] where what is needed lies in an archive that is not
    /// attached.
    pub fn head(&self) -> Result<Receipt, ReadError> {
        let durable = self.source.extent()?;
        receipt_within(self.source(), durable.last, durable)
    }

    /// The receipt of a record: what the book was when it had been written. It does not
    /// change any more, and is the same for the same records, however they were committed.
    ///
    /// It is computed from what the segments keep of the hash tree, and the records from the
    /// beginning of its group on. [`Lsn::ZERO`] gives [`Receipt::EMPTY`].
    ///
    /// # Errors
    /// [`ReadError::NotDurable`] where there is no such record; otherwise as [`History::head`].
    pub fn head_at(&self, lsn: Lsn) -> Result<Receipt, ReadError> {
        receipt_within(self.source(), lsn, self.source.extent()?)
    }

    /// Proves a record to whoever has `receipt`, which may be any receipt of this book that covers
    /// it.
    ///
    /// # Errors
    /// [`ReadError::NotDurable`] where the receipt does not cover the record, or the book not the
    /// receipt; [`ReadError::OtherHistory`] where the receipt is not one of this book; otherwise as
    /// [`History::head`].
    pub fn prove(&self, lsn: Lsn, receipt: &Receipt) -> Result<Proof, ReadError> {
        let durable = self.source.extent()?;
        if lsn > receipt.lsn {
            return Err(ReadError::NotDurable { lsn, durable: receipt.lsn });
        }
        if receipt.lsn > durable.last {
            return Err(ReadError::NotDurable { lsn: receipt.lsn, durable: durable.last });
        }
        let other = ReadError::OtherHistory { lsn: receipt.lsn };
        let mut stream = stream_within(self.source(), receipt.lsn, durable)?;
        let end = stream.find(receipt.lsn)?.map_or(0, |place| place.end());
        if end != receipt.stream_bytes {
            return Err(other);
        }
        let not_durable = ReadError::NotDurable { lsn, durable: durable.last };
        let place = stream.find(lsn)?.ok_or(not_durable)?;
        let proof = Proof::build(&mut stream, receipt, lsn, place.position, place.len)?;
        // A proof that does not check is of no use: the receipt says something else than the book.
        proof.filter(|proof| proof.check(receipt).is_ok()).ok_or(other)
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").finish_non_exhaustive()
    }
}

/// The receipt of a record of a book that goes as far as `durable`.
pub(crate) fn receipt_within(
    source: &dyn Source,
    lsn: Lsn,
    durable: Extent,
) -> Result<Receipt, ReadError> {
    let receipt = stream_within(source, lsn, durable)?.receipt(lsn)?;
    receipt.ok_or(ReadError::NotDurable { lsn, durable: durable.last })
}

/// The record stream of a book that goes as far as `durable`, where that holds `lsn`.
pub(crate) fn stream_within(
    source: &dyn Source,
    lsn: Lsn,
    durable: Extent,
) -> Result<StoredStream<'_>, ReadError> {
    let catalog = source.catalog();
    let mut stream = StoredStream::new(source.shelf(), catalog.owner(), durable.end);
    if lsn > durable.last {
        return Err(ReadError::NotDurable { lsn, durable: durable.last });
    }
    let active = catalog.active();
    stream.learn_places(active.segment, &active.rows.places);
    drop(active);
    Ok(stream)
}
