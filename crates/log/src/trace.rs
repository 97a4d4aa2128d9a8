//! What the log tells a subscriber of the crate `tracing`, with the feature of that name. Without
//! it nothing here does anything. The log has no clock: how long a span took is the subscriber's to
//! say. Nothing is told under a lock.

use crate::Lsn;

/// What is committed.
#[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "it is for a subscriber"))]
pub(crate) struct Commit {
    pub(crate) first: Lsn,
    pub(crate) records: u32,
    pub(crate) bytes: usize,
    pub(crate) sync: bool,
}

#[cfg(feature = "tracing")]
mod told {
    use tracing::{debug, debug_span, error, info, warn};

    use super::Commit;
    use crate::{Lsn, OpenReport};

    pub(crate) fn opened(report: &OpenReport) {
        let OpenReport { created, clean, last, segments, tail_cut, .. } = report;
        info!(created, clean, last = last.0, segments, "opened the book");
        if let Some(cut) = tail_cut {
            warn!(file = cut.file, offset = cut.offset, bytes = cut.bytes, "cut a torn tail");
        }
    }

    /// Commits a batch in a span.
    pub(crate) fn commit<T>(batch: Commit, work: impl FnOnce() -> T) -> T {
        let Commit { first, records, bytes, sync } = batch;
        debug_span!("commit", first = first.0, records, bytes, sync).in_scope(work)
    }

    /// Opens a book in a span.
    pub(crate) fn open<T>(work: impl FnOnce() -> T) -> T {
        debug_span!("open").in_scope(work)
    }

    pub(crate) fn began_segment(number: u32, first: Lsn) {
        info!(number, first = first.0, "began a segment");
    }

    pub(crate) fn reserved(bytes: u64) {
        debug!(bytes, "wrote space ahead");
    }

    pub(crate) fn poisoned(reason: &str) {
        error!(reason, "the log is poisoned");
    }

    pub(crate) fn closed(last: Lsn) {
        info!(last = last.0, "closed the book");
    }
}

#[cfg(not(feature = "tracing"))]
mod told {
    use super::Commit;
    use crate::{Lsn, OpenReport};

    pub(crate) fn opened(_: &OpenReport) {}

    pub(crate) fn commit<T>(_: Commit, work: impl FnOnce() -> T) -> T {
        work()
    }

    pub(crate) fn open<T>(work: impl FnOnce() -> T) -> T {
        work()
    }

    pub(crate) fn began_segment(_: u32, _: Lsn) {}

    pub(crate) fn reserved(_: u64) {}

    pub(crate) fn poisoned(_: &str) {}

    pub(crate) fn closed(_: Lsn) {}
}

pub(crate) use told::{began_segment, closed, commit, open, opened, poisoned, reserved};
