//! The lock of the meters: one call at a time changes them, in pieces, and readers come in between.
//!
//! A call holds the *intake* from its first event to its last, so that calls come one after the
//! other, and the lock of the meters for a piece at a time. Between two pieces it looks whether
//! readers wait, and lets in those who came until then. So a reader waits for a piece, and ingest
//! for the readers that came during one; neither waits for a stream of the others.

use super::inner::Kernel;
use super::sync::{AtomicU64, Ordering, RwLock, RwLockReadGuard, RwLockWriteGuard, wait_a_moment};
use std::sync::{PoisonError, TryLockError};

/// A thread panicked in the middle of a change.
pub(super) struct Panicked;

impl<T> From<PoisonError<T>> for Panicked {
    fn from(_: PoisonError<T>) -> Self {
        Self
    }
}

pub(super) struct Gate {
    /// Held by whoever changes the meters, and shared by those who must see no change half done.
    intake: RwLock<()>,
    kernel: RwLock<Kernel>,
    /// Readers that had to wait, ever.
    came: AtomicU64,
    /// Those of them that came in.
    entered: AtomicU64,
}

/// The right to change the meters.
pub(super) struct Entry<'a> {
    gate: &'a Gate,
    pub(super) kernel: RwLockWriteGuard<'a, Kernel>,
    /// Given back after the other one.
    intake: RwLockWriteGuard<'a, ()>,
}

/// The meters between two calls.
pub(super) struct Whole<'a> {
    pub(super) kernel: RwLockReadGuard<'a, Kernel>,
    _intake: RwLockReadGuard<'a, ()>,
}

impl Gate {
    pub(super) fn new(kernel: Kernel) -> Self {
        Self {
            intake: RwLock::new(()),
            kernel: RwLock::new(kernel),
            came: AtomicU64::new(0),
            entered: AtomicU64::new(0),
        }
    }

    /// The meters, perhaps in the middle of a call: up to [`Kernel::last`] they are whole.
    pub(super) fn look(&self) -> Result<RwLockReadGuard<'_, Kernel>, Panicked> {
        if let Ok(kernel) = self.kernel.try_read() {
            return Ok(kernel);
        }
        self.came.fetch_add(1, Ordering::Relaxed);
        let kernel = self.wait_to_look();
        self.entered.fetch_add(1, Ordering::Relaxed);
        kernel
    }

    fn wait_to_look(&self) -> Result<RwLockReadGuard<'_, Kernel>, Panicked> {
        let mut turn = 0_u32;
        while wait_a_moment(turn) {
            turn = turn.wrapping_add(1);
            match self.kernel.try_read() {
                Ok(kernel) => return Ok(kernel),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Poisoned(_)) => return Err(Panicked),
            }
        }
        Ok(self.kernel.read()?)
    }

    /// The meters between two calls, for whoever does not read at a cut.
    pub(super) fn whole(&self) -> Result<Whole<'_>, Panicked> {
        // Who panics in a change leaves the other lock poisoned too.
        let intake = self.intake.read().unwrap_or_else(PoisonError::into_inner);
        Ok(Whole { kernel: self.kernel.read()?, _intake: intake })
    }

    /// The meters, to be changed by one call.
    pub(super) fn enter(&self) -> Result<Entry<'_>, Panicked> {
        let intake = self.intake.write().unwrap_or_else(PoisonError::into_inner);
        Ok(Entry { gate: self, kernel: self.kernel.write()?, intake })
    }
}

impl<'a> Entry<'a> {
    /// Lets in the readers that wait.
    #[inline]
    pub(super) fn pause(self) -> Self {
        let came = self.gate.came.load(Ordering::Relaxed);
        if self.gate.entered.load(Ordering::Relaxed) == came { self } else { self.let_in(came) }
    }

    #[cold]
    fn let_in(self, came: u64) -> Self {
        let Self { gate, kernel, intake } = self;
        drop(kernel);
        let mut turn = 0_u32;
        while gate.entered.load(Ordering::Relaxed) < came && wait_a_moment(turn) {
            turn = turn.wrapping_add(1);
        }
        // Nobody else changes anything, so nobody else can have left it poisoned.
        let kernel = gate.kernel.write().unwrap_or_else(PoisonError::into_inner);
        Self { gate, kernel, intake }
    }
}
