//! Bugs that can be planted, so that the models can show that they find them.
//!
//! Each is a mistake that is easily made where threads share something. Without the feature
//! `planted-bugs` nothing can be planted, and the places where they would be cost nothing.

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A record counts as synced when it is appended.
    AcknowledgedBeforeSync,
    /// A batch of repetitions does not wait for the events that it repeats.
    DuplicateNotAwaited,
    /// Two threads judge at once what they took out, whoever took first.
    FlushedOutOfOrder,
    /// Events are taken out under one lock and removed under another.
    ClearedUnderASecondLock,
    /// A lent thread is woken without the lock that it decides to rest under.
    WokenWithoutLock,
    /// Who has led tells nobody.
    LeadNotAnnounced,
    /// A lent thread that rests is not told that the store failed.
    RestNotEnded,
}

#[cfg(feature = "planted-bugs")]
mod planting {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// A planted bug, until it is dropped.
    #[derive(Debug)]
    pub struct Planted(());

    /// Plants a bug in whatever this thread does, and in a model all of its threads.
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

    pub(in crate::store) fn planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(feature = "planted-bugs")]
pub(super) use planting::planted;
#[cfg(feature = "planted-bugs")]
pub use planting::{Planted, plant};

/// Nothing is planted.
#[cfg(not(feature = "planted-bugs"))]
pub(super) const fn planted(_: Bug) -> bool {
    false
}
