//! What an acknowledgement says.

use crate::Lsn;

/// How far a record has come on its way to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Handed to the operating system: it outlives this process, and is lost with the power.
    Buffered,
    /// On disk: it outlives the power.
    Synced,
}

/// Says that a record, and every one before it, is on disk. Only a sync that succeeded gives one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synced {
    lsn: Lsn,
}

impl Synced {
    pub(crate) fn new(lsn: Lsn) -> Self {
        Self { lsn }
    }

    /// The record.
    #[must_use]
    pub fn lsn(self) -> Lsn {
        self.lsn
    }
}

/// Says that a record, and every one before it, was handed to the operating system. It outlives
/// this process; the power may take it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffered {
    lsn: Lsn,
}

impl Buffered {
    pub(crate) fn new(lsn: Lsn) -> Self {
        Self { lsn }
    }

    /// The record.
    #[must_use]
    pub fn lsn(self) -> Lsn {
        self.lsn
    }
}
