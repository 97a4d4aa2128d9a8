//! What can go wrong.

use crate::codec::CodecError;
use crate::keys::KeyError;
use counterfoil_core::{Code, Refusal};
use counterfoil_log::{Damage, LogError, Lsn, OpenError, ProofError, ReadError, VaultError};
use counterfoil_model::UpcastError;
use std::sync::Arc;

/// What can go wrong with a command, a query or a book.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The command was refused; nothing changed.
    #[error(transparent)]
    Refused(Refusal),
    /// The book is poisoned by its first I/O error or by a panic while it was changed, or closed.
    /// Opening it again recovers.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The book could not be read.
    #[error("the book cannot be read: {0}")]
    Read(String),
    /// The book is damaged where it was read. Nothing was changed.
    #[error(transparent)]
    Damaged(Damage),
    /// What is read lies in a segment that was archived, and the archive is not given: see
    /// [`Options::archive`](crate::Options::archive).
    #[error("segment {segment} is in an archive that is not attached")]
    Archived {
        /// Number of the segment.
        segment: u32,
    },
    /// What is personal could not be sealed or opened.
    #[error(transparent)]
    Key(Arc<KeyError>),
    /// A snapshot could not be written or removed. It is disposable: the book goes on without it.
    #[error("the snapshot: {0}")]
    Snapshot(String),
    /// A part of the state lay in a snapshot and could not be read when it was needed. Nothing was
    /// written or answered without it; the snapshot was given up, and opening the book again reads
    /// the log instead.
    #[error("a part of the state cannot be read: {0}")]
    Unreadable(String),
    /// A proof does not hold.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// Nobody told the book what time it is.
    #[error("the book has no time yet: advance it first")]
    NoTime,
    /// The machine gave another kind of object than was asked for; a bug.
    #[error("{0} gave back another kind of object")]
    UnexpectedOutput(&'static str),
}

impl Error {
    /// The code of the refusal, where it is one.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(refusal) => Some(refusal.code()),
            _ => None,
        }
    }
}

impl From<KeyError> for Error {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Vault(VaultError::Log(error)) => Self::Log(error),
            error => Self::Key(Arc::new(error)),
        }
    }
}

impl From<CodecError> for Error {
    fn from(error: CodecError) -> Self {
        match error {
            CodecError::Form(reason) => Self::Read(reason),
            CodecError::Unknown(error) => Self::Read(error.to_string()),
            CodecError::Key(error) => error.into(),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unreadable { reason } => Self::Unreadable(reason),
            refusal => Self::Refused(refusal),
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damaged(damage) => Self::Damaged(damage),
            ReadError::Archived { segment } => Self::Archived { segment },
            ReadError::Log(error) => Self::Log(error),
            error => Self::Read(error.to_string()),
        }
    }
}

impl From<BookError> for Error {
    fn from(error: BookError) -> Self {
        match error {
            BookError::Log(OpenError::Damaged(damage)) => Self::Damaged(damage),
            BookError::Archived { segment } => Self::Archived { segment },
            BookError::Settings(refusal) => refusal.into(),
            error => Self::Read(error.to_string()),
        }
    }
}

/// Why a book did not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BookError {
    /// Snapshots that hold what was erased could not be removed.
    #[error("snapshots cannot be removed: {0}")]
    Snapshots(String),
    /// The log did not open: it is in use, damaged, or no book.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// The operating system gave no randomness.
    #[error("no randomness to be had: {0}")]
    Entropy(String),
    /// What is read lies in a segment that was archived, and the archive is not given: see
    /// [`Options::archive`](crate::Options::archive).
    #[error("segment {segment} is in an archive that is not attached")]
    Archived {
        /// Number of the segment.
        segment: u32,
    },
    /// A record cannot be read.
    #[error("record {lsn}: {reason}")]
    Record {
        /// Which record.
        lsn: Lsn,
        /// Why.
        reason: String,
    },
    /// A newer version of the program wrote an event of a type or form that is not known here.
    #[error("record {lsn}: {source}")]
    Unknown {
        /// Which record.
        lsn: Lsn,
        /// Which type or form.
        source: UpcastError,
    },
    /// What is personal in a record cannot be opened.
    #[error("record {lsn}: {source}")]
    Key {
        /// Which record.
        lsn: Lsn,
        /// Why.
        source: KeyError,
    },
    /// The key of a customer that was erased cannot be destroyed.
    #[error("a key that was erased cannot be destroyed: {0}")]
    Erasure(KeyError),
    /// The settings or a policy are out of their limits, or a position is not there.
    #[error(transparent)]
    Settings(#[from] Refusal),
}

impl BookError {
    /// Why the record that is due could not be read: damage, or something else.
    pub(crate) fn reading(lsn: Lsn, error: ReadError) -> Self {
        match error {
            ReadError::Damaged(damage) => Self::Log(OpenError::Damaged(damage)),
            ReadError::Archived { segment } => Self::Archived { segment },
            error => Self::Record { lsn, reason: error.to_string() },
        }
    }
}
