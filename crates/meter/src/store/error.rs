//! Why the store did not do something.

use crate::{AdjustError, AlertError, CheckpointError, MeterError};
use counterfoil_core::Refusal;
use counterfoil_log::{LogError, Lsn, ReadError, SnapshotError};
use std::sync::Arc;

/// Why a call was refused, or the store is of no more use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// An earlier error of the disk, or a panic halfway through a change: nothing is acknowledged
    /// any more, and every call gives this same error. The way back is to open the store again.
    #[error("the store is poisoned: {reason}")]
    Poisoned {
        /// The text of the first error.
        reason: Arc<str>,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// As many events as may be are not on disk yet. Nothing was taken; wait for a ticket.
    #[error("{queued} events wait for the disk, {events} more would be over the bound of {max}")]
    Full {
        /// Events that wait.
        queued: u64,
        /// Events of the call.
        events: u64,
        /// The bound, [`StoreOptions::queued_events_max`](super::StoreOptions).
        max: u64,
    },
    /// Events whose record might be larger than the log takes; give them in several calls.
    #[error("a record of up to {bytes} bytes: at most {max} are allowed")]
    TooLarge {
        /// Bytes that the record might have.
        bytes: u64,
        /// Bytes that it may have.
        max: u64,
    },
    /// A meter that cannot be defined, changed or read so.
    #[error(transparent)]
    Meter(#[from] MeterError),
    /// An alert that cannot be defined or changed.
    #[error(transparent)]
    Alert(#[from] AlertError),
    /// An event that cannot be cancelled or corrected.
    #[error(transparent)]
    Adjust(#[from] AdjustError),
    /// A question that cannot be answered.
    #[error("{0}")]
    Refused(Refusal),
}

/// Why a store was not opened. Nothing in it was changed but what a crash had left half done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreOpenError {
    /// The log was not opened.
    #[error(transparent)]
    Log(#[from] counterfoil_log::OpenError),
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no file that events could be moved to.
    #[cfg(feature = "spill")]
    #[error("events cannot be moved to a file in {}: {error}", directory.display())]
    Spill {
        /// Where it was to be.
        directory: std::path::PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A record that no store wrote, or a newer one: the directory belongs to something else.
    #[error("record {lsn} is none of a meter store: {reason}")]
    Record {
        /// The record.
        lsn: Lsn,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why there is no checkpoint. The store is whole without it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreCheckpointError {
    /// What the meters hold has no bytes.
    #[error(transparent)]
    Content(#[from] CheckpointError),
    /// The file cannot be written or removed.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The store is of no more use.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<LogError> for StoreError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Poisoned { reason } => Self::Poisoned { reason },
            LogError::Closed => Self::Closed,
            other => Self::Poisoned { reason: other.to_string().into() },
        }
    }
}
