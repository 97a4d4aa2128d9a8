//! Bugs that can be planted, so that the tests can show that they find them.
//!
//! Each is what somebody once did in earnest. Without the feature `planted-bugs` nothing can be
//! planted, and the places where they would be cost nothing.

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A commit does not sync.
    SyncLeftOut,
    /// The name of a new segment is not synced.
    DirectorySyncLeftOut,
    /// A batch is acknowledged when it is written, and synced before the next one.
    AcknowledgedBeforeSync,
    /// A sync that failed is tried again.
    FailedSyncRetried,
    /// After an error the log goes on as if nothing had been.
    ErrorForgotten,
    /// A disk that is full is taken for one that is slow.
    FullDiskIgnored,
    /// A new segment is synced with its first batch, and not before it.
    SegmentSyncedWithBatch,
    /// The mark in a batch says that all before it is synced, whether it is or not.
    MarkTooHigh,
    /// A manifest is written over the former one.
    ManifestNotRenamed,
    /// A book is marked as closed before its end is synced.
    ClosedBeforeSync,
    /// The checksum of a header does not say where the header stands.
    ChecksumWithoutPlace,
    /// The log ends at the first batch that is broken, whatever follows it.
    CutAtFirstBadBatch,
    /// What was cut from the tail is not reported.
    CutNotReported,
    /// What a torn tail left is not taken away.
    TailNotCut,
    /// What nobody vouches for is taken for synced when a book is opened.
    RewriteLeftOut,
    /// The checksum of a record is not looked at.
    RecordNotSummed,
    /// The padding of a record is not looked at.
    PaddingNotChecked,
    /// The hash tree is computed and not compared.
    TreeNotChecked,
    /// A snapshot is taken without asking whether it is of this history.
    SnapshotTrusted,
    /// A key is overwritten and not synced.
    ErasureNotSynced,
}

#[cfg(feature = "planted-bugs")]
mod planting {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// A planted bug, until it is dropped.
    #[derive(Debug)]
    pub struct Planted(());

    /// Plants a bug in whatever this thread does.
    #[must_use]
    pub fn plant(bug: Bug) -> Planted {
        PLANTED.set(Some(bug));
        Planted(())
    }

    impl Drop for Planted {
        fn drop(&mut self) {
            PLANTED.set(None);
        }
    }

    pub(crate) fn planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(feature = "planted-bugs")]
pub(crate) use planting::planted;
#[cfg(feature = "planted-bugs")]
pub use planting::{Planted, plant};

/// Nothing is planted.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}
