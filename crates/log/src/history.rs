//! Heads and proofs of a log.

use crate::{
    Log, Lsn, Proof, Receipt, error::ReadError, group::Extent, read::Source, stream::StoredStream,
};

impl Log {
    /// The receipt of the last durable record: what the book is now.
    ///
    /// # Errors
    /// [`ReadError`]; [`ReadError::Archived`] where what is needed lies in an archive that is not
    /// attached.
    pub fn head(&self) -> Result<Receipt, ReadError> {
        let durable = self.shared().durable()?;
        self.receipt_within(durable.last, durable)
    }

    /// The receipt of a durable record: what the book was when it had been written. It does not
    /// change any more, and is the same for the same records, however they were committed.
    ///
    /// It is computed from what the segments keep of the hash tree, and the records from the
    /// beginning of its group on. [`Lsn::ZERO`] gives [`Receipt::EMPTY`].
    ///
    /// # Errors
    /// [`ReadError::NotDurable`] where there is no such record; otherwise as [`Log::head`].
    pub fn head_at(&self, lsn: Lsn) -> Result<Receipt, ReadError> {
        self.receipt_within(lsn, self.shared().durable()?)
    }

    /// Proves a record to whoever has `receipt`, which may be any receipt of this book that covers
    /// it.
    ///
    /// # Errors
    /// [`ReadError::NotDurable`] where the receipt does not cover the record, or the book not the
    /// receipt; [`ReadError::OtherHistory`] where the receipt is not one of this book; otherwise as
    /// [`Log::head`].
    pub fn prove(&self, lsn: Lsn, receipt: &Receipt) -> Result<Proof, ReadError> {
        let durable = self.shared().durable()?;
        if lsn > receipt.lsn {
            return Err(ReadError::NotDurable { lsn, durable: receipt.lsn });
        }
        if receipt.lsn > durable.last {
            return Err(ReadError::NotDurable { lsn: receipt.lsn, durable: durable.last });
        }
        let other = ReadError::OtherHistory { lsn: receipt.lsn };
        let mut stream = self.stream_within(receipt.lsn, durable)?;
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

    pub(crate) fn receipt_within(&self, lsn: Lsn, durable: Extent) -> Result<Receipt, ReadError> {
        receipt_within(&**self.shared(), lsn, durable)
    }

    pub(crate) fn stream_within(
        &self,
        lsn: Lsn,
        durable: Extent,
    ) -> Result<StoredStream<'_>, ReadError> {
        stream_within(&**self.shared(), lsn, durable)
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

fn stream_within(
    source: &dyn Source,
    lsn: Lsn,
    durable: Extent,
) -> Result<StoredStream<'_>, ReadError> {
    let catalog = source.catalog();
    let mut stream = StoredStream::new(source.storage(), catalog.owner(), durable.end);
    if lsn > durable.last {
        return Err(ReadError::NotDurable { lsn, durable: durable.last });
    }
    let active = catalog.active();
    stream.learn_places(active.segment, &active.rows.places);
    drop(active);
    Ok(stream)
}
