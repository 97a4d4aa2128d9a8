//! Reads a whole book and tells what is in it and where it is damaged.

use crate::{
    Lsn, TailCut,
    error::{Damage, OpenError},
    manifest::BookState,
    storage::Storage,
    survey::{Depth, Found, survey},
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
    /// Number of whole batches.
    pub batches: u64,
    /// Number of records in whole batches.
    pub records: u64,
    /// Number of entries in those records.
    pub events: u64,
    /// Bytes of all segments up to where their batches end.
    pub bytes: u64,
    /// A torn tail, which opening the book would cut.
    pub tail: Option<TailCut>,
    /// Damaged places, at most [`DAMAGE_LISTED_MAX`](crate::limits::DAMAGE_LISTED_MAX). Opening the
    /// book is refused if there is one.
    pub damage: Vec<Damage>,
}

/// Reads and checks every byte of a book, and changes nothing. It goes on behind damage, from the
/// next batch that is whole.
///
/// The book is not locked. While another process writes, the end may look torn or damaged; a copy,
/// or a book that nobody has open, gives a sure answer.
///
/// # Errors
/// [`OpenError::NotABook`], [`OpenError::Version`] or [`OpenError::Io`]; damage is in the report.
pub fn verify(storage: &dyn Storage) -> Result<VerifyReport, OpenError> {
    match survey(storage, Depth::All)? {
        Found::New(_) => Err(OpenError::NotABook { found: "it holds no record".to_owned() }),
        Found::Book(survey) => Ok(VerifyReport {
            clean: survey.manifest.state == BookState::Closed,
            last: survey.last,
            segments: survey.segments,
            batches: survey.batches,
            records: survey.records,
            events: survey.events,
            bytes: survey.bytes,
            tail: survey.tail,
            damage: survey.damage,
        }),
    }
}
