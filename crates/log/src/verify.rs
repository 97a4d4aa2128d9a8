//! Reads a whole book and tells what is in it and where it is damaged.

use crate::{
    Lsn, Receipt, TailCut,
    beside::damage_beside,
    error::{Damage, OpenError, ReadError},
    header::Owner,
    manifest::BookState,
    storage::Storage,
    stream::StoredStream,
    survey::{Depth, Found, Survey, survey},
};

/// What a book holds, and where it is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Whether the book was closed.
    pub clean: bool,
    /// The last whole record.
    pub last: Lsn,
    /// Number of segments.
    pub segments: u32,
    /// How many of them are in an archive: their records were not read.
    pub archived: u32,
    /// Number of whole batches.
    pub batches: u64,
    /// Number of records in whole batches.
    pub records: u64,
    /// Number of entries in those records.
    pub events: u64,
    /// Bytes of all segments up to where their batches end.
    pub bytes: u64,
    /// What the book is after its last whole record; `None` if damage lies before that.
    pub head: Option<Receipt>,
    /// What became of the receipt, if one was given.
    pub receipt: Option<ReceiptCheck>,
    /// A torn tail, which opening the book would cut.
    pub tail: Option<TailCut>,
    /// Damage beside the log, in key slots and snapshots. Opening is not refused for it, but what is
    /// sealed with such a key cannot be read, and such a snapshot is passed over.
    pub beside: Vec<Damage>,
    /// Damaged places, at most [`DAMAGE_LISTED_MAX`](crate::limits::DAMAGE_LISTED_MAX). Opening the
    /// book is refused if there is one.
    pub damage: Vec<Damage>,
}

/// Whether a book is still what a receipt says that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiptCheck {
    /// The records up to that of the receipt are those that they were.
    Holds,
    /// The book was changed: this is what it is at the record of the receipt.
    Differs {
        /// The receipt that the book gives now.
        found: Receipt,
    },
    /// The book ends before the record of the receipt: records are gone.
    EndsBefore {
        /// The last record of the book.
        last: Lsn,
    },
    /// The book is damaged, so that there is nothing to compare.
    Unreadable,
}

impl VerifyReport {
    /// Whether nothing is damaged, and the receipt, if one was given, holds.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let holds = self.receipt.is_none_or(|receipt| receipt == ReceiptCheck::Holds);
        self.damage.is_empty() && self.beside.is_empty() && holds
    }
}

/// Reads and checks every byte of a book, and changes nothing. It goes on behind damage, from the
/// next batch that is whole. All that is written down of the hash tree is compared with the
/// records: in the header blocks and footers of segments and in the manifest.
///
/// **What it proves.** Without a receipt: that the book is what some writer wrote, byte for byte.
/// Who can write the files can also write another book, with all its sums, and that passes. With a
/// receipt that was kept elsewhere: that no record up to the receipt's was edited, removed,
/// inserted or moved since it was given out.
///
/// The book is not locked. While another process writes, the end may look torn or damaged;
/// [`Reader::verify`](crate::Reader::verify) gives a sure answer then too.
///
/// # Errors
/// [`OpenError::NotABook`], [`OpenError::Version`] or [`OpenError::Io`]; damage is in the report.
pub fn verify(storage: &dyn Storage) -> Result<VerifyReport, OpenError> {
    verify_whole(storage, None)
}

/// As [`verify`], and compares the book with a receipt of it: see [`VerifyReport::receipt`].
///
/// # Errors
/// As [`verify`].
pub fn verify_against(storage: &dyn Storage, receipt: &Receipt) -> Result<VerifyReport, OpenError> {
    verify_whole(storage, Some(receipt))
}

pub(crate) fn verify_whole(
    storage: &dyn Storage,
    receipt: Option<&Receipt>,
) -> Result<VerifyReport, OpenError> {
    let survey = match survey(storage, Depth::All)? {
        Found::New(_) => {
            return Err(OpenError::NotABook { found: "it holds no record".to_owned() });
        }
        Found::Book(survey) => survey,
    };
    let head = receipt_of(storage, &survey, survey.last)?;
    let receipt = match receipt {
        Some(receipt) => Some(check(storage, &survey, receipt)?),
        None => None,
    };
    Ok(VerifyReport {
        clean: survey.manifest.state == BookState::Closed,
        last: survey.last,
        segments: survey.segments,
        archived: survey.archived,
        batches: survey.batches,
        records: survey.records,
        events: survey.events,
        bytes: survey.bytes,
        head,
        receipt,
        tail: survey.tail,
        beside: damage_beside(storage)?,
        damage: survey.damage,
    })
}

fn check(
    storage: &dyn Storage,
    survey: &Survey,
    receipt: &Receipt,
) -> Result<ReceiptCheck, OpenError> {
    if receipt.lsn > survey.last && survey.damage.is_empty() {
        return Ok(ReceiptCheck::EndsBefore { last: survey.last });
    }
    Ok(match receipt_of(storage, survey, receipt.lsn)? {
        Some(found) if found == *receipt => ReceiptCheck::Holds,
        Some(found) => ReceiptCheck::Differs { found },
        None => ReceiptCheck::Unreadable,
    })
}

/// What a book without damage is at some record. The survey has compared with the records all that
/// this takes from the segments instead of computing it again.
fn receipt_of(
    storage: &dyn Storage,
    survey: &Survey,
    lsn: Lsn,
) -> Result<Option<Receipt>, OpenError> {
    if !survey.damage.is_empty() {
        return Ok(None);
    }
    let owner = Owner::of(&survey.manifest.book);
    match StoredStream::new(storage, owner, survey.end).receipt(lsn) {
        Ok(receipt) => Ok(receipt),
        Err(ReadError::Io(error)) => Err(error.into()),
        // It was read a moment ago, and has been changed since.
        Err(_) => Ok(None),
    }
}
