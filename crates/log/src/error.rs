//! One error enum per family of operations, and what damage is called.

use std::{io, sync::Arc};

use crate::{Lsn, shelf::Archived};

/// An input or output operation that failed, and on what.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {file}: {source}")]
pub struct IoError {
    /// What was tried, as a verb: "read", "sync".
    pub action: &'static str,
    /// The file of the book, or its directory.
    pub file: String,
    /// What the system said.
    pub source: io::Error,
}

impl IoError {
    pub(crate) fn at(action: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { action, file: file.to_owned(), source }
    }
}

/// A damaged place of a book.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} is damaged at byte {offset}: {reason}")]
pub struct Damage {
    /// Name of the file within the book.
    pub file: String,
    /// Where in the file the damaged thing begins, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub reason: DamageReason,
}

/// What is wrong at a damaged place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DamageReason {
    /// The file is not there.
    #[error("the file is missing")]
    Missing,
    /// The file ends inside a header.
    #[error("the file ends inside a header")]
    HeaderCut,
    /// A header does not begin as headers of its kind do.
    #[error("no header stands where one must be")]
    HeaderMagic,
    /// The checksum of a header does not fit its bytes and place.
    #[error("the checksum of the header is wrong")]
    HeaderChecksum,
    /// A header whose checksum is right says what no writer says.
    #[error("the header is malformed: {0}")]
    HeaderForm(&'static str),
    /// The file is that of another book.
    #[error("belongs to another book")]
    OtherBook,
    /// A batch begins at another place of the record stream than the records before it end.
    #[error("begins at byte {found} of the record stream, where {expected} is due")]
    StreamPosition {
        /// The position found.
        found: u64,
        /// The position that is due.
        expected: u64,
    },
    /// A hash that was written down is not that of the records.
    #[error("the hash tree is not that of the records")]
    Tree,
    /// The checksum of a section of a footer does not fit its rows.
    #[error("the checksum of the section is wrong")]
    SectionChecksum,
    /// A footer whose checksums are right does not fit its segment.
    #[error("the footer is malformed: {0}")]
    FooterForm(&'static str),
    /// A segment that others follow does not end with a footer.
    #[error("no footer stands at the end of a sealed segment")]
    FooterMissing,
    /// A batch is longer than what is left of its file.
    #[error("the batch is longer than the rest of the file")]
    BatchLength,
    /// A batch or segment begins with another record than the one that is due.
    #[error("begins with record {found}, where {expected} is due")]
    FirstLsn {
        /// The number found.
        found: Lsn,
        /// The number that is due.
        expected: Lsn,
    },
    /// The records of a batch are each whole, but not those the batch was written with.
    #[error("the records are not those of their batch")]
    BatchChecksum,
    /// The length of a record does not fit its batch.
    #[error("the length of the record does not fit its batch")]
    RecordLength,
    /// The checksum of a record does not fit its bytes.
    #[error("the checksum of the record is wrong")]
    RecordChecksum,
    /// A whole record stands where another one is due.
    #[error("record {found} stands where {expected} is due")]
    RecordLsn {
        /// The number found.
        found: Lsn,
        /// The number that is due.
        expected: Lsn,
    },
    /// A record whose checksum is right says what no writer says.
    #[error("the record is malformed: {0}")]
    RecordForm(&'static str),
    /// The log ends before a record that was known to be synced.
    #[error("the log ends before record {synced}, which was synced")]
    EndsEarly {
        /// The last record known to be synced.
        synced: Lsn,
    },
    /// A key slot whose checksum, number or form is wrong.
    #[error("the key slot is not as it was written")]
    KeySlot,
    /// The disk does not give the bytes back.
    #[error("the disk cannot read it")]
    Unreadable,
    /// A snapshot is not what was written.
    #[error("the snapshot cannot be used: {0}")]
    Snapshot(&'static str),
    /// Bytes follow the end of a sealed segment or a closed book.
    #[error("bytes follow the end")]
    AfterEnd,
}

impl DamageReason {
    /// Whether a write that a crash interrupted can look like this. What carries a right checksum
    /// was written whole, so what is wrong with it was not torn.
    pub(crate) const fn may_be_torn(self) -> bool {
        matches!(
            self,
            Self::HeaderCut
                | Self::HeaderMagic
                | Self::HeaderChecksum
                | Self::BatchLength
                | Self::RecordLength
                | Self::RecordChecksum
                | Self::SectionChecksum
        )
    }
}

/// Why a book was not opened. Nothing in it was changed, unless an I/O error came in the middle of
/// the repair of a torn tail, which the next opening takes up again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another handle of this one, has the book.
    #[error("the book is in use by another process or handle")]
    Locked,
    /// The book cannot be written to: its file system is read-only, or permission is missing. A
    /// [`Reader`](crate::Reader) looks into it all the same.
    #[error("the book cannot be written to, only read: {reason}")]
    NotWritable {
        /// What the system said.
        reason: String,
    },
    /// The directory holds files, but no book; or it is not there.
    #[error("not a book: {found}")]
    NotABook {
        /// What was found instead.
        found: String,
    },
    /// The book was written by another version of the format.
    #[error("{file} has format version {found}; this build reads {supported}")]
    Version {
        /// The file that says so.
        file: String,
        /// The version found.
        found: u32,
        /// The version that this build reads and writes.
        supported: u32,
    },
    /// The book is damaged; see [`verify`](crate::verify) for all places.
    #[error(transparent)]
    Damaged(Damage),
    /// An option lies outside its bounds.
    #[error("option {option} is {found}: it must lie between {min} and {max}")]
    Option {
        /// Name of the field of [`LogOptions`](crate::LogOptions).
        option: &'static str,
        /// The value given.
        found: u64,
        /// The least value.
        min: u64,
        /// The largest value.
        max: u64,
    },
    /// An operation on a file failed.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// Why a record was not appended, or is not known to be durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// An earlier I/O error: the handle is of no more use, and nothing is acknowledged. The way
    /// back is to open the book again.
    #[error("the log is poisoned: {reason}")]
    Poisoned {
        /// The text of the first error.
        reason: Arc<str>,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// A record was waited for that was never appended.
    #[error("record {lsn} was not appended: the last one is {last}")]
    NotAppended {
        /// The record waited for.
        lsn: Lsn,
        /// The last record appended.
        last: Lsn,
    },
    /// A record is too large.
    #[error("a record of {bytes} bytes: at most {max} are allowed")]
    RecordTooLarge {
        /// Its encoded size.
        bytes: u64,
        /// [`RECORD_BYTES_MAX`](crate::limits::RECORD_BYTES_MAX).
        max: u64,
    },
    /// A record holds too many events.
    #[error("a record of {events} events: at most {max} are allowed")]
    TooManyEvents {
        /// The number of its events.
        events: usize,
        /// [`RECORD_EVENTS_MAX`](crate::limits::RECORD_EVENTS_MAX).
        max: usize,
    },
    /// A stream key is too long.
    #[error("a stream key of {bytes} bytes: at most {max} are allowed")]
    StreamKeyTooLong {
        /// Its length.
        bytes: usize,
        /// [`STREAM_KEY_BYTES_MAX`](crate::limits::STREAM_KEY_BYTES_MAX).
        max: usize,
    },
    /// The entries of a record do not fit its kind.
    #[error("{0}")]
    Shape(#[from] ShapeError),
}

/// How the entries of a record do not fit its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// A record of events, or a block, without an entry.
    #[error("the record has no entry")]
    Empty,
    /// An event without a stream.
    #[error("an event names no stream")]
    StreamMissing,
    /// An entry of a note that names a stream.
    #[error("an entry of a note names a stream")]
    StreamInNote,
}

/// Why a record was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The record is not there, or not yet durable.
    #[error("record {lsn} cannot be read: the last durable one is {durable}")]
    NotDurable {
        /// The record asked for.
        lsn: Lsn,
        /// The last durable record.
        durable: Lsn,
    },
    /// What was read does not fit its checksum or place.
    #[error(transparent)]
    Damaged(Damage),
    /// It lies in a segment that was moved to an archive, and the archive is not attached: see
    /// [`Log::attach_archive`](crate::Log::attach_archive).
    #[error("segment {segment} is in an archive that is not attached")]
    Archived {
        /// Number of the segment.
        segment: u32,
    },
    /// A receipt is not one of this book: its history is another, or one of them was changed.
    #[error("the receipt at record {lsn} is not one of this book")]
    OtherHistory {
        /// The record of the receipt.
        lsn: Lsn,
    },
    /// The log is poisoned or closed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An operation on a file failed. Reading changes nothing, so this does not poison the log.
    #[error(transparent)]
    Io(IoError),
}

impl From<IoError> for ReadError {
    fn from(error: IoError) -> Self {
        match Archived::of(&error.source) {
            Some(Archived { segment }) => Self::Archived { segment },
            None => Self::Io(error),
        }
    }
}
